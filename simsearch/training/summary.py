"""The best and the last value of every figure of a run, as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

_NOT_FIGURES = ("split", "step", "epoch", "learning_rate", "images_per_second", "num_skipped")
_LOWER_IS_BETTER = ("loss", "active_fraction", "gradient_norm")


def best_and_last(records: Sequence[Mapping[str, Any]]) -> str:
    """Returns a line for each figure: its best value and epoch, and its last value.

    Args:
        records: The run's records, as `records.read` gives them.
    """
    rows = [("figure", "best", "at epoch", "last")]
    for split in ("train", "validation"):
        of_split = [record for record in records if record["split"] == split]
        names = dict.fromkeys(name for record in of_split for name in record)
        for name in names:
            if name in _NOT_FIGURES:
                continue
            known = [record for record in of_split if record.get(name) is not None]
            if not known:
                continue
            choose = min if name in _LOWER_IS_BETTER else max
            best = choose(known, key=lambda record: record[name])
            last = known[-1][name]
            rows.append(
                (f"{split} {name}", f"{best[name]:.4f}", f"{best['epoch']:.4g}", f"{last:.4f}")
            )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return "\n".join(lines)
