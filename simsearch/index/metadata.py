"""Metadata of images: a CSV file with a row for each, types told from the values."""

import csv
import itertools
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from simsearch import errors, wording
from simsearch.index import files
from simsearch.index.filters import tokens as tokens_lib
from simsearch.index.record import FIELDS, Value

_PATH_COLUMNS = ("path", "file", "filename", "file_name", "image")
_LABEL_COLUMN = "label"
_NAME = re.compile(r"[^\W\d]\w*")
_LONGEST_NAME = 60
# Leading zeros are those of a code, such as 007, which a number would lose.
_WHOLE = re.compile(r"[+-]?(?:0|[1-9]\d*)", re.ASCII)
_REAL = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


class Labels(NamedTuple):
    """What a CSV file says of an image; label "" where it says none."""

    label: str
    metadata: dict[str, Value]


def read_csv(path: str | os.PathLike) -> dict[str, Labels]:
    """Returns label and metadata by the images' paths below the indexed folder.

    Args:
        path: A CSV file with a header. One column is named path, file, filename, file_name or
            image; a label in a column of that name wins over the class folder; all others are
            metadata. A column is of booleans (true, false), of numbers or of text; an empty cell
            is no value, and a row of nothing else is passed over. Numbers are finite, have no
            leading zeros, and whole ones 64 bits.

    Raises:
        UsageError: Where it cannot be read so.
    """
    try:
        # utf-8-sig: spreadsheets write a byte order mark.
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            # With the line that each ends in: one may go over several.
            lines = [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise errors.UsageError(f"--labels={path} must be a CSV file in UTF-8: {reason}") from error
    if not lines:
        raise errors.UsageError(f"--labels={path} must have a header, and it is empty")
    header = lines[0][1]
    if unnamed := [i for i, name in enumerate(header, 1) if not name.strip()]:
        raise errors.UsageError(
            f"--labels={path}: column {unnamed[0]} has no name; name it, or leave it out (pandas: "
            "to_csv(index=False))"
        )
    names = [_column_name(name) for name in header]
    key = next((name for name in _PATH_COLUMNS if name in names), None)
    if key is None:
        is_other = len(names) == 1 and any(mark in header[0] for mark in ";\t")
        raise errors.UsageError(
            f"--labels={path} must have a column named path (or {', '.join(_PATH_COLUMNS[1:])})"
            f"{', with commas between the columns' if is_other else ''}; its columns: "
            f"{', '.join(header)}"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        written = [header[i] for i, name in enumerate(names) if name == twice[0]]
        raise errors.UsageError(
            f"--labels={path} has the column {twice[0]} more than once: {wording.listed(written)}"
        )
    metadata = [name for name in names if name not in (key, _LABEL_COLUMN)]
    for name in metadata:
        check_name(name, written=header[names.index(name)], where=f"--labels={path}: ")
    rows = _rows(path, lines, names, key)
    if not rows:
        # Metadata that a table does not say is removed, and an export that failed is likelier.
        raise errors.UsageError(f"--labels={path} has a header and no rows")
    return _by_path(path, rows, key, metadata)


def _rows(
    path: str | os.PathLike,
    lines: Sequence[tuple[int, Sequence[str]]],
    names: Sequence[str],
    key: str,
) -> list[dict[str, str]]:
    """Returns the cells of each row by their columns.

    Args:
        path: The CSV file.
        lines: Rows of the file, the header first, each with the line of the file that it ends in.
        names: Names of the columns.
        key: The column of the images' paths.
    """
    rows = []
    for (end, _), (_, line) in itertools.pairwise(lines):
        number = end + 1
        if len(line) not in (0, len(names)):
            raise errors.UsageError(
                f"--labels={path} has {len(line)} cells in line {number} and {len(names)} columns"
            )
        cells = [cell.strip() for cell in line]
        if not any(cells):
            continue
        row = dict(zip(names, cells, strict=True))
        if not row[key]:
            raise errors.UsageError(
                f"--labels={path} names no image in line {number}; its {key} is empty"
            )
        rows.append(row)
    return rows


def _by_path(
    path: str | os.PathLike, rows: Sequence[Mapping[str, str]], key: str, metadata: Sequence[str]
) -> dict[str, Labels]:
    columns = {name: _typed([row[name] for row in rows]) for name in metadata}
    found = {}
    for i, row in enumerate(rows):
        label = row.get(_LABEL_COLUMN, "")
        values = {name: columns[name][i] for name in metadata if columns[name][i] is not None}
        name = row[key].replace(os.sep, "/").removeprefix("./")
        if name in found:
            raise errors.UsageError(f"--labels={path} has more than one row of {name}")
        found[name] = Labels(label, values)
    return found


def check_name(name: str, *, written: str = "", where: str = "") -> None:
    """Raises UsageError where a metadata column may not be named so.

    Args:
        name: Name of the column, as a filter writes it.
        written: What the name was made of; "": the name itself.
        where: What the message begins with.
    """
    is_name = isinstance(name, str) and _NAME.fullmatch(name)
    if not is_name or name in FIELDS or len(name) > _LONGEST_NAME:
        raise errors.UsageError(
            f"{where}a metadata column must be named by at most {_LONGEST_NAME} letters, digits "
            f"and _, no digit first, and not {', '.join(FIELDS)}; {written or name!r} is not"
        )
    if name.lower() in tokens_lib.WORDS:
        raise errors.UsageError(
            f"{where}no filter could ask for a metadata column named {written or name!r}: it is a "
            f"word of filters, as are {', '.join(sorted(tokens_lib.WORDS))}; rename it"
        )


def checked(metadata: Mapping[str, Value | np.generic]) -> dict[str, Value]:
    """Returns metadata without missing values, NumPy's scalars as Python's.

    Raises:
        UsageError: Where it is no mapping, or a name or the type of a value cannot be stored.
    """
    if not isinstance(metadata, Mapping):
        raise errors.UsageError(
            "the metadata of an image must be a dict of its columns (pandas: "
            f"to_dict('records')), and this is {type(metadata).__name__}"
        )
    kept = {}
    for name, value in metadata.items():
        check_name(name)
        if value is None:
            continue
        if isinstance(value, np.generic):
            value = value.item()
        if not _can_be_stored(value):
            raise errors.UsageError(
                f"metadata {name}={value!r} must be a text, a finite number (a whole one of 64 "
                "bits), True or False"
            )
        kept[name] = value
    return kept


def _column_name(header: str) -> str:
    return re.sub(r"\W+", "_", header.strip()).strip("_").lower()


def _typed(cells: list[str]) -> list[Value]:
    """Returns a column's values in the narrowest type that takes all of them."""
    there = [cell for cell in cells if cell]
    for convert in (_boolean, _whole, _number):
        try:
            for cell in there:
                convert(cell)
        except ValueError:
            continue
        return [_converted(convert, cell) for cell in cells]
    return [cell or None for cell in cells]


def _converted(convert: Callable[[str], Value], cell: str) -> Value:
    return convert(cell) if cell else None


def _boolean(cell: str) -> bool:
    if cell.lower() not in ("true", "false"):
        raise ValueError(cell)
    return cell.lower() == "true"


def _whole(cell: str) -> int:
    if not _WHOLE.fullmatch(cell) or not _fits(int(cell)):
        raise ValueError(cell)
    return int(cell)


def _number(cell: str) -> float:
    if _WHOLE.fullmatch(cell):
        return float(_whole(cell))
    if not _REAL.fullmatch(cell) or not math.isfinite(float(cell)):
        raise ValueError(cell)
    return float(cell)


def _can_be_stored(value: Value) -> bool:
    if type(value) is int:
        return _fits(value)
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is str:
        return files.storable(value) == value
    return type(value) is bool


def _fits(number: int) -> bool:
    return -(2**63) <= number < 2**63
