"""One image of a picture of search results: framed, marked right or wrong, with its captions."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import axes, patches

from simsearch.retrieval.plots import style

SIDE = 150  # of a result, in pixels
GAP = 14
CAPTION = 44  # height of two lines below a tile
FRAME = 4
_BADGE = 22
_INSET = FRAME / 2 + 3


class Result(NamedTuple):
    """One retrieved image."""

    image: np.ndarray  # uint8 [H, W, 3]
    score: float
    caption: str
    correct: bool | None  # None where nobody knows
    probability: float | None = None  # that it is of the query's class


def draw_query(
    sheet: axes.Axes, left: float, top: float, *, image: np.ndarray, caption: str, side: float
) -> None:
    """Draws a query on a sheet: its own colour, a double frame and the word "query".

    Args:
        sheet: As `style.sheet` makes it.
        left: Of the tile, in pixels.
        top: Of the tile, in pixels.
        image: uint8 [H, W, 3].
        caption: A line below it.
        side: Of the tile, in pixels.
    """
    _box(sheet, left - 5, top - 5, side + 10, colour=style.QUERY, width=1.5)
    _box(sheet, left, top, side, colour=style.QUERY, width=FRAME)
    _image(sheet, left, top, side, image=image)
    middle, below = left + side / 2, top + side + 10
    lines = (("query", True, style.QUERY), (caption, False, style.INK))
    for i, (words, bold, colour) in enumerate(lines):
        style.write(
            *(sheet, middle, below + 18 * i, words),
            across="center",
            bold=bold,
            colour=colour,
            width=side + GAP - 4,
        )


def draw_result(sheet: axes.Axes, left: float, top: float, *, result: Result) -> None:
    """Draws a result on a sheet, score and label below it.

    Args:
        sheet: As `style.sheet` makes it.
        left: Of the tile, in pixels.
        top: Of the tile, in pixels.
        result: What to draw.
    """
    colour = frame_colour(result.correct)
    _box(sheet, left, top, SIDE, colour=colour, width=FRAME)
    _image(sheet, left, top, SIDE, image=result.image)
    if result.correct is not None:
        _mark(sheet, left + SIDE, top, correct=result.correct, colour=colour)
    score = f"{result.score:.3f}"
    if result.probability is not None:
        score += f"  ·  {result.probability:.0%} sure"
    middle, below, width = left + SIDE / 2, top + SIDE + 6, SIDE + GAP - 4
    style.write(sheet, middle, below, score, across="center", bold=True, colour=colour, width=width)
    style.write(sheet, middle, below + 18, result.caption, across="center", width=width)


def draw_grid(
    sheet: axes.Axes, left: float, top: float, *, results: Sequence[Result], columns: int
) -> None:
    """Draws results in reading order, in rows of `columns`."""
    for i, result in enumerate(results):
        row, column = divmod(i, columns)
        draw_result(sheet, left + column * (SIDE + GAP), top + row * row_height(), result=result)


def row_height() -> int:
    """Returns the height of a row of results with the space below it, in pixels."""
    return SIDE + CAPTION + GAP


def num_rows(count: int, columns: int) -> int:
    """Returns how many rows `count` results take: one at least."""
    return max(1, math.ceil(count / columns))


def frame_colour(correct: bool | None) -> str:
    """Returns the colour that says right, wrong or unknown."""
    if correct is None:
        return style.NEUTRAL
    return style.RIGHT if correct else style.WRONG


def _box(
    sheet: axes.Axes, left: float, top: float, side: float, *, colour: str, width: float
) -> None:
    sheet.add_patch(
        patches.Rectangle(
            (left, top),
            side,
            side,
            facecolor=style.SHADE,
            edgecolor=colour,
            linewidth=style.points(width),
            joinstyle="miter",
        )
    )


def _image(sheet: axes.Axes, left: float, top: float, side: float, *, image: np.ndarray) -> None:
    """Draws a whole image in the middle of a square, its shape kept."""
    height, width = image.shape[:2]
    room = side - 2 * _INSET
    # At least a pixel: of a line of 1 x 1000 something is seen, too.
    across = max(1.0, room * width / max(height, width))
    down = max(1.0, room * height / max(height, width))
    x, y = left + (side - across) / 2, top + (side - down) / 2
    sheet.imshow(
        image,
        extent=(x, x + across, y + down, y),
        aspect="auto",
        # Few pixels are shown as the squares that they are.
        interpolation="nearest" if max(height, width) * 3 <= room else "antialiased",
        zorder=2,
    )


def _mark(sheet: axes.Axes, right: float, top: float, *, correct: bool, colour: str) -> None:
    """Draws a check or a cross into the upper right corner of a tile."""
    left = right - _BADGE
    corner = (left, top)
    sheet.add_patch(
        patches.Rectangle(corner, _BADGE, _BADGE, facecolor=colour, linewidth=0, zorder=3)
    )
    strokes = [[(6, 11.5), (9.5, 15.5), (16, 7)]]
    if not correct:
        strokes = [[(6.5, 6.5), (15.5, 15.5)], [(15.5, 6.5), (6.5, 15.5)]]
    for stroke in strokes:
        x, y = zip(*stroke, strict=True)
        sheet.plot(
            [left + step for step in x],
            [top + step for step in y],
            color=style.PAPER,
            linewidth=style.points(2.6),
            solid_capstyle="round",
            solid_joinstyle="round",
            zorder=4,
        )
