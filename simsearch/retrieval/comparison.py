"""Two versions on the same images: every figure of both, and the queries that changed."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from simsearch import tables
from simsearch.retrieval import embed, evaluate, paired_test

# The figure whose won and lost queries are shown, and the one that says which of them first.
SHOWN, CLEAREST = "recall_at_1", "map_at_r"
# Of fewer, even all signs alike come up in more than a twentieth of all assignments.
_FEWEST_CLASSES = 6
# p-values under it are marked.
_SURE = 0.05


class Side(NamedTuple):
    """What one version makes of the images.

    Attributes:
        queries: Embeddings of the split, which is searched in itself.
        gallery: Embeddings of the train images that vote in `knn_accuracy`; of the train split,
            `queries` itself.
        gallery_labels: Their classes, int [M].
    """

    queries: embed.Embedded
    gallery: embed.Embedded
    gallery_labels: np.ndarray


class Comparison(NamedTuple):
    """Two versions compared; positive differences: the second is better.

    Attributes:
        figures: What the second version gains, by figure.
        rows: Row of each query in the split, int64 [Q].
        first: Row of what the first version finds nearest to each query, int64 [Q].
        second: Row of what the second version finds nearest, int64 [Q].
        won: Queries, as positions in `rows`, that the second version alone answers right, the
            clearest first.
        lost: Queries that the first version alone answers right, the clearest first.
    """

    figures: dict[str, paired_test.PairedTest]
    rows: np.ndarray
    first: np.ndarray
    second: np.ndarray
    won: np.ndarray
    lost: np.ndarray


def measure(
    first: Side,
    second: Side,
    *,
    labels: np.ndarray,
    options: evaluate.Options,
) -> Comparison:
    """Returns what the second version gains over the first, query by query.

    Args:
        first: One version's embeddings.
        second: The other's, of the same images in the same order.
        labels: Classes of the split, int [N].
        options: How the figures of both are computed, with the same random triplets.
    """
    # An image that one of them could not read is left out of both.
    kept = np.flatnonzero(first.queries.valid & second.queries.valid)
    kept_labels = labels[kept]
    found, values = [], []
    for side in (first, second):
        valid = side.gallery.valid
        scores, columns = evaluate.per_query(
            side.queries.embeddings[kept],
            kept_labels,
            gallery=side.gallery.embeddings[valid],
            gallery_labels=side.gallery_labels[valid],
            options=options,
            own_rows=(np.cumsum(valid) - 1)[kept] if side.gallery is side.queries else None,
        )
        found.append(scores)
        values.append(columns)
    is_query = found[0].valid
    compared = {
        name: paired_test.measure(
            column,
            values[1][name],
            groups=kept_labels if name == "knn_accuracy" else kept_labels[is_query],
            **options.resampling(),
        )
        for name, column in values[0].items()
        if name in values[1]
    }
    gains = values[1][CLEAREST] - values[0][CLEAREST]
    shown = compared[SHOWN]
    return Comparison(
        figures=compared,
        rows=kept[is_query],
        first=kept[found[0].nearest[is_query]],
        second=kept[found[1].nearest[is_query]],
        won=shown.won[np.argsort(-gains[shown.won], kind="stable")],
        lost=shown.lost[np.argsort(gains[shown.lost], kind="stable")],
    )


def table(
    figures: Mapping[str, paired_test.PairedTest], *, names: Sequence[str], confidence: float
) -> str:
    """Returns the comparisons as aligned lines under a header; `*` marks p-values under 0.05.

    Says so where there are too few classes for any, and where an interval promises more.

    Args:
        figures: What the second version gains, by figure.
        names: What the two versions are called.
        confidence: Of the intervals.
    """
    lines = [("figure", *names, "difference", f"{confidence:.0%} interval", "p-value", "")]
    for name, found in figures.items():
        lines.append(
            (
                name,
                f"{found.first:.4f}",
                f"{found.second:.4f}",
                _signed(found.difference),
                f"[{_signed(found.low)}, {_signed(found.high)}]",
                f"{found.p_value:.4f}",
                "*" if found.p_value < _SURE else "",
            )
        )
    notes = _notes(figures.values(), confidence=confidence)
    return "\n".join([tables.aligned(lines), *notes])


def _signed(value: float) -> str:
    """Returns a difference with its sign, without one where all its digits are 0."""
    return f"{value:+.4f}" if round(value, 4) else "0.0000"


def _notes(figures: Collection[paired_test.PairedTest], *, confidence: float) -> list[str]:
    """Returns what to beware of in a table of comparisons, one line each."""
    notes = []
    num_classes = max(found.num_groups for found in figures)
    if num_classes < _FEWEST_CLASSES:
        notes.append(
            f"no p-value of {num_classes} classes can be under {_SURE}: signs are drawn by class"
        )
    # Of a lower confidence, an interval may leave out 0 beside a p-value between the two levels.
    level = max(_SURE, 1 - confidence)
    if any(not found.low <= 0 <= found.high and found.p_value >= level for found in figures):
        notes.append(
            f"where an interval leaves out 0 without a *, the p-value counts (* is under {_SURE}): "
            "intervals of few classes that differ are too narrow"
        )
    return notes


def to_json(
    found: Comparison, *, names: Sequence[str], image_names: Sequence[str]
) -> dict[str, Any]:
    """Returns the comparison as plain values.

    Args:
        found: The comparison.
        names: What the two versions are called.
        image_names: Name of each row of the split.
    """

    def listed(positions: np.ndarray) -> list[dict[str, Any]]:
        return [
            {
                "query": image_names[found.rows[i]],
                names[0]: image_names[found.first[i]],
                names[1]: image_names[found.second[i]],
            }
            for i in positions.tolist()
        ]

    metrics = {
        name: {key: getattr(one, key) for key in one._fields if key not in ("won", "lost")}
        | {"num_won": len(one.won), "num_lost": len(one.lost)}
        for name, one in found.figures.items()
    }
    return {
        "num_queries": len(found.rows),
        "metrics": metrics,
        "won": listed(found.won),
        "lost": listed(found.lost),
    }
