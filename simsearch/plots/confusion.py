"""Which classes are confused: the class of each query by that of its nearest neighbour."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import ticker

from simsearch.data import confusion as confusion_lib
from simsearch.plots import style

_MOST_NUMBERED, _MOST_NAMED, _MOST_MAPPED, _MOST_LISTED = 25, 60, 300, 10
_LIST = 4.6  # inches


def draw(
    path: str | os.PathLike, counts: confusion_lib.Counts, *, class_names: Sequence[str]
) -> pathlib.Path:
    """Draws the map, each row in shares of its queries, and returns the path of the PNG.

    Of many classes the most frequent confusions are listed; of hundreds the map has those alone.

    Args:
        path: Where to.
        counts: How often queries of which class were confused with which, of C classes.
        class_names: Name of each class.
    """
    is_listed = counts.num_classes > _MOST_NAMED
    shown, of_all = _shown(counts), ""
    size = len(shown)
    if size < counts.num_classes:
        of_all = f", {size} of {counts.num_classes:,} classes"
    elif is_listed:
        of_all = ", by its place in the list of classes"
    side = min(max(4.0, 0.36 * size), 12.0)
    width, height = side + 2.6 + (_LIST if is_listed else 0), side + 1.9
    bottom, top = 1.3 / height, side / height
    shares = counts.shares().among(shown).matrix()
    with style.Canvas(width, height) as canvas:
        axes = canvas.figure.add_axes((1.5 / width, bottom, side / width, top))
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        axes.grid(False)
        axes.set_title("nearest neighbour's class, share of each class's queries", loc="left")
        axes.set_xlabel(f"class of the nearest neighbour{of_all}")
        axes.set_ylabel(f"class of the query{of_all}")
        if size <= _MOST_NAMED:
            names = [style.shortened(class_names[i], 16) for i in shown]
            fontsize = min(8.5, 420 / size)
            axes.set_xticks(range(size), names, rotation=90, fontsize=fontsize)
            axes.set_yticks(range(size), names, fontsize=fontsize)
        if is_listed:
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


def most_frequent(counts: confusion_lib.Counts, class_names: Sequence[str]) -> list[str]:
    """Returns the ten most frequent confusions in words, those of equal counts in order.

    Args:
        counts: How often queries of which class were confused with which.
        class_names: Name of each class.
    """
    return [
        f"{counts.values[k]} of {counts.values[counts.own == counts.own[k]].sum()}: "
        f"{style.shortened(class_names[counts.own[k]], 24)} → "
        f"{style.shortened(class_names[counts.taken_for[k]], 24)}"
        for k in _most_frequent(counts)
    ]


def _most_frequent(counts: confusion_lib.Counts) -> np.ndarray:
    """Returns the places of the ten most frequent confusions among the counts, int [10] or less."""
    wrong = np.flatnonzero(counts.own != counts.taken_for)
    return wrong[np.argsort(-counts.values[wrong], kind="stable")][:_MOST_LISTED]


def _shown(counts: confusion_lib.Counts) -> np.ndarray:
    """Returns the classes that the map has: all or, of hundreds, those of the listed confusions."""
    if counts.num_classes <= _MOST_MAPPED:
        return np.arange(counts.num_classes)
    listed = _most_frequent(counts)
    concerned = np.union1d(counts.own[listed], counts.taken_for[listed])
    return concerned if len(concerned) else np.arange(_MOST_LISTED)


def _list(figure: Any, place: tuple[float, float], confusions: Sequence[str]) -> None:
    title = "most frequent confusions: queries of a class → confused with"
    lines = (title, *confusions) if confusions else ("no query is confused with another class",)
    figure.text(*place, "\n".join(lines), va="top", fontsize=8.5, linespacing=1.8)
