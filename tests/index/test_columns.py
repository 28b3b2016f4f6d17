import itertools
import random

import numpy as np
import pytest

from simsearch.index import columns, filters
from simsearch.index.record import Record

VALUES = ("a", "b", "B", "ä", "", 0, 1, 1.0, 2.5, -3, 2**60, True, False)
CONSTANTS = (*VALUES, "aa", 0.5, 1e300, "\U0001f36a")
OPERATORS = ("=", "!=", "<", "<=", ">", ">=")


def record(number, value):
    metadata = {} if value is None else {"x": value}
    return Record(f"{number:032x}", str(number), "", metadata, "", 0, 0, "", number)


def expected(leaf, records):
    return [each is not None and filters.matches(leaf, each) for each in records]


LEAVES = [
    filters.Exists("x"),
    filters.In("x", ("a", 1, True, "nowhere")),
    filters.In("x", ("nowhere",)),
    *(
        filters.Compare("x", operator, value)
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
    leaf = filters.Compare("x", "<", 3)
    assert column.passes(leaf).tolist() == [True, False, False]
    records[1:] = [record(1, 2), None]
    column.set([1, 2], records)
    assert column.passes(leaf).tolist() == [True, True, False]
    assert column.passes(filters.Exists("x")).tolist() == [True, True, False]
