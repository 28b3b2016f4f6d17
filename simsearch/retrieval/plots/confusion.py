"""Which classes are taken for which: the class of each query by that of its nearest neighbour."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib import ticker

from simsearch.retrieval.plots import style

_MOST_NUMBERED, _MOST_NAMED = 25, 60


def draw(
    path: str | os.PathLike, counts: np.ndarray, *, class_names: Sequence[str]
) -> pathlib.Path:
    """Draws the map, each row in shares of its queries, and returns the path of the PNG.

    Args:
        path: Where to.
        counts: Queries of class i whose nearest neighbour is of class j, int [C, C].
        class_names: Name of each class.
    """
    size = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(4.0, 0.36 * size), 12.0)
    with style.Canvas(side + 2.6, side + 1.9) as canvas:
        axes = canvas.figure.add_axes(
            (1.5 / (side + 2.6), 1.3 / (side + 1.9), side / (side + 2.6), side / (side + 1.9))
        )
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        axes.grid(False)
        axes.set_title("nearest neighbour's class, share of each class's queries", loc="left")
        axes.set_xlabel("class of the nearest neighbour")
        axes.set_ylabel("class of the query")
        if size <= _MOST_NAMED:
            names = [style.shortened(name, 16) for name in class_names]
            fontsize = min(8.5, 420 / size)
            axes.set_xticks(range(size), names, rotation=90, fontsize=fontsize)
            axes.set_yticks(range(size), names, fontsize=fontsize)
        if size <= _MOST_NUMBERED:
            for i, j in zip(*np.nonzero(shares >= 0.005), strict=True):
                color = "white" if shares[i, j] > 0.5 else style.TEXT
                text = f"{100 * shares[i, j]:.0f}"
                axes.text(j, i, text, ha="center", va="center", fontsize=7, color=color)
        bar = canvas.figure.add_axes(
            (
                (1.7 + side) / (side + 2.6),
                1.3 / (side + 1.9),
                0.16 / (side + 2.6),
                side / (side + 1.9),
            )
        )
        bar.grid(False)
        canvas.figure.colorbar(image, cax=bar, format=ticker.PercentFormatter(1))
        return canvas.save(path)
