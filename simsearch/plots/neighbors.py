"""Queries with their most similar images: one query as a sheet, several as rows of a page."""

import math
import os
import pathlib
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from simsearch.plots import style

_TILE, _CAPTION, _TITLE, _KEY = 1.45, 0.42, 0.55, 0.2  # inches
_LABEL_LENGTH = 18
_KEY_LETTERS = 16  # to the inch
_PAGE_COLUMNS = 10
_PALE = 0.4


class Result(NamedTuple):
    """One retrieved image.

    Attributes:
        image: uint8 [H, W, 3].
        score: Cosine with the query.
        caption: Its class, or its path where it has none.
        correct: Whether the class is the query's; None where nobody knows.
        probability: That the two are of the same class, where a calibration tells.
        is_weak: Whether it is under the threshold of a match: drawn pale.
    """

    image: np.ndarray
    score: float
    caption: str
    correct: bool | None = None
    probability: float | None = None
    is_weak: bool = False


class Row(NamedTuple):
    """A query and what it retrieved.

    Attributes:
        image: uint8 [H, W, 3].
        caption: Its class, or its path where it has none.
        results: The most similar first.
        name: What stands under it beside the caption.
    """

    image: np.ndarray
    caption: str
    results: Sequence[Result]
    name: str = "query"


def draw(
    path: str | os.PathLike, row: Row, *, title: str = "", num_columns: int = 8
) -> pathlib.Path:
    """Draws one query with its results, and returns the path of the PNG.

    Args:
        path: Where to.
        row: The query and its results.
        title: Over the picture.
        num_columns: Results side by side at most; more go on below, in lines alike.
    """
    lines = max(1, math.ceil(len(row.results) / num_columns))
    columns = max(1, math.ceil(len(row.results) / lines))
    with _sheet(lines, columns + 1, title, key=key(row.results)) as sheet:
        _draw_query(sheet.tile(0, 0), row)
        for i, result in enumerate(row.results):
            draw_result(sheet.tile(i // columns, 1 + i % columns), result)
        return sheet.canvas.save(path)


def draw_page(path: str | os.PathLike, rows: Sequence[Row], *, title: str = "") -> pathlib.Path:
    """Draws several queries, one below the other, and returns the path of the PNG.

    Args:
        path: Where to.
        rows: The queries and their results; more than 10 results go on in the next line.
        title: Over the picture.
    """
    most = max((len(row.results) for row in rows), default=0)
    columns = max(1, min(_PAGE_COLUMNS, most))
    pitch = max(1, math.ceil(most / columns))
    words = key(result for row in rows for result in row.results)
    with _sheet(max(1, len(rows)) * pitch, columns + 1, title, key=words) as sheet:
        for line, row in enumerate(rows):
            _draw_query(sheet.tile(line * pitch, 0), row)
            for i, result in enumerate(row.results):
                below, beside = divmod(i, columns)
                draw_result(sheet.tile(line * pitch + below, 1 + beside), result)
        return sheet.canvas.save(path)


def key(results: Iterable[Result]) -> str:
    """Returns what the frames and numbers of a picture mean; nothing where there is no result.

    Args:
        results: All that it shows: only what they have is explained.
    """
    results = list(results)
    parts = ["blue: the query"]
    if any(result.correct is not None for result in results):
        parts += ["green ✓: of its class", "orange ✗: of another"]
    has_probability = any(result.probability is not None for result in results)
    parts.append(f"numbers: cosine{' · probability of the same class' if has_probability else ''}")
    return "; ".join(parts) if results else ""


class _sheet:  # noqa: N801 - a context manager that reads as a function
    """A grid of tiles with room for captions, the query's column a little apart."""

    def __init__(self, lines: int, columns: int, title: str, *, key: str) -> None:
        self._gap, self._margin = 0.16, 0.2
        self._head = _TITLE if title else 0.15
        self._width = 2 * self._margin + columns * (_TILE + self._gap) + self._gap
        self._text, self._key = title, textwrap.wrap(key, int(self._width * _KEY_LETTERS))
        self._title = self._head + _KEY * len(self._key)
        self._height = self._title + lines * (_TILE + _CAPTION) + 0.1
        self.canvas = style.Canvas(self._width, self._height)

    def __enter__(self) -> "_sheet":
        self.canvas.__enter__()
        if self._text:
            self.canvas.figure.text(
                self._margin / self._width,
                1 - 0.28 / self._height,
                style.shortened(self._text, int(self._width * 12)),
                fontsize=11,
                fontweight="bold",
                va="center",
            )
        for number, line in enumerate(self._key):
            top = self._head + number * _KEY
            place = (self._margin / self._width, 1 - top / self._height)
            self.canvas.figure.text(*place, line, fontsize=8, color=style.FAINT, va="center")
        return self

    def __exit__(self, *error: object) -> None:
        self.canvas.__exit__(*error)

    def tile(self, line: int, column: int) -> Any:
        left = self._margin + column * (_TILE + self._gap) + (self._gap if column else 0)
        bottom = self._height - self._title - _TILE - line * (_TILE + _CAPTION)
        box = (left / self._width, bottom / self._height)
        return self.canvas.figure.add_axes((*box, _TILE / self._width, _TILE / self._height))


def _draw_query(axes: Any, row: Row) -> None:
    style.show_tile(axes, row.image, color=style.QUERY, width=4)
    name, caption = (style.shortened(text, _LABEL_LENGTH) for text in (row.name, row.caption))
    axes.set_xlabel(f"{name}\n{caption}", fontsize=8, color=style.QUERY, fontweight="bold")


def draw_result(axes: Any, result: Result) -> None:
    """Draws a retrieved image in a frame that says whether it is right, with class and score."""
    color, sign = {
        True: (style.RIGHT, "✓ "),
        False: (style.WRONG, "✗ "),
        None: (style.NEUTRAL, ""),
    }[result.correct]
    style.show_tile(axes, result.image, color=color, alpha=_PALE if result.is_weak else 1.0)
    score = f"{result.score:.3f}"
    if result.probability is not None:
        score += f" · {style.percent(result.probability)}"
    caption = style.shortened(result.caption, _LABEL_LENGTH)
    text = style.FAINT if result.is_weak else style.TEXT
    axes.set_xlabel(f"{sign}{caption}\n{score}", fontsize=8, color=text)
