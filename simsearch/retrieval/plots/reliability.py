"""Whether probabilities mean what they say, and which cosine has which probability."""

import os
import pathlib
from typing import Any

import numpy as np

from simsearch.retrieval import figures as figures_lib
from simsearch.retrieval.metrics import reliability
from simsearch.retrieval.plots import style

_LEAST_SHARE = 5e-3


def draw(path: str | os.PathLike, calibrated: figures_lib.Calibrated) -> pathlib.Path:
    """Draws the reliability diagram and the calibration's curve, and returns the PNG's path.

    Args:
        path: Where to.
        calibrated: A calibration, and what became of what it told.
    """
    kinds = (
        ("each query's 10 nearest", calibrated.retrieved, style.QUERY, "o"),
        ("all pairs", calibrated.pairs, style.WRONG, "s"),
    )
    with style.Canvas(10.5, 5.0) as canvas:
        grid = canvas.figure.add_gridspec(
            2, 2, height_ratios=(4, 1), hspace=0.12, wspace=0.22, left=0.07, right=0.98, top=0.9
        )
        diagram = canvas.figure.add_subplot(grid[0, 0])
        shares = canvas.figure.add_subplot(grid[1, 0], sharex=diagram)
        curve = canvas.figure.add_subplot(grid[:, 1])
        diagram.plot([0, 1], [0, 1], color=style.FAINT, linewidth=1, linestyle=":")
        for offset, (name, found, color, marker) in enumerate(kinds):
            _diagram(diagram, found, label=name, color=color, marker=marker)
            _shares(shares, found, color=color, offset=offset - 1)
        diagram.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of one class")
        diagram.set_title("told probability against what is true", loc="left")
        diagram.tick_params(labelbottom=False)
        diagram.legend(fontsize=8, loc="lower right", framealpha=0.8)
        shares.set(xlabel="told probability", ylabel="share of pairs", ylim=(0, 1))
        _curve(curve, calibrated)
        return canvas.save(path)


def _diagram(
    axes: Any, found: reliability.Reliability, *, label: str, color: str, marker: str
) -> None:
    # A handful of pairs is chance, not a share.
    filled = found.weight > _LEAST_SHARE
    axes.plot(
        found.told[filled],
        found.true[filled],
        color=color,
        marker=marker,
        markersize=4,
        linewidth=1.4,
        label=f"{label}: error {found.error:.4f}",
    )


def _shares(axes: Any, found: reliability.Reliability, *, color: str, offset: int) -> None:
    width = 1 / reliability.NUM_BINS
    left = np.arange(reliability.NUM_BINS) * width
    axes.bar(
        left + width / 2 + offset * 0.4 * width,
        found.weight,
        width=0.4 * width,
        align="edge",
        color=color,
    )


def _curve(axes: Any, calibrated: figures_lib.Calibrated) -> None:
    """Draws the probability of each cosine, with the threshold of "similar"."""
    cosines = np.linspace(-1, 1, 1001)
    calibration, threshold = calibrated.calibration, calibrated.threshold
    axes.plot(cosines, calibration.probability(cosines), color=style.RIGHT, linewidth=1.8)
    axes.axvline(threshold, color=style.TEXT, linewidth=1, linestyle="--")
    probability = float(calibration.probability(np.float64(threshold)))
    is_right = threshold > 0
    axes.annotate(
        f"cosine {threshold:.3f}, probability {probability:.2f}:\n"
        f"{100 * calibrated.false_match_rate:g} % of other classes' pairs pass",
        (threshold, 0.97),
        xytext=(-6 if is_right else 6, 0),
        textcoords="offset points",
        ha="right" if is_right else "left",
        va="top",
        fontsize=8,
    )
    axes.set(xlim=(-1, 1), ylim=(0, 1), xlabel="cosine", ylabel="probability of one class")
    axes.set_title(f"{calibration.method} calibration", loc="left")
