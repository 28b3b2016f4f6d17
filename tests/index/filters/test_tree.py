import numpy as np
import pytest

from simsearch import errors
from simsearch.index import record as record_lib
from simsearch.index.filters import matching, parser
from simsearch.index.filters import tree as tree_lib
from simsearch.index.filters.tree import And, Compare, Exists, In, Not, Or
from simsearch.index.lance import sql as sql_lib
from simsearch.index.milvus import expression as expression_lib
from tests.index import stores
from tests.index.test_conformance import random_tree

A, B, C = Compare("a", "=", 1), In("b", (1, "x")), Exists("c")


def alternating(levels, leaf=A):
    """Returns a filter whose And and Or stand in one another so many levels deep."""
    tree = leaf
    for level in range(levels):
        tree = (And, Or)[level % 2]((leaf, tree))
    return tree


def places(tree, above=None):
    """Yields each part of a filter, and what it is a part of."""
    yield tree, above
    for part in getattr(tree, "parts", None) or ((tree.part,) if isinstance(tree, Not) else ()):
        yield from places(part, tree)


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (Not(Not(A)), A),
        (Not(Not(Not(A))), Not(A)),
        (Not(And((A, Not(B)))), Or((Not(A), B))),
        (Not(Or((A, And((B, Not(C)))))), And((Not(A), Or((Not(B), C))))),
        (And((A, And((B, C)))), And((A, B, C))),
        (Or((Not(And((A, B))), C)), Or((Not(A), Not(B), C))),
        (And((Or((A,)), Not(Not(B)))), And((A, B))),
        (Or((Or((Or((A,)),)),)), A),
    ],
)
def test_a_not_goes_to_the_comparisons_and_parts_of_a_kind_become_one(tree, expected):
    # Trees of different sorts can be equal as tuples, but are never written alike.
    assert repr(tree_lib.normal_form(tree)) == repr(expected)


def test_the_normal_form_lets_the_same_through():
    rng = np.random.default_rng(5)
    records = [row.record for row in stores.collection(rng, 40)]
    for _ in range(400):
        tree = Not(random_tree(rng)) if rng.random() < 0.5 else random_tree(rng)
        normal = tree_lib.normal_form(tree)
        for part, above in places(normal):
            assert not (isinstance(part, And | Or) and isinstance(above, Not | type(part))), normal
            assert not (isinstance(part, Not) and isinstance(above, Not)), normal
            assert not isinstance(part, And | Or) or len(part.parts) > 1, normal
        for record in records:
            assert matching.matches(tree, record) == matching.matches(normal, record), tree


def test_engines_are_given_no_not_over_a_not():
    tree = parser.parse("not " * 49 + "label = 'a'")
    alone = Not(Compare("label", "=", "a"))
    columns = {"label"}
    sql = sql_lib.render(tree, columns, fields=record_lib.FIELDS)
    assert sql == sql_lib.render(alone, columns, fields=record_lib.FIELDS)
    assert sql == "(NOT (`label` IS NOT NULL AND `label` = 'a'))"
    assert expression_lib.render(tree) == expression_lib.render(alone)


def test_more_levels_than_engines_take_are_refused_before_any_is_asked():
    most = tree_lib.MAX_LEVELS
    matching.resolve(alternating(most))
    deep = alternating(most + 1)
    text = "a = 1 and (b = 2 or (" * 9 + "c = 3" + "))" * 9
    for act in (
        lambda: matching.resolve(deep),
        lambda: matching.resolve(text),
        lambda: sql_lib.render(deep, (), fields=record_lib.FIELDS),
        lambda: expression_lib.render(deep),
    ):
        with pytest.raises(errors.UsageError, match="16 levels deep and stand 1[78];") as caught:
            act()
        assert "\n" not in str(caught.value)
    # As deep as text goes, but all of a kind.
    matching.resolve("(" * 49 + "a = 1" + " and b = 2)" * 49)


def test_a_tree_built_by_hand_has_an_end():
    tree = A
    for _ in range(10_000):
        tree = Not(tree)
    with pytest.raises(errors.UsageError, match="more than 200 levels"):
        matching.resolve(tree)
    for number in (10**400, -(10**5000)):
        for leaf in (Compare("size", "=", number), In("size", (1, number))):
            with pytest.raises(errors.UsageError, match="finite numbers that a float64 holds"):
                matching.resolve(Not(leaf))
    for nonsense in (And((3,)), Not("a = 1"), Or(("a", "b"))):
        with pytest.raises(errors.UsageError, match="text or a tree"):
            matching.resolve(nonsense)
