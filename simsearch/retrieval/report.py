"""The figures of an evaluation as a table to read, in groups."""

from collections.abc import Mapping

from simsearch.retrieval import bootstrap
from simsearch.retrieval import figures as figures_lib

GROUPS = {
    "retrieval": (
        "recall_at_1",
        "recall_at_5",
        "recall_at_10",
        "precision_at_5",
        "precision_at_10",
        "mrr",
        "map_at_r",
        "r_precision",
        "one_minus_triplet_loss",
    ),
    "classification": ("knn_accuracy", "classifier_accuracy"),
    "verification": ("eer", "fnmr_at_fmr"),
    "clustering": ("nmi",),
    "open set": (
        "open_set_auroc",
        "fpr_at_95_tpr",
        "nothing_similar_unknown",
        "nothing_similar_known",
    ),
    "calibration": (
        "calibration_error",
        "threshold",
        "false_match_rate",
        "false_non_match_rate",
    ),
}
# Figures that are the better the lower they are; the threshold is neither.
LOWER_IS_BETTER = frozenset(
    {
        "eer",
        "fnmr_at_fmr",
        "fpr_at_95_tpr",
        "nothing_similar_known",
        "calibration_error",
        "false_match_rate",
        "false_non_match_rate",
    }
)


def table(
    figures: figures_lib.Figures, beside: Mapping[str, bootstrap.Interval] | None = None
) -> str:
    """Returns the figures as aligned lines under the names of their groups, then the notes.

    Args:
        figures: What was measured.
        beside: The raw pixels' figures, where they are to be shown beside.
    """
    width = max(map(len, figures.metrics))
    lines = []
    for group, names in GROUPS.items():
        present = [name for name in names if name in figures.metrics]
        lines += [f"  {group}"] if present else []
        for name in present:
            line = f"    {name:<{width}}  {_figure(figures.metrics[name])}"
            if beside and name in beside:
                line = f"{line:<{width + 32}}  raw pixels {beside[name].value:.4f}"
            if name in LOWER_IS_BETTER:
                line = f"{line:<{width + 32}}  lower is better"
            lines.append(line)
    return "\n".join(lines + [f"  {note}" for note in figures.notes])


def _figure(interval: bootstrap.Interval) -> str:
    value = f"{interval.value:.4f}"
    if interval.low is None or interval.high is None:
        return value
    return f"{value}  [{interval.low:.4f}, {interval.high:.4f}]"
