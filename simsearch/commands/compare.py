"""`--mode=compare`: two versions on the same images, and the queries that changed."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from simsearch import errors, progress, runs, wiring
from simsearch.commands import calibration, discriminant, measurable, shared, trained_images
from simsearch.config import Config, differences
from simsearch.config import files as config_files
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources
from simsearch.data.decoding import smaller_images
from simsearch.retrieval import calibration as calibration_lib
from simsearch.retrieval import comparison as comparison_lib
from simsearch.retrieval import embed
from simsearch.retrieval import evaluate as evaluate_lib

# Queries of each direction in the picture.
_MAX_SHOWN = 8
# Beginnings of the fields that decide which images a split has.
_WHICH_IMAGES = (
    *(f"data.{name}" for name in ("source", "path", "image_column", "label_column", "split")),
    *("data.valid_", "data.test_"),
)


class CompareResult(NamedTuple):
    """How two versions compare, and where it is kept.

    Attributes:
        comparison: The figures and the queries that changed.
        json_path: File with the comparison as JSON.
        picture_path: Picture of the queries that changed, with what each version finds first.
    """

    comparison: comparison_lib.Comparison
    json_path: pathlib.Path
    picture_path: pathlib.Path


def main(
    *,
    versions: Sequence[str] | None,
    workdir: str | os.PathLike,
    split: str,
    overrides: Mapping[str, Any],
) -> CompareResult:
    """Compares the two versions of `--versions`."""
    numbers = shared.version_numbers(versions)
    if len(numbers) != 2:
        raise errors.UsageError(
            "--mode=compare needs --versions=A,B, the numbers of two different versions, such as "
            f"--versions=3,7; not {','.join(versions or ()) or 'nothing'}"
        )
    return compare(*numbers, workdir=workdir, split=split, overrides=overrides)


def compare(
    first: int,
    second: int,
    *,
    workdir: str | os.PathLike = "runs",
    split: str = "test",
    overrides: Mapping[str, Any] | None = None,
) -> CompareResult:
    """Measures and draws what the second version gains over the first on the same images.

    Args:
        first: Number of the one version.
        second: Number of the other; positive differences: it is better.
        workdir: Folder of the versions.
        split: "train", "validation" or "test".
        overrides: Fields of the stored configurations to change: those that change no model. How
            figures are computed is read from the first version's.

    Raises:
        UsageError: Where a version or its checkpoint is not there, or the two are one, or have
            different images in the split.
    """
    shared.check_split(split)
    if first == second:
        raise errors.UsageError(f"two different versions are needed, not {first} twice")
    found = runs.find_all(workdir, (first, second))
    configs = [
        config_files.override(version.config, overrides or {}, allowed=shared.EVAL_FIELDS)
        for version in found
    ]
    shared.start_devices(configs[0])
    splits = [wiring.images.load_splits(configs[0])]
    is_same = configs[1].data == configs[0].data
    splits.append(splits[0] if is_same else wiring.images.load_splits(configs[1]))
    _check_same_images(found, configs, [parts[split] for parts in splits], split=split)
    measurable.check_queries(splits[0], split)
    for version, parts in zip(found, splits, strict=True):
        discriminant.warn(version)
        trained_images.warn(version, parts[split], split)
    corrupt = corrupt_lib.CorruptLog()
    measured = [
        _measured(version, config, parts, split=split, corrupt=corrupt)
        for version, config, parts in zip(found, configs, splits, strict=True)
    ]
    both = np.logical_and(*(each.side.queries.valid for each in measured))
    measurable.check_readable(both, splits[0][split], split, corrupt=corrupt)
    options = evaluate_lib.Options.of(configs[0].eval)
    result = comparison_lib.measure(
        *(each.side for each in measured),
        labels=splits[0][split].labels,
        options=options,
    )
    shared.log_corrupt(corrupt)
    names = [f"version {version.number}" for version in found]
    directory = pathlib.Path(workdir) / f"compare_{first}_{second}"
    directory = directory if split == "test" else directory / split
    directory.mkdir(parents=True, exist_ok=True)
    _say(result, names, split=split, confidence=options.confidence)
    content = {"versions": [first, second], "split": split} | comparison_lib.to_json(
        result, names=names, image_names=splits[0][split].names
    )
    json_path = directory / "compare.json"
    runs.write_json(json_path, content)
    picture_path = _draw(
        directory / "changed.png",
        result,
        names,
        measured=measured,
        images_of=splits[0][split],
        config=configs[0],
    )
    progress.log.info("figures: %s\npicture: %s", json_path, picture_path)
    return CompareResult(result, json_path, picture_path)


def _check_same_images(
    found: Sequence[runs.Version],
    configs: Sequence[Config],
    parts: Sequence[sources.Split],
    *,
    split: str,
) -> None:
    one, two = parts
    if one.fingerprint == two.fingerprint and one.class_names == two.class_names:
        return
    changes = [line for line in differences(*configs) if line.startswith(_WHICH_IMAGES)]
    raise errors.UsageError(
        f"versions {found[0].number} and {found[1].number} have different {split} images, "
        f"{len(one.labels)} and {len(two.labels)} of them, and cannot be compared"
        + (f": {'; '.join(changes)}" if changes else "")
    )


class _Measured(NamedTuple):
    side: comparison_lib.Side
    calibration: calibration_lib.Calibration | None


def _measured(
    version: runs.Version,
    config: Config,
    parts: Mapping[str, sources.Split],
    *,
    split: str,
    corrupt: corrupt_lib.CorruptLog,
) -> _Measured:
    embedder = embed.Embedder.from_version(version, config=config)
    embedded = measurable.embed_both(version, embedder, parts, split, corrupt=corrupt)
    side = comparison_lib.Side(embedded[split], embedded["train"], parts["train"].labels)
    found = calibration.of(version, embedder, parts, config=config, corrupt=corrupt)
    return _Measured(side, found)


def _say(
    result: comparison_lib.Comparison, names: Sequence[str], *, split: str, confidence: float
) -> None:
    progress.log.info(
        "%s split, %d queries; p-value of the difference, were both equally good (sign flips)\n%s",
        split,
        len(result.rows),
        comparison_lib.table(result.figures, names=names, confidence=confidence),
    )
    progress.log.info(
        "%s: queries right by %s alone: %d, by %s alone: %d",
        comparison_lib.SHOWN,
        names[1],
        len(result.won),
        names[0],
        len(result.lost),
    )


def _draw(
    path: pathlib.Path,
    result: comparison_lib.Comparison,
    names: Sequence[str],
    *,
    measured: Sequence[_Measured],
    images_of: sources.Split,
    config: Config,
) -> pathlib.Path:
    # matplotlib takes a second to import, and only pictures need it.
    from simsearch.plots import changed, neighbors

    def image(row: int) -> np.ndarray:
        return smaller_images.display(
            lambda: images_of.read(row), max_pixels=config.data.max_pixels
        )

    def caption(row: int) -> str:
        return images_of.class_names[images_of.labels[row]]

    def first_of(each: _Measured, query: int, row: int) -> neighbors.Result:
        vectors = each.side.queries.embeddings
        score = float(vectors[query] @ vectors[row])
        return neighbors.Result(
            image=image(row),
            score=score,
            caption=caption(row),
            correct=bool(images_of.labels[row] == images_of.labels[query]),
            probability=each.calibration and float(each.calibration.probability(np.float64(score))),
        )

    def change(position: int) -> changed.Change:
        query = int(result.rows[position])
        results = [
            first_of(each, query, int(rows[position]))
            for each, rows in zip(measured, (result.first, result.second), strict=True)
        ]
        return changed.Change(image(query), caption(query), tuple(results))

    blocks = []
    for words, name, positions in (
        ("won", names[1], result.won),
        ("lost", names[0], result.lost),
    ):
        shown = [change(position) for position in positions[:_MAX_SHOWN].tolist()]
        more = f", {len(shown)} shown" if len(shown) < len(positions) else ""
        heading = f"{words}: only {name} is right ({len(positions)}{more})"
        blocks.append(changed.Block(heading, shown))
    title = f"queries that changed from {names[0]} to {names[1]}, of {len(result.rows)}"
    return changed.draw(path, blocks, names=names, title=title)
