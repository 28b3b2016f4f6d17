"""Image sets of the HuggingFace hub, read row by row from memory-mapped files."""

from __future__ import annotations

import contextlib
import os
import re
import urllib.parse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from simsearch import hub_access, wording
from simsearch.data import splits
from simsearch.data.sources import columns, folder
from simsearch.errors import CorruptImage, RunError, UsageError, one_line

if TYPE_CHECKING:
    import datasets

# Where the hub keeps its parquet conversion of a set whose loading script no client runs any more.
_PARQUET_REVISION = "refs/convert/parquet"
_SCRIPT_REFUSED = "scripts are no longer supported"
_OFFLINE = "OfflineModeIsEnabled"
_CONFIGURATION_MISSING = "Config name is missing"
# The same where the client has nothing but its cache, and what it says of a set that is not there.
_CACHED_CONFIGURATIONS = re.compile(r"configurations in the cache: (.*)")
_NOT_CACHED = "Couldn't find cache for"
_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?::([^@]+))?(?:@(.*))?")


def load(
    name: str, *, image_column: str = "", label_column: str = "", cache_dir: str = ""
) -> dict[str, splits.Split]:
    """Returns the splits that a set has on the hub, "train" among them.

    The set is downloaded once; after that it also loads where the hub cannot be reached.

    Args:
        name: ORG/NAME, with :CONFIGURATION where the set has several, and @REVISION at will.
        image_column: Empty: the only column of images, or the one called image.
        label_column: Empty: the only column of class labels, or the one called label.
        cache_dir: Folder that the set is kept in; empty: the client's own.

    Raises:
        UsageError: There is no such set, or it has no images with labels.
        RunError: The hub cannot be reached, or the set not be stored.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(
            f"expected data.source hf:ORG/NAME[:CONFIGURATION][@REVISION], got hf:{name}"
        )
    repository, configuration, revision = match.groups()
    builder, tables = _tables(repository, configuration, revision or None, cache_dir)
    where = f"hf:{name}"
    own_names = columns.standard_splits(list(tables), where=where)
    features = tables[own_names["train"]].features
    image_column = _image_column(features, image_column, where)
    label_column = _label_column(features, label_column, where)
    columns.log_choice(where, image_column=image_column, label_column=label_column)
    values = {key: _column(tables[own], label_column) for key, own in own_names.items()}
    class_names = getattr(features[label_column], "names", None)
    labels, class_names = columns.number_labels(values, class_names)
    found = {}
    kept_as = f"{repository}:{configuration}" if configuration else repository
    for key, own in own_names.items():
        parts = (kept_as, builder.hash, own, image_column, labels[key].tolist())
        found[key] = splits.Split(
            labels=labels[key],
            class_names=class_names,
            names=splits.NumberedNames(key, len(labels[key])),
            read=_reader(tables[own], image_column),
            fingerprint=splits.digest(*parts),
            num_bytes=_num_bytes(tables[own], image_column),
        )
    return columns.labelled(found, where=where)


def _tables(
    repository: str, configuration: str | None, revision: str | None, cache_dir: str
) -> tuple[datasets.DatasetBuilder, datasets.DatasetDict]:
    import datasets
    from huggingface_hub import errors as hub_errors

    where = f"{repository} on {datasets.config.HF_ENDPOINT}"
    try:
        with _offline_if_unreachable():
            builder = _builder(repository, configuration, revision, _folder(cache_dir, revision))
            builder.download_and_prepare()
            return builder, builder.as_dataset()
    except UsageError:
        raise
    except (
        datasets.exceptions.FileNotFoundDatasetsError,
        datasets.data_files.EmptyDatasetError,
    ) as error:
        raise UsageError(
            f"expected the image set {where}, found none that may be read "
            f"({one_line(error)}): check data.source, or log in with `hf auth login`"
        ) from error
    # HTTPError is that of the HTTP client in use, which differs between the hub client's versions.
    except (ConnectionError, hub_errors.HTTPError) as error:
        raise _unreachable(where, error) from error
    except (datasets.exceptions.DatasetsError, OSError) as error:
        raise RunError(
            f"expected to store {where} in {cache_dir or datasets.config.HF_DATASETS_CACHE}, but: "
            f"{one_line(error.__cause__ or error)}; check the set and the free space, "
            "or set data.cache_dir"
        ) from error
    except (ValueError, RuntimeError) as error:
        if _NOT_CACHED in str(error):
            raise _unreachable(where, error) from error
        raise UsageError(
            f"expected one readable set in {where}, got: {one_line(error)}; "
            "choose another set or revision"
        ) from error


def _unreachable(where: str, error: Exception) -> RunError:
    from datasets import config

    said = one_line(error)
    if _OFFLINE in str(error) and not config.HF_HUB_OFFLINE:
        said = f"{config.HF_ENDPOINT} does not answer"  # Offline by this file alone.
    return RunError(
        f"expected to download {where}, but the hub could not be reached ({said}): "
        "check the network and HF_ENDPOINT, or use data.source=folder"
    )


def _folder(cache_dir: str, revision: str | None) -> str:
    """Returns where the client keeps a set of a revision that was asked for.

    A folder for each: without the hub the client takes the latest that it finds, whatever was
    asked for.
    """
    from datasets import config

    folder = os.path.expanduser(cache_dir or str(config.HF_DATASETS_CACHE))
    return os.path.join(folder, f"@{urllib.parse.quote(revision, safe='')}") if revision else folder


@contextlib.contextmanager
def _offline_if_unreachable() -> Iterator[None]:
    """Sends the client straight to its cache where no hub answers; it would retry for a minute."""
    from datasets import config

    if config.HF_HUB_OFFLINE or hub_access.answers(config.HF_ENDPOINT):
        yield
        return
    config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = False


def _builder(
    repository: str, configuration: str | None, revision: str | None, folder: str
) -> datasets.DatasetBuilder:
    try:
        return _builder_at(repository, configuration, revision, folder)
    except RuntimeError as error:
        if _SCRIPT_REFUSED not in str(error) or revision:
            raise
    return _builder_at(repository, configuration, _PARQUET_REVISION, folder)


def _builder_at(
    repository: str, configuration: str | None, revision: str | None, folder: str
) -> datasets.DatasetBuilder:
    import datasets

    # The prefix keeps a local folder of the same name from being taken instead.
    path = f"hf://datasets/{repository}"
    try:
        return datasets.load_dataset_builder(
            path, configuration, revision=revision, cache_dir=folder
        )
    except ValueError as error:
        if cached := _CACHED_CONFIGURATIONS.search(str(error)):
            names = cached[1].split(", ")
        elif _CONFIGURATION_MISSING in str(error):
            names = datasets.get_dataset_config_names(path, revision=revision)
        else:
            raise
        raise UsageError(
            f"{repository} has several configurations, {wording.listed(names, most=20)}: name one, "
            f"such as data.source=hf:{repository}:{names[0]}"
        ) from error


def _image_column(features: datasets.Features, asked: str, where: str) -> str:
    import datasets

    typed = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    encoded = [name for name, feature in features.items() if _is_encoded(feature)]
    return columns.choose(
        typed,
        encoded,
        list(features),
        asked=asked,
        field="image_column",
        where=where,
    )


def _label_column(features: datasets.Features, asked: str, where: str) -> str:
    import datasets

    typed = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    plain = [
        name
        for name, feature in features.items()
        if re.fullmatch(r"u?int\d+|(large_)?string|bool", getattr(feature, "dtype", ""))
        and isinstance(feature, datasets.Value)
    ]
    return columns.choose(
        typed,
        plain,
        list(features),
        asked=asked,
        field="label_column",
        where=where,
    )


def _is_encoded(feature: object) -> bool:
    """Returns whether a column that is not marked as images holds the bytes of files."""
    inner = feature.get("bytes") if isinstance(feature, dict) else feature
    return getattr(inner, "dtype", "") in ("binary", "large_binary")


def _column(table: datasets.Dataset, name: str) -> list:
    return table.select_columns([name]).with_format("arrow")[:].column(0).to_pylist()


def _reader(table: datasets.Dataset, image_column: str) -> Callable[[int], bytes]:
    rows = table.select_columns([image_column]).with_format("arrow")

    def read(i: int) -> bytes:
        value = rows[int(i)].column(0)[0].as_py()
        if isinstance(value, dict):
            value = value["bytes"] or _file(value.get("path"))
        if value is None:
            raise CorruptImage("the row has no image")
        return value

    return read


def _num_bytes(table: datasets.Dataset, image_column: str) -> np.ndarray | None:
    """Returns the length of each row's file, None where a row is kept elsewhere."""
    import pyarrow
    from pyarrow import compute

    column = table.select_columns([image_column]).with_format("arrow")[:].column(0)
    if pyarrow.types.is_struct(column.type):
        column = compute.struct_field(column, "bytes")
    lengths = compute.binary_length(column)
    return None if lengths.null_count else lengths.to_numpy().astype(np.int64)


def _file(path: str | None) -> bytes | None:
    """Returns the file that the client downloaded for a row that only has its path."""
    return None if path is None else folder.read_file(path)
