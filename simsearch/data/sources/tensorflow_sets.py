"""Image sets of TensorFlow Datasets (TFDS), read row by row with their encoded bytes."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.data import kept, splits
from simsearch.data.sources import columns
from simsearch.errors import RunError, UsageError, one_line

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

# TFDS's usual format, tfrecord, can only be read from the start to the end.
_FILE_FORMAT = "array_record"
_RANDOM_ACCESS = (_FILE_FORMAT, "parquet")
_WRONG_VERSION = "cannot be loaded at version"
# Retries of a download, each after twice the wait of the one before: 6 s together, not 205.
_MAX_RETRIES = 5
# Characters of what has to be done by hand.
_MOST_INSTRUCTIONS = 800


def load(
    name: str, *, image_column: str = "", label_column: str = "", cache_dir: str = ""
) -> dict[str, splits.Split]:
    """Returns the splits that a set has in TFDS, "train" among them; prepares it the first time.

    Args:
        name: The set, such as "beans" or "cifar10:3.0.2".
        image_column: Empty: the only image feature, or the one called image.
        label_column: Empty: the only class label, or the one called label.
        cache_dir: Folder that the set is kept in; empty: TFDS's own.

    Raises:
        UsageError: There is no such set, or it has no images with labels.
        RunError: The set cannot be downloaded or stored.
    """
    where = f"tfds:{name}"
    builder = _prepared(name, cache_dir, where)
    features = builder.info.features
    own_names = columns.standard_splits(list(builder.info.splits), where=where)
    image_column = _image_column(features, image_column, where)
    label_column = _label_column(features, label_column, where)
    columns.log_choice(where, image_column=image_column, label_column=label_column)
    tables = {key: _table(builder, own) for key, own in own_names.items()}
    values = _labels(builder, own_names, tables, label_column)
    class_names = getattr(features[label_column], "names", None)
    labels, class_names = columns.number_labels(values, class_names)
    found = {}
    for key, own in own_names.items():
        parts = (builder.info.full_name, own, image_column, labels[key].tolist())
        found[key] = splits.Split(
            labels=labels[key],
            class_names=class_names,
            names=splits.NumberedNames(key, len(labels[key])),
            read=_reader(tables[key], image_column),
            fingerprint=splits.digest(*parts),
        )
    return columns.labelled(found, where=where)


def _prepared(name: str, cache_dir: str, where: str) -> tfds.core.DatasetBuilder:
    import tensorflow_datasets as tfds

    folder = os.path.expanduser(cache_dir) or None
    try:
        builder = tfds.builder(name, data_dir=folder)
        if not builder.is_prepared():
            # Not before: the format of a set that is there already must not be asked for.
            builder = tfds.builder(name, data_dir=folder, file_format=_FILE_FORMAT)
            with _few_retries():
                builder.download_and_prepare()
    except (tfds.core.DatasetNotFoundError, ValueError, ImportError, AssertionError) as error:
        # A version that is not there is asserted, and so are files to be fetched by hand.
        if isinstance(error, ImportError | AssertionError) and _WRONG_VERSION not in str(error):
            raise UsageError(
                f"expected to prepare {where}, but it needs more: "
                f"{one_line(error, most=_MOST_INSTRUCTIONS)}; install or fetch it, or choose "
                "another set"
            ) from error
        said = one_line(str(error).partition("\n")[0])  # The other lines list all sets there are.
        raise UsageError(
            f"expected data.source tfds:NAME with a set of TensorFlow Datasets, got {where} "
            f"({said}): look it up in the catalogue"
        ) from error
    except (OSError, *_download_errors()) as error:
        raise RunError(
            f"expected to download {where} to {folder or 'the default folder'}, but: "
            f"{one_line(error)}; check the network, the free space and data.cache_dir"
        ) from error
    if builder.info.file_format.value not in _RANDOM_ACCESS:
        raise UsageError(
            f"expected {where} in the format {_RANDOM_ACCESS[0]}, found it as "
            f"{builder.info.file_format.value} in {builder.data_dir}, which has no random access: "
            "set data.cache_dir to another folder"
        )
    return builder


@contextlib.contextmanager
def _few_retries() -> Iterator[None]:
    """Has the client give up within seconds where nothing answers, without a word of each try."""
    from tensorflow_datasets.core.download import downloader

    tries = logging.getLogger("urllib3.connectionpool")
    usual, level = downloader.MAX_RETRIES, tries.level
    downloader.MAX_RETRIES = _MAX_RETRIES
    tries.setLevel(logging.ERROR)
    try:
        yield
    finally:
        downloader.MAX_RETRIES = usual
        tries.setLevel(level)


def _download_errors() -> tuple[type[Exception], ...]:
    from tensorflow_datasets.core import download

    return (
        download.DownloadError,
        download.download_manager.NonMatchingChecksumError,
        download.extractor.ExtractError,
    )


def _image_column(features: tfds.features.FeaturesDict, asked: str, where: str) -> str:
    return columns.choose(
        _image_features(features),
        [],
        list(features),
        asked=asked,
        field="image_column",
        where=where,
    )


def _image_features(features: tfds.features.FeaturesDict) -> list[str]:
    import tensorflow_datasets as tfds

    return [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]


def _label_column(features: tfds.features.FeaturesDict, asked: str, where: str) -> str:
    import tensorflow_datasets as tfds

    typed = [k for k, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    plain = [
        key
        for key, feature in features.items()
        if key not in typed
        and (
            isinstance(feature, tfds.features.Text)
            or (feature.shape == () and np.dtype(feature.np_dtype).kind in "iub")
        )
    ]
    return columns.choose(
        typed,
        plain,
        list(features),
        asked=asked,
        field="label_column",
        where=where,
    )


def _table(builder: tfds.core.DatasetBuilder, split: str) -> Sequence[dict[str, Any]]:
    """Returns the rows of a split by number; images stay encoded."""
    import tensorflow_datasets as tfds

    encoded = {key: tfds.decode.SkipDecoding() for key in _image_features(builder.info.features)}
    return builder.as_data_source(split=split, decoders=encoded)


def _labels(
    builder: tfds.core.DatasetBuilder,
    own_names: Mapping[str, str],
    tables: Mapping[str, Sequence[dict[str, Any]]],
    column: str,
) -> dict[str, list[int | str]]:
    """Returns the labels of each split, which are kept beside the set's files.

    TFDS stores a row as one piece in both formats: of a label alone the image is read as well.
    """
    files = [path for own in own_names.values() for path in builder.info.splits[own].filepaths]
    stamps = [(path.name, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in files]
    key = splits.digest(column, dict(own_names), stamps)
    path = pathlib.Path(builder.data_dir) / f".labels_{key}.json"
    if (found := kept.read(path)) is None:
        found = {key: _column(table, column) for key, table in tables.items()}
        kept.write(path, found, what="the labels")
    return found


def _column(table: Sequence[dict[str, Any]], name: str) -> list[int | str]:
    return [_plain(table[i][name]) for i in range(len(table))]


def _plain(value: Any) -> int | str:
    return value.decode() if isinstance(value, bytes) else np.asarray(value).item()


def _reader(table: Sequence[dict[str, Any]], image_column: str) -> Callable[[int], bytes]:
    return lambda i: bytes(table[int(i)][image_column])
