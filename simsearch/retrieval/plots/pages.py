"""The page of several queries, each with its results in a row."""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from simsearch.retrieval.plots import style, tiles
from simsearch.retrieval.plots.tiles import Result as Result

_MARGIN = 26
_TITLE_HEIGHT = 44
_RESULTS_LEFT = _MARGIN + tiles.SIDE + 44
_BETWEEN = 20
_MAX_COLUMNS = 10


class Row(NamedTuple):
    """A query and what was retrieved for it."""

    query: np.ndarray  # uint8 [H, W, 3]
    caption: str
    results: Sequence[Result]


def draw(path: str | os.PathLike, *, title: str, rows: Sequence[Row]) -> pathlib.Path:
    """Draws a page and returns its path.

    Args:
        path: PNG file to write.
        title: A line above all.
        rows: From top to bottom; more than 10 results go on in a further line.
    """
    most = max((len(row.results) for row in rows), default=1)
    columns = min(_MAX_COLUMNS, max(2, most))
    heights = [
        tiles.num_rows(len(row.results), columns) * tiles.row_height() + _BETWEEN for row in rows
    ]
    width = _RESULTS_LEFT + columns * (tiles.SIDE + tiles.GAP) - tiles.GAP + _MARGIN
    figure = style.new_figure(width, _MARGIN + _TITLE_HEIGHT + sum(heights))
    sheet = style.sheet(figure)
    style.write(
        *(sheet, _MARGIN - 6, 20, title), size=style.TITLE, bold=True, width=width - 2 * _MARGIN
    )
    top = _MARGIN + _TITLE_HEIGHT
    for i, (row, height) in enumerate(zip(rows, heights, strict=True)):
        if i:
            rule = top - _BETWEEN - 2
            sheet.plot([_MARGIN, width - _MARGIN], [rule, rule], color=style.RULE, linewidth=1)
        tiles.draw_query(sheet, _MARGIN, top, image=row.query, caption=row.caption, side=tiles.SIDE)
        tiles.draw_grid(sheet, _RESULTS_LEFT, top, results=row.results, columns=columns)
        top += height
    return style.save(figure, path)
