import numpy as np
import pytest

from simsearch import errors
from simsearch.index import explanation
from simsearch.index import record as record_lib
from simsearch.index.filters import matching, parser
from simsearch.index.filters import tree as tree_lib
from simsearch.index.filters.tree import And, Compare, Exists, In, Not, Or
from simsearch.index.lance import sql as sql_lib
from simsearch.index.milvus import expression as expression_lib
from tests.index import stores


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("label = 'cookie'", Compare("label", "=", "cookie")),
        ('label="it\'s"', Compare("label", "=", "it's")),
        ("label <> 'it''s'", Compare("label", "!=", "it's")),
        ('a == "say ""hi"""', Compare("a", "=", 'say "hi"')),
        ("price<-3", Compare("price", "<", -3)),
        ("price >= 2.5e-1", Compare("price", ">=", 0.25)),
        ("sold = TRUE", Compare("sold", "=", True)),
        ("a in (1, 'x', false)", In("a", (1, "x", False))),
        ("a not in (1)", Not(In("a", (1,)))),
        ("ключ is null", Not(Exists("ключ"))),
        ("a is not null", Exists("a")),
        ("p between 1 and 2 and q = 3",
         And((And((Compare("p", ">=", 1), Compare("p", "<=", 2))), Compare("q", "=", 3)))),
        ("a=1 or b=2 and not c=3",
         Or((Compare("a", "=", 1), And((Compare("b", "=", 2), Not(Compare("c", "=", 3))))))),
        ("(a=1 or b=2) AND c=3",
         And((Or((Compare("a", "=", 1), Compare("b", "=", 2))), Compare("c", "=", 3)))),
        ("not not (a=1)", Not(Not(Compare("a", "=", 1)))),
        ("a in (1., .5, -007)", In("a", (1.0, 0.5, -7))),
        ("a = " + "0" * 5000 + "1", Compare("a", "=", 1.0)),
    ],
)  # fmt: skip
def test_text_becomes_a_tree(text, tree):
    found = parser.parse(f"  {text} ")
    assert repr(found) == repr(tree)
    assert matching.resolve(found) is found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "label",
            "expected =, !=, <, <=, >, >=, in, between or is (or `label = true`) at character 6, "
            "found the end",
        ),
        ("a" * 19_999, "in, between or is (or `aaaaaaaaaaaaaaaaaaaa = true`) at character 20000"),
        ("label =", "expected a number, a text in quotes, true or false at character 8"),
        ("label = cookie", "character 9, found 'cookie'"),
        ("label = 'cookie", "a text without its closing quote at character 9"),
        ("a = 1 b = 2", "expected `and`, `or` or the end at character 7, found 'b'"),
        ("(a = 1", "expected `)`"),
        ("a in ()", "expected a number"),
        ("a in 1", "expected `(`"),
        ("= 1", "expected a field's name"),
        ("a = 1; drop table images", "';"),
        ("a = 1 -- x", "'-- x'"),
        ("a = 0x10", "cannot be read"),
        ("a = 1e999", "that a float64 holds"),
        (
            "a = " + "1" * 19_000,
            "that a float64 holds at character 5, found '11111111111111111111'",
        ),
        ("a = " + "1" * 19_000 + "x", "'11111111111111111111' at character 5 cannot be read"),
        ("a = 1." + "1" * 19_000 + "x", "cannot be read"),
        ("a = 1.5.2", "cannot be read"),
        ("not " * 51 + "a = 1", "more than 50 levels"),
        ("(" * 51 + "a = 1" + ")" * 51, "more than 50 levels"),
        ("a = '" + "x" * 20_000 + "'", "20000 characters"),
    ],
)
def test_a_mistake_is_told_with_its_place(text, words):
    with pytest.raises(errors.UsageError) as caught:
        parser.parse(text)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_nothing_is_no_filter_and_nonsense_is_refused():
    assert matching.resolve(None) is None is matching.resolve("  ")
    for tree in (
        3,
        Compare("a b", "=", 1),
        Compare("a`", "=", "x"),
        Compare("a", "=", float("nan")),
        Compare("a", "==", 1),
        Compare("a", "like", "x"),
        In("a", (None,)),
        And(()),
        Not(Exists("")),
    ):
        with pytest.raises(errors.UsageError):
            matching.resolve(tree)
    record = stores.row("x").record
    assert not matching.matches(matching.resolve(In("path", ())), record)


def test_comparisons_need_a_value_of_the_same_kind():
    record = stores.row("x", label="", size=7, metadata={"n": 3, "t": "3", "b": True}).record
    passes = {
        "n = 3.0": True, "n = '3'": False, "n = true": False, "t = '3'": True, "t = 3": False,
        "b = true": True, "b = 1": False, "b > false": False, "b != false": True,
        "none != 3": False, "not none = 3": True, "label is null": True, "label != 'x'": False,
        "size between 7 and 7": True, "t > '10'": True, "n in ('x', 3)": True, "path = 'x'": True,
    }  # fmt: skip
    assert {text: matching.matches(parser.parse(text), record) for text in passes} == passes


def test_one_of_many_values_is_looked_up_and_means_what_each_alone_means():
    values = ("3", 3, True, 2.5, -0.0, 2**53 + 1, "x")
    alone = [matching.acceptor(Compare("a", "=", value)) for value in values]
    together = matching.acceptor(In("a", values))
    for value in (*values, 3.0, 0, 1, 1.0, False, "true", "", 2**53, None):
        assert together(value) == any(accepts(value) for accepts in alone), value


def test_any_text_stands_in_quotes_whatever_it_holds():
    rng = np.random.default_rng(0)
    letters = list("ab'\"\\`;-()[]{}%\n\t\0\x7fé図😀 ")
    for _ in range(300):
        value = "".join(rng.choice(letters, rng.integers(0, 9)))
        for quote in "'\"":
            text = f"a = {quote}{value.replace(quote, quote * 2)}{quote}"
            assert parser.parse(text) == Compare("a", "=", value)
        sql = sql_lib.render(Compare("label", "=", value), (), fields=record_lib.FIELDS)
        inside = sql.removeprefix("(`label` IS NOT NULL AND `label` = '").removesuffix("')")
        assert inside.replace("''", "").count("'") == 0, "no quote ends the text early"
        assert inside.replace("''", "'") == value
        expression = expression_lib.render(Compare("path", "=", value))
        inside = expression.removeprefix('((path == "').removesuffix('"))')
        assert '"' not in inside.replace("\\\\", "").replace('\\"', "")
        assert inside.isprintable(), "control characters are written as escapes"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("prize < 10", "no image has a field prize; did you mean price? there are id, path, label"),
        ("label = 1", "label is a text and 1 a number; write label = '1'"),
        ("code = 7", "code is a text and 7 a number; write code = '007'"),
        ("code = 8", "code is a text and 8 a number; write code = '8'"),
        ("sold = true", "sold is a text and True a boolean; write sold = 'TRUE'"),
        ("size = 1 and not price in ('a')", "price is a number and 'a' a text"),
        ("price > 100", None),
        ("qqq is null", "no image has a field qqq; there are id"),
    ],
)
def test_a_filter_that_was_mistyped_is_explained(text, reason):
    metadata = {"price": 2.5, "code": "007", "sold": "TRUE"}
    records = [stores.row("a", metadata=metadata, label="1").record]
    found = explanation.of_filter(parser.parse(text), records)
    assert found is None if reason is None else found.startswith(reason)


def test_a_field_that_must_not_be_named_is_not_suggested():
    records = [stores.row("a", metadata={"price": 2.5}).record]
    tree = parser.parse("sources = 'a'")
    assert "did you mean source? " in explanation.of_filter(tree, records)
    found = explanation.of_filter(tree, records, hidden={"source"})
    assert found == "no image has a field sources; there are id, path, label, size, price"


def test_why_nothing_was_found_says_how_many_images_were_looked_at():
    sample = [stores.row("a", metadata={"price": 2.5}).record]
    tree = parser.parse("prize = 1")
    told = explanation.of_nothing(tree, sample, count=7, passing=0)
    assert told.startswith("judging by 1 of the 7 images, no image has a field prize; did you")
    told = explanation.of_nothing(tree, sample, count=1, passing=0)
    assert told.startswith("no image has a field prize")
    told = explanation.of_nothing(tree_lib.Exists("x" * 20_000), sample, count=1, passing=0)
    assert len(told) < 200
    assert explanation.of_nothing(tree, [], count=0, passing=0) == "the index is empty"


def test_a_search_that_finds_only_its_own_images_blames_no_filter():
    sample = [stores.row("a").record]
    for tree, told in (
        (None, "the index holds no other image"),
        (
            parser.parse("prize is null"),
            "the index holds no other image that passes the filter",
        ),
    ):
        assert explanation.of_nothing(tree, sample, count=1, passing=1) == told
