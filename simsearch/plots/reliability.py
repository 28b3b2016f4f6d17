"""Whether probabilities mean what they say, and which cosine has which probability."""

import os
import pathlib
from typing import Any

import numpy as np

from simsearch.plots import style
from simsearch.retrieval import figures as figures_lib
from simsearch.retrieval.metrics import reliability

_LEAST_SHARE = 5e-3


def draw(path: str | os.PathLike, calibrated: figures_lib.Calibrated) -> pathlib.Path:
    """Draws the reliability diagram and the calibration's curve, and returns the PNG's path.

    Args:
        path: Where to.
        calibrated: A calibration, and how it did on the images that were measured.
    """
    found = calibrated.reliability
    with style.Canvas(10.5, 5.0) as canvas:
        grid = canvas.figure.add_gridspec(
            2, 2, height_ratios=(4, 1), hspace=0.12, wspace=0.22, left=0.07, right=0.98, top=0.9
        )
        diagram = canvas.figure.add_subplot(grid[0, 0])
        shares = canvas.figure.add_subplot(grid[1, 0], sharex=diagram)
        curve = canvas.figure.add_subplot(grid[:, 1])
        diagram.plot([0, 1], [0, 1], color=style.FAINT, linewidth=1, linestyle=":")
        # A handful of pairs is chance, not a share.
        filled = found.weight > _LEAST_SHARE
        diagram.plot(found.predicted[filled], found.observed[filled], color=style.QUERY, marker="o")
        width = 1 / reliability.NUM_BINS
        left = np.arange(reliability.NUM_BINS) * width
        shares.bar(left, found.weight, width=0.9 * width, align="edge", color=style.QUERY)
        diagram.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is of the query's class")
        diagram.set_title("the 10 nearest: predicted and observed", loc="left")
        text = {"color": style.FAINT, "fontsize": 8}
        diagram.set_title(f"calibration error {found.error:.3f}", loc="right", **text)
        diagram.tick_params(labelbottom=False)
        shares.set(
            xlabel="predicted probability of the same class", ylabel="share of pairs", ylim=(0, 1)
        )
        _curve(curve, calibrated)
        return canvas.save(path)


def _curve(axes: Any, calibrated: figures_lib.Calibrated) -> None:
    """Draws the probability of each cosine, with the threshold of "similar"."""
    cosines = np.linspace(-1, 1, 1001)
    calibration, threshold = calibrated.calibration, calibrated.threshold
    axes.plot(cosines, calibration.probability(cosines), color=style.RIGHT, linewidth=1.8)
    axes.axvline(threshold, color=style.TEXT, linewidth=1, linestyle="--")
    probability = float(calibration.probability(np.float64(threshold)))
    rate = f"{100 * calibrated.false_match_rate:g} %"
    is_rough = calibration.is_rough(calibrated.false_match_rate)
    # Before the curve's rise it is low, and behind it high.
    (x, y), side = ((0.03, 0.78), "left") if threshold > 0 else ((0.97, 0.5), "right")
    axes.text(
        x,
        y,
        f'"similar" (dashed) begins at cosine {threshold:.3f},\n'
        f"probability {probability:.2f}: at most {rate} of the\n"
        "validation pairs of different classes pass"
        + (f"\ntoo few pairs to tell {rate}: do not trust it" if is_rough else ""),
        transform=axes.transAxes,
        ha=side,
        va="top",
        fontsize=8.5,
        color=style.WRONG if is_rough else style.TEXT,
    )
    axes.set(xlim=(-1, 1), ylim=(0, 1.02), xlabel="cosine", ylabel="probability of the same class")
    axes.set_title(f"{calibration.method} calibration", loc="left")
