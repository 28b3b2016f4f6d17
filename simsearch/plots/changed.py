"""The queries that two versions answer differently, with what each of them finds first."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from simsearch.plots import neighbors, style

_TILE, _CAPTION, _TITLE, _HEADER = 1.3, 0.42, 0.72, 0.55  # inches
_GAP, _MARGIN, _BETWEEN = 0.16, 0.2, 0.55
_COLUMNS = 3
_LABEL_LENGTH = 16


class Change(NamedTuple):
    """A query, and the first result of each version.

    Attributes:
        image: uint8 [H, W, 3].
        caption: The query's class.
        results: Of the first and of the second version.
    """

    image: np.ndarray
    caption: str
    results: tuple[neighbors.Result, neighbors.Result]


class Block(NamedTuple):
    """Changes of one direction, under a heading."""

    heading: str
    changes: Sequence[Change]


def draw(
    path: str | os.PathLike, blocks: Sequence[Block], *, names: Sequence[str], title: str
) -> pathlib.Path:
    """Draws the blocks side by side, and returns the path of the PNG.

    Args:
        path: Where to.
        blocks: Such as the queries that were won and those that were lost.
        names: What the two versions are called, over their columns.
        title: Over the picture.
    """
    block_width = _COLUMNS * (_TILE + _GAP)
    lines = max(1, max(len(block.changes) for block in blocks))
    width = 2 * _MARGIN + len(blocks) * block_width + (len(blocks) - 1) * _BETWEEN
    height = _TITLE + _HEADER + lines * (_TILE + _CAPTION) + 0.1
    with style.Canvas(width, height) as canvas:

        def text(x: float, y: float, words: str, **options: Any) -> None:
            canvas.figure.text(x / width, 1 - y / height, words, va="center", **options)

        def tile(x: float, line: int) -> Any:
            bottom = height - _TITLE - _HEADER - _TILE - line * (_TILE + _CAPTION)
            box = (x / width, bottom / height, _TILE / width, _TILE / height)
            return canvas.figure.add_axes(box)

        text(_MARGIN, 0.25, title, fontsize=11, fontweight="bold")
        results = (
            result for block in blocks for change in block.changes for result in change.results
        )
        text(_MARGIN, 0.5, neighbors.key(results), fontsize=8, color=style.FAINT)
        for i, block in enumerate(blocks):
            left = _MARGIN + i * (block_width + _BETWEEN)
            places = [left + column * (_TILE + _GAP) for column in range(_COLUMNS)]
            text(left, _TITLE + 0.08, block.heading, fontsize=9.5, fontweight="bold")
            for x, name in zip(places, ("query", *names), strict=True):
                text(x + _TILE / 2, _TITLE + 0.36, name, fontsize=8.5, ha="center")
            if not block.changes:
                text(left, _TITLE + _HEADER + 0.3, "none", fontsize=9, color=style.FAINT)
            for line, change in enumerate(block.changes):
                axes = tile(places[0], line)
                style.show_tile(axes, change.image, color=style.QUERY)
                caption = style.shortened(change.caption, _LABEL_LENGTH)
                axes.set_xlabel(caption, fontsize=8, color=style.QUERY, fontweight="bold")
                for x, result in zip(places[1:], change.results, strict=True):
                    neighbors.draw_result(tile(x, line), result)
        return canvas.save(path)
