import itertools
import random

import numpy as np
import pytest

from simsearch.index import columns
from simsearch.index.filters import matching
from simsearch.index.filters import tree as tree_lib
from simsearch.index.record import Record

VALUES = ("a", "b", "B", "ä", "", 0, 1, 1.0, 2.5, -3, 2**60, True, False)
CONSTANTS = (*VALUES, "aa", 0.5, 1e300, "\U0001f36a")
OPERATORS = ("=", "!=", "<", "<=", ">", ">=")


def record(number, value, name="x"):
    metadata = {} if value is None else {name: value}
    return Record(f"{number:032x}", str(number), "", metadata, "", 0, 0, "", number)


def expected(leaf, records):
    return [each is not None and matching.matches(leaf, each) for each in records]


LEAVES = [
    tree_lib.Exists("x"),
    tree_lib.In("x", ("a", 1, True, "nowhere")),
    tree_lib.In("x", ("nowhere",)),
    *(
        tree_lib.Compare("x", operator, value)
        for operator, value in itertools.product(OPERATORS, CONSTANTS)
    ),
]


@pytest.mark.parametrize("leaf", LEAVES, ids=map(repr, LEAVES))
def test_a_look_up_lets_through_what_a_walk_does(leaf):
    values = [*VALUES, None, *VALUES, None]
    random.Random(0).shuffle(values)
    records = [record(i, value) for i, value in enumerate(values)]
    records[3] = None
    column = columns.Column("x", records)
    np.testing.assert_array_equal(column.passes(leaf), expected(leaf, records))


def test_a_value_that_comes_later_takes_its_place_in_the_order():
    records = [record(i, value) for i, value in enumerate((1, 3, None))]
    column = columns.Column("x", records)
    leaf = tree_lib.Compare("x", "<", 3)
    assert column.passes(leaf).tolist() == [True, False, False]
    records[1:] = [record(1, 2), None]
    column.set([1, 2], records)
    assert column.passes(leaf).tolist() == [True, True, False]
    assert column.passes(tree_lib.Exists("x")).tolist() == [True, True, False]


def test_a_field_that_no_row_has_gets_no_column():
    records = [record(0, 1), record(1, 2, "y"), None]
    kept = columns.Columns(records)
    for i in range(200):
        for leaf in (tree_lib.Compare(f"f{i}", "!=", 1), tree_lib.Exists(f"f{i}")):
            assert not kept.passes(leaf).any()
    assert len(kept) == 0
    assert kept.passes(tree_lib.Exists("x")).tolist() == [True, False, False]
    kept.put([2, 0], [record(2, 3, "z"), None])
    assert kept.passes(tree_lib.Exists("z")).tolist() == [False, False, True]
    kept.put([2, 2, 2], [record(2, 3, "w"), record(2, 4, "w"), record(2, 3, "v")])
    for name, there in {"x": False, "y": True, "z": False, "w": False, "v": True}.items():
        assert kept.passes(tree_lib.Exists(name)).any() == there, name
    assert len(kept) == 4, "two of them from when there were such rows"


def test_the_columns_that_were_asked_for_last_are_kept():
    records = [record(i, i, f"f{i}") for i in range(40)]
    kept = columns.Columns(records)
    for i in range(40):
        for name in (f"f{i}", "path"):
            kept.passes(tree_lib.Exists(name))
    assert list(kept._columns) == [*(f"f{i}" for i in range(25, 40)), "path"]
    for i in range(40):
        assert np.flatnonzero(kept.passes(tree_lib.Compare(f"f{i}", "=", i))).tolist() == [i]


def test_values_of_rows_that_are_gone_are_forgotten():
    records = [record(i, i) for i in range(10)]
    column = columns.Column("x", records)
    for new in range(100, 1100):
        records[3] = record(3, new)
        column.set([3], records)
        assert len(column._code_of) <= 20
        for leaf in (tree_lib.Compare("x", ">", 5), tree_lib.Compare("x", "=", new)):
            assert column.passes(leaf).tolist() == expected(leaf, records)
