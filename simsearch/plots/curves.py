"""Training and validation curves of a run."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from simsearch import monitors, progress
from simsearch.plots import style

_TRAIN = ("loss", "active_fraction", "spread", "gradient_norm", "learning_rate")
_TITLES = {
    "loss": "training loss (lower is better)",
    "active_fraction": "share of triplets or pairs that teach",
    "spread": "spread of the embeddings (0: all alike)",
    "gradient_norm": "gradient norm",
    "learning_rate": "learning rate",
}


def draw(
    path: str | os.PathLike, records: Sequence[Mapping[str, Any]], *, monitor: str
) -> pathlib.Path:
    """Draws the curves and returns the path of the PNG.

    Args:
        path: Where to.
        records: Of the run, as `metrics.jsonl` holds them; a figure that is None is left out.
        monitor: The validation figure that chose the best checkpoint; its epoch is marked.
    """
    train = [record for record in records if record["split"] == "train"]
    validation = [record for record in records if record["split"] == "validation"]
    with style.Canvas(11, 6.2) as canvas:
        grid = canvas.figure.subplots(2, 3)
        for axes, name in zip(grid.flat[1:], _TRAIN, strict=True):
            _line(axes, train, name, color=style.QUERY)
            axes.set_title(_TITLES[name], loc="left")
            if name == "active_fraction":
                axes.set_ylim(-0.03, 1.03)
        _validation(grid.flat[0], validation, monitor)
        # From the start of training, so that a short run is not drawn between two odd fractions.
        last = max((record["epoch"] for record in records), default=0) or 1
        for axes in grid.flat:
            axes.set_xlim(0, 1.03 * last)
            axes.xaxis.get_major_locator().set_params(integer=last >= 4)
        # The legend lies below the first one.
        for axes in grid.flat[1:]:
            axes.set_xlabel("epoch")
        canvas.figure.tight_layout(pad=1.2)
        return canvas.save(path)


def _validation(axes: Any, records: Sequence[Mapping[str, Any]], monitor: str) -> None:
    axes.set_title("validation", loc="left")
    names = (
        [name for name in records[0] if name not in ("split", "step", "epoch")] if records else []
    )
    for name, color in zip(names, style.class_colors(len(names)), strict=True):
        width = 2.4 if name == monitor else 0.9
        _line(axes, records, name, color=color, label=name, width=width)
    known = [record for record in records if record.get(monitor) is not None]
    if not known:
        axes.text(0.5, 0.5, "no validation yet", transform=axes.transAxes, ha="center")
        return
    best = max(known, key=lambda record: monitors.rank(monitor, record))
    axes.axvline(best["epoch"], color=style.FAINT, linewidth=1, linestyle=":")
    axes.plot(best["epoch"], best[monitor], marker="*", markersize=11, color=style.TEXT, zorder=5)
    axes.set_title(
        f"★ used: {monitor} {best[monitor]:.3f}, epoch {progress.epoch(best['epoch'])}",
        loc="right",
        fontsize=8,
        color=style.FAINT,
    )
    # Below, where no curve is.
    axes.legend(
        fontsize=6.5, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncol=3, columnspacing=1
    )


def _line(
    axes: Any,
    records: Sequence[Mapping[str, Any]],
    name: str,
    *,
    color: Any,
    label: str | None = None,
    width: float = 1.6,
) -> None:
    points = [(r["epoch"], r[name]) for r in records if r.get(name) is not None]
    if not points:
        return
    epochs, values = zip(*points, strict=True)
    marker = "o" if len(points) <= 30 else None
    axes.plot(
        epochs, values, color=color, linewidth=width, marker=marker, markersize=3, label=label
    )
