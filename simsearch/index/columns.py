"""Fields of every row in memory, so that a filter's comparison is a look-up and no walk."""

import bisect
import collections
import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from simsearch.index import record as record_lib
from simsearch.index.filters import matching
from simsearch.index.filters import tree as tree_lib
from simsearch.index.record import Record

# Of the rows that have no value.
_NONE = 0
_MOST_COLUMNS = 16


class Columns:
    """The columns of the fields that filters asked for lately, made when they ask.

    A field that no row has gets none: whoever may send a filter can invent as many as he likes.
    """

    def __init__(self, records: list[Record | None]) -> None:
        """Looks at the names of the metadata.

        Args:
            records: One for each row, None where the row has no value. The list may grow; only
                `put` may change what is there.
        """
        self._records = records
        self._columns: collections.OrderedDict[str, Column] = collections.OrderedDict()
        there = (record.metadata for record in records if record is not None)
        self._rows_with = collections.Counter(itertools.chain.from_iterable(there))

    def __len__(self) -> int:
        return len(self._columns)

    def put(self, rows: Sequence[int], records: Sequence[Record | None]) -> None:
        """Gives some rows other records."""
        for row, record in zip(rows, records, strict=True):
            old, self._records[row] = self._records[row], record
            if record is not None:
                self._rows_with.update(record.metadata.keys())
            for name in () if old is None else old.metadata:
                self._rows_with[name] -= 1
                if not self._rows_with[name]:
                    del self._rows_with[name]
        for column in self._columns.values():
            column.set(rows, self._records)

    def clear(self) -> None:
        """Forgets the columns, as it must when there are more rows."""
        self._columns.clear()

    def passes(self, leaf: tree_lib.Compare | tree_lib.In | tree_lib.Exists) -> np.ndarray:
        """Returns which rows a comparison lets through, bool [rows]."""
        name = leaf.field
        if name not in record_lib.FIELDS and name not in self._rows_with:
            return np.zeros(len(self._records), bool)
        if name not in self._columns:
            while len(self._columns) >= _MOST_COLUMNS:
                self._columns.popitem(last=False)
            self._columns[name] = Column(name, self._records)
        self._columns.move_to_end(name)
        return self._columns[name].passes(leaf)


class Column:
    """A field as codes of its different values.

    A comparison finds the codes that pass by hash or by bisection, whatever the number of values:
    a server compares with hundreds that a stranger sent, of paths that all differ.
    """

    def __init__(self, name: str, records: Sequence[Record | None]) -> None:
        """Reads the field of each row; a row without a record has no value.

        Args:
            name: Name of the field.
            records: One for each row.
        """
        self._name = name
        self._read(records)

    def _read(self, records: Sequence[Record | None]) -> None:
        self._codes = np.full(len(records), _NONE, np.int32)
        self._code_of: dict[tuple[str, tree_lib.Constant], int] = {}
        self._ordered: dict[str, tuple[list[tree_lib.Constant], np.ndarray]] = {}
        self._set(range(len(records)), records)

    def set(self, rows: Iterable[int], records: Sequence[Record | None]) -> None:
        """Reads the field of some rows anew; `records` are those of all rows."""
        self._set(rows, records)
        # Most of them are then of values that no row has any more.
        if len(self._code_of) > 2 * len(records):
            self._read(records)

    def _set(self, rows: Iterable[int], records: Sequence[Record | None]) -> None:
        for row in rows:
            record = records[row]
            value = None if record is None else record_lib.field(record, self._name)
            if value is None:
                self._codes[row] = _NONE
                continue
            key = matching.comparable(value)
            if key not in self._code_of:
                self._code_of[key] = len(self._code_of) + 1
                self._ordered.clear()
            self._codes[row] = self._code_of[key]

    def passes(self, leaf: tree_lib.Compare | tree_lib.In | tree_lib.Exists) -> np.ndarray:
        """Returns which rows a comparison lets through, bool [rows]."""
        passing = np.zeros(len(self._code_of) + 1, bool)
        match leaf:
            case tree_lib.Exists():
                passing[_NONE + 1 :] = True
            case tree_lib.In(_, values):
                passing[[self._code(value) for value in values]] = True
            case tree_lib.Compare(_, "=", value):
                passing[self._code(value)] = True
            case tree_lib.Compare(_, "!=", value):
                passing[self._in_order(matching.kind(value))[1]] = True
                passing[self._code(value)] = False
            case tree_lib.Compare(_, operator, value):
                passing[self._beyond(operator, value)] = True
        passing[_NONE] = False
        return passing[self._codes]

    def _code(self, value: tree_lib.Constant) -> int:
        return self._code_of.get(matching.comparable(value), _NONE)

    def _beyond(self, operator: str, value: tree_lib.Constant) -> np.ndarray:
        """Returns the codes of the values on one side of another."""
        sort, value = matching.comparable(value)
        if sort == "boolean":
            return np.zeros(0, np.int64)
        values, codes = self._in_order(sort)
        if operator == "<":
            return codes[: bisect.bisect_left(values, value)]
        if operator == "<=":
            return codes[: bisect.bisect_right(values, value)]
        if operator == ">":
            return codes[bisect.bisect_right(values, value) :]
        return codes[bisect.bisect_left(values, value) :]

    def _in_order(self, sort: str) -> tuple[list[tree_lib.Constant], np.ndarray]:
        """Returns the values of one kind in ascending order, and their codes."""
        if sort not in self._ordered:
            pairs = sorted(
                (value, code) for (kind, value), code in self._code_of.items() if kind == sort
            )
            codes = np.array([code for _, code in pairs], np.int64)
            self._ordered[sort] = [value for value, _ in pairs], codes
        return self._ordered[sort]
