"""A page of training images as the network sees them: triplets, and one image augmented often."""

import os
import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from simsearch.plots import style

_TILE, _GAP, _BAND, _CAPTION, _MARGIN = 1.3, 0.1, 0.42, 0.3, 0.25  # inches
_HEAD, _COLUMN_TITLES = 0.85, 0.3
_LABEL_LENGTH, _LINE_LENGTH = 23, 185
_MIXED = 0.14  # inches of a second line
_BACKGROUNDS = ("#F4F6F8", "#F8F6F2")


class Tile(NamedTuple):
    """An image of a batch.

    Attributes:
        image: uint8 [S, S, 3].
        caption: Its class.
        mixed: What was mixed in, a line of its own.
    """

    image: np.ndarray
    caption: str
    mixed: str = ""


class Row(NamedTuple):
    """A triplet, and its anchor's image again.

    Attributes:
        anchor: The anchor.
        positive: Another image of its class; None where the batch has none.
        negative: An image of another class; None where the batch has none.
        plain: The anchor's image as evaluation sees it.
        again: The anchor's image augmented anew, several times, captioned where it is mixed.
    """

    anchor: Tile
    positive: Tile | None
    negative: Tile | None
    plain: Tile
    again: Sequence[Tile]


def draw(
    path: str | os.PathLike, rows: Sequence[Row], *, title: str, subtitle: Sequence[str]
) -> pathlib.Path:
    """Draws the page and returns the path of the PNG.

    Args:
        path: Where to.
        rows: The triplets, all with as many images `again`.
        title: Over the page.
        subtitle: Lines below it: the settings.
    """
    num_again = len(rows[0].again)
    lines = [part for line in subtitle for part in textwrap.wrap(line, _LINE_LENGTH)]
    tiles = [tile for row in rows for tile in (row.anchor, row.positive, row.negative, *row.again)]
    is_mixed = any(tile.mixed for tile in tiles if tile is not None)
    with _Page(len(rows), num_again, len(lines), is_mixed=is_mixed) as page:
        page.write_head(title, lines)
        for line, row in enumerate(rows):
            tiles = (row.anchor, row.positive, row.negative)
            colors = (style.QUERY, style.RIGHT, style.WRONG)
            for column, (tile, color) in enumerate(zip(tiles, colors, strict=True)):
                page.draw_tile(line, column, tile, color=color)
            page.draw_tile(line, 3, row.plain, color=style.NEUTRAL)
            for column, tile in enumerate(row.again, 4):
                page.draw_tile(line, column, tile, color=style.QUERY, width=1.5)
        return page.canvas.save(path)


class _Page:
    """The grid: two bands of columns side by side, the triplets and the anchor's image again."""

    def __init__(
        self, num_lines: int, num_again: int, num_subtitles: int, *, is_mixed: bool
    ) -> None:
        pitch = _TILE + _GAP
        self._lefts = [_MARGIN + column * pitch for column in range(3)]
        self._lefts += [_MARGIN + _BAND + column * pitch for column in range(3, 4 + num_again)]
        self._num_lines = num_lines
        self._head = _HEAD + 0.2 * num_subtitles + _COLUMN_TITLES
        self._width = self._lefts[-1] + _TILE + _MARGIN
        self._pitch = _TILE + _CAPTION + (_MIXED if is_mixed else 0)
        self._height = self._head + num_lines * self._pitch + 0.05
        self.canvas = style.Canvas(self._width, self._height)

    def __enter__(self) -> "_Page":
        self.canvas.__enter__()
        self._draw_bands()
        return self

    def __exit__(self, *error: object) -> None:
        self.canvas.__exit__(*error)

    def write_head(self, title: str, subtitle: Sequence[str]) -> None:
        self._text(_MARGIN, 0.3, title, fontsize=13, fontweight="bold")
        for number, line in enumerate(subtitle):
            text = style.shortened(line, _LINE_LENGTH)
            self._text(_MARGIN, 0.58 + 0.2 * number, text, fontsize=8.5, color=style.FAINT)
        names = ("anchor", "positive", "negative", "not augmented", "the anchor's image again")
        colors = (style.QUERY, style.RIGHT, style.WRONG, style.TEXT, style.QUERY)
        for left, name, color in zip(self._lefts, names, colors, strict=False):
            text = {"fontsize": 9, "fontweight": "bold", "color": color}
            self._text(left, self._head - 0.16, name, **text)

    def draw_tile(
        self, line: int, column: int, tile: Tile | None, *, color: str, width: float = 2.5
    ) -> None:
        if tile is None:
            return
        left = self._lefts[column]
        top = self._head + line * self._pitch
        axes = self._axes(left, top, _TILE, _TILE)
        style.show_tile(axes, tile.image, color=color, width=width)
        words = (style.shortened(text, _LABEL_LENGTH) for text in (tile.caption, tile.mixed))
        axes.set_xlabel("\n".join(filter(None, words)), fontsize=7.5, color=style.TEXT, labelpad=3)

    def _draw_bands(self) -> None:
        bands = ((self._lefts[0], self._lefts[2]), (self._lefts[3], self._lefts[-1]))
        for (left, right), color in zip(bands, _BACKGROUNDS, strict=True):
            edge, top = 0.1, self._head - _COLUMN_TITLES - 0.05
            axes = self._axes(
                left - edge, top, right + _TILE - left + 2 * edge, self._height - top - 0.02
            )
            axes.set(xticks=[], yticks=[], facecolor=color)
            axes.spines[:].set_visible(False)

    def _axes(self, left: float, top: float, width: float, height: float) -> Any:
        bottom = self._height - top - height
        return self.canvas.figure.add_axes(
            (
                left / self._width,
                bottom / self._height,
                width / self._width,
                height / self._height,
            )
        )

    def _text(self, left: float, top: float, text: str, **options: Any) -> None:
        x, y = left / self._width, 1 - top / self._height
        self.canvas.figure.text(x, y, text, va="center", **options)
