"""Which classes are taken for which: the class of each query by that of its nearest neighbour."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import ticker

from simsearch.retrieval.plots import style

_MOST_NUMBERED, _MOST_NAMED, _MOST_LISTED = 25, 60, 10
_LIST = 4.6  # inches


def draw(
    path: str | os.PathLike, counts: np.ndarray, *, class_names: Sequence[str]
) -> pathlib.Path:
    """Draws the map, each row in shares of its queries, and returns the path of the PNG.

    Args:
        path: Where to.
        counts: Queries of class i whose nearest neighbour is of class j, int [C, C].
        class_names: Name of each class; of many the most frequent confusions alone are named.
    """
    size = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(4.0, 0.36 * size), 12.0)
    width, height = side + 2.6 + (0 if size <= _MOST_NAMED else _LIST), side + 1.9
    bottom, top = 1.3 / height, side / height
    with style.Canvas(width, height) as canvas:
        axes = canvas.figure.add_axes((1.5 / width, bottom, side / width, top))
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        axes.grid(False)
        axes.set_title("nearest neighbour's class, share of each class's queries", loc="left")
        order = "" if size <= _MOST_NAMED else ", by its place in the list of classes"
        axes.set_xlabel(f"class of the nearest neighbour{order}")
        axes.set_ylabel(f"class of the query{order}")
        if size <= _MOST_NAMED:
            names = [style.shortened(name, 16) for name in class_names]
            fontsize = min(8.5, 420 / size)
            axes.set_xticks(range(size), names, rotation=90, fontsize=fontsize)
            axes.set_yticks(range(size), names, fontsize=fontsize)
        else:
            place = ((2.7 + side) / width, bottom + top)
            _list(canvas.figure, place, most_frequent(counts, class_names))
        if size <= _MOST_NUMBERED:
            for i, j in zip(*np.nonzero(shares >= 0.005), strict=True):
                color = "white" if shares[i, j] > 0.5 else style.TEXT
                text = f"{100 * shares[i, j]:.0f}"
                axes.text(j, i, text, ha="center", va="center", fontsize=7, color=color)
        bar = canvas.figure.add_axes(((1.7 + side) / width, bottom, 0.16 / width, top))
        bar.grid(False)
        canvas.figure.colorbar(image, cax=bar, format=ticker.PercentFormatter(1))
        return canvas.save(path)


def most_frequent(counts: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """Returns the ten most frequent confusions in words, those of equal counts in order.

    Args:
        counts: As `draw` takes them, int [C, C].
        class_names: Name of each class.
    """
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    rows, columns = np.unravel_index(np.argsort(-wrong, axis=None, kind="stable"), wrong.shape)
    return [
        f"{wrong[i, j]} of {counts[i].sum()}: "
        f"{style.shortened(class_names[i], 24)} → {style.shortened(class_names[j], 24)}"
        for i, j in zip(rows[:_MOST_LISTED], columns[:_MOST_LISTED], strict=True)
        if wrong[i, j]
    ]


def _list(figure: Any, place: tuple[float, float], confusions: Sequence[str]) -> None:
    title = "most frequent confusions: queries of a class → taken for"
    lines = (title, *confusions) if confusions else ("no query is taken for another class",)
    figure.text(*place, "\n".join(lines), va="top", fontsize=8.5, linespacing=1.8)
