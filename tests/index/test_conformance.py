"""What every engine must do alike; Milvus's turn comes where a server answers."""

import datetime

import numpy as np
import pytest

from simsearch import errors
from simsearch.index import engines, exact
from simsearch.index.filters import matching, parser
from simsearch.index.filters import tree as tree_lib
from simsearch.index.lance import sql as sql_lib
from tests.index import model, stores

ENGINES = stores.ENGINES


@pytest.fixture
def engine(url):
    opened = stores.connect(url)
    yield opened
    opened.close()


def records(engine, where=None):
    return {record.id: record for part in engine.scan(where) for record in part.records}


def test_rows_come_back_as_they_went_in(engine):
    rows = [
        stores.row(
            text,
            seed=i,
            label=text,
            source=text,
            metadata={"text": text, "whole": 2**53 - i, "real": -0.1 * i, "yes": i % 2 == 0},
        )
        for i, text in enumerate(stores.NASTY)
    ]
    engine.upsert(rows)
    engine.upsert([])
    assert engine.count() == len(rows)
    assert records(engine) == {row.record.id: row.record for row in rows}
    by_id = {row.record.id: row for row in rows}
    for part in [*engine.scan(vectors=True), engine.get(list(by_id), vectors=True)]:
        for record, vector in zip(part.records, part.vectors, strict=True):
            np.testing.assert_array_equal(vector, by_id[record.id].vector)
    assert engine.thumbnails(list(by_id)) == {id_: row.thumbnail for id_, row in by_id.items()}
    kinds = {
        type(value)
        for row in engine.get(list(by_id)[:1]).records
        for value in row.metadata.values()
    }
    assert kinds == {str, int, float, bool}
    nobody = model.hex_id("nobody")
    assert engine.get([nobody]).records == [] == engine.get([]).records
    assert engine.get([], vectors=True).vectors.shape[0] == 0
    assert engine.thumbnails([nobody]) == {}


def test_an_upsert_replaces_and_a_delete_is_seen_at_once(engine):
    engine.upsert([stores.row(i, seed=i) for i in range(10)])
    changed = [stores.row(i, seed=100 + i, label="new", metadata={"m": i}) for i in range(3)]
    engine.upsert(changed)
    assert engine.count() == 10
    assert engine.count(tree_lib.Compare("label", "=", "new")) == 3
    found = engine.get([changed[1].record.id], vectors=True)
    assert found.records == [changed[1].record]
    np.testing.assert_array_equal(found.vectors[0], changed[1].vector)
    doomed = [model.hex_id(i) for i in (0, 5, "nobody")]
    assert engine.delete([*doomed, "' or id != '", '"] or id not in ["']) == 2
    assert engine.delete(doomed) == 0 == engine.delete([])
    assert engine.count() == 8 and not set(doomed) & records(engine).keys()
    everyone = engine.search(changed[0].vector[None], top_k=10, where=None)[0]
    assert len(everyone) == 8 and not set(doomed) & {found.record.id for found in everyone}
    engine.optimize()
    assert engine.count() == 8


def test_an_id_that_is_no_unicode_is_of_no_row(engine):
    engine.upsert([stores.row(1)])
    odd, known = "\ud800", model.hex_id(1)
    assert engine.get([odd]).records == [] and engine.thumbnails([odd]) == {}
    assert [record.id for record in engine.get([odd, known]).records] == [known]
    assert engine.delete([odd]) == 0 and engine.delete([odd, known]) == 1


def test_a_search_ranks_by_cosine_among_those_that_pass(engine):
    rng = np.random.default_rng(1)
    rows = stores.collection(rng, 60)
    engine.upsert(rows)
    queries = model.unit_vectors(rng, 3)
    for where in (None, parser.parse("size >= 2 and not label = 'cookie'")):
        passing = [r for r in rows if where is None or matching.matches(where, r.record)]
        assert 0 < len(passing) < 60 or where is None
        scores = queries @ np.stack([r.vector for r in passing]).T
        for found, expected in zip(
            engine.search(queries, top_k=7, where=where), scores, strict=True
        ):
            order = np.argsort(-expected)[:7]
            assert [f.record for f in found] == [passing[i].record for i in order]
            # Summed in another order.
            np.testing.assert_allclose([f.score for f in found], expected[order], atol=1e-5)


@pytest.mark.parametrize("kind", ["hnsw", "ivf_pq"])
def test_an_approximate_index_gives_as_many_as_are_asked_for(engine, kind):
    vectors = model.unit_vectors(np.random.default_rng(0), 1100)
    engine.upsert([stores.row(i, vector=vector) for i, vector in enumerate(vectors)])
    engine.build_index(kind)
    for top_k in (1, 32, 33, 116, 500):
        (found,) = engine.search(vectors[:1], top_k=top_k, where=None)
        assert len(found) == top_k and found[0].record.path == "0"


@pytest.mark.parametrize("kind", ["hnsw", "ivf_pq"])
def test_an_approximate_index_finds_all_of_the_few_that_pass_a_filter(engine, kind):
    # LanceDB makes a list of 256 rows at least: more lists than are looked at without a filter.
    vectors = model.unit_vectors(np.random.default_rng(0), 10_000)
    rows = [stores.row(i, label=f"label {i % 500}", vector=v) for i, v in enumerate(vectors)]
    for start in range(0, len(rows), 2000):
        engine.upsert(rows[start : start + 2000])
    engine.build_index(kind)
    (found,) = engine.search(vectors[:1], top_k=30, where=parser.parse("label = 'label 7'"))
    assert sorted(int(hit.record.path) for hit in found) == list(range(7, 10_000, 500))


def random_tree(rng, depth=0):
    """Returns a filter over the fields of `stores.collection`, some of them unknown."""
    sort = rng.integers(0, 7 if depth < 3 else 4)
    if sort >= 4:
        parts = tuple(random_tree(rng, depth + 1) for _ in range(rng.integers(1, 4)))
        return (tree_lib.And(parts), tree_lib.Or(parts), tree_lib.Not(parts[0]))[sort - 4]
    field = str(rng.choice(["label", "size", "price", "sold", "ключ_1", "path", "unknown"]))
    if sort == 0:
        return tree_lib.Exists(field)
    if sort == 1:
        return tree_lib.In(field, tuple(random_value(rng) for _ in range(rng.integers(0, 5))))
    operator = str(rng.choice(["=", "!=", "<", "<=", ">", ">="]))
    return tree_lib.Compare(field, operator, random_value(rng))


def random_value(rng):
    choices = [
        int(rng.integers(-3, 5)),
        float(rng.normal()),
        bool(rng.random() < 0.5),
        str(rng.choice([*stores.NASTY, "cookie", "3", ""])),
        1e300,
        2**40,
    ]
    return choices[rng.choice(6, p=[0.25, 0.15, 0.15, 0.35, 0.05, 0.05])]


def test_filters_mean_the_same_everywhere(engine):
    rng = np.random.default_rng(2)
    rows = stores.collection(rng, 80)
    engine.upsert(rows)
    view = exact.ExactView(engine, embedding_size=model.SIZE, devices=model.devices())
    # A Milvus server takes a fifth of a second for each strongly consistent count.
    trees = [random_tree(rng) for _ in range(200 if engine.name == "LanceDB" else 60)]
    different = set()
    for tree in trees:
        expected = {r.record.id for r in rows if matching.matches(tree, r.record)}
        assert engine.count(tree) == len(expected) == view.count(tree), tree
        different.add(len(expected))
    for tree in trees[:20]:
        expected = {r.record.id for r in rows if matching.matches(tree, r.record)}
        assert records(engine, tree).keys() == expected, tree
    assert len(different) > 10, "the trees must let through some and not others"


DEEP_LEAVES = [
    "not price in (1, 'x', true)",
    "price is null",
    "not price is null",
    "label != 'cookie'",
    "size not between 1 and 2",
    "unknown = 1",
]


@pytest.mark.parametrize("leaf", DEEP_LEAVES)
def test_a_filter_may_be_as_deep_as_is_allowed(engine, leaf):
    rows = stores.collection(np.random.default_rng(4), 40)
    engine.upsert(rows)
    query = model.unit_vectors(np.random.default_rng(5), 1)
    # Of the rules of the language itself, 50 levels of not and parentheses are the most.
    nested = [f"not (size = {i} {('and', 'or')[i % 2]} not (" for i in range(12)]
    texts = [
        "not " * 49 + leaf,
        "not (label = 'x' or " * 16 + leaf + ")" * 16,
        "".join(nested) + leaf + "))" * 12,
        "".join(f"({leaf} {('and', 'or')[i % 2]} " for i in range(15)) + leaf + ")" * 15,
        "(" * 15 + leaf + "".join(f" {('and', 'or')[i % 2]} {leaf})" for i in range(15)),
    ]
    for text in texts:
        tree = matching.resolve(text)
        expected = {row.record.id for row in rows if matching.matches(tree, row.record)}
        assert engine.count(tree) == len(expected), text
        (found,) = engine.search(query, top_k=len(rows), where=tree)
        assert {each.record.id for each in found} == expected, text


def test_what_lancedb_cannot_plan_is_told_in_one_line(tmp_path, monkeypatch):
    engine = stores.connect(f"lance:{tmp_path / 'store'}")
    engine.upsert([stores.row(1)])
    monkeypatch.setattr(sql_lib, "render", lambda *_, **__: "(label = 'a'\nOR (")
    where = parser.parse("label = 'a'")
    query = model.unit_vectors(np.random.default_rng(0), 1)
    for act in (
        lambda: engine.count(where),
        lambda: engine.search(query, top_k=1, where=where),
        lambda: list(engine.scan(where)),
    ):
        with pytest.raises(errors.UsageError, match="--filter: LanceDB cannot read it") as caught:
            act()
        assert "\n" not in str(caught.value)
    engine.close()


def test_what_is_compacted_keeps_no_old_versions_and_has_an_index_of_ids(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "simsearch.index.lance.engine._KEEP_VERSIONS", datetime.timedelta(milliseconds=1)
    )
    monkeypatch.setattr("simsearch.index.lance.engine._ROWS_BEFORE_ID_INDEX", 3)
    engine = stores.connect(f"lance:{tmp_path / 'store'}")
    for i, has_index in enumerate((False, False, True)):
        engine.upsert([stores.row(i)])
        engine.optimize()
        assert engine._has_id_index() == has_index
    assert len(engine._table.list_versions()) < 5, "of twice as many"
    assert [record.path for record in engine.get([model.hex_id(2)]).records] == ["2"]
    engine.close()


def test_other_processes_see_changes(engine, url):
    engine.upsert([stores.row(1)])
    other = stores.connect(url, create=False)
    before = other.version()
    view = exact.ExactView(other, embedding_size=model.SIZE, devices=model.devices())
    engine.upsert([stores.row(2, seed=2, metadata={"content": "r7", "fresh": "yes"})])
    engine.delete([model.hex_id(1)])
    model.wait_until(lambda: other.version() != before)
    view.refresh()
    assert [record.path for record in view.records()] == ["2"]
    assert records(other) == records(engine)
    assert other.revisions() == {id_: found.revision for id_, found in records(engine).items()}
    # A column of the engine itself has the one name, too.
    for where in ("content = 'r7'", "fresh = 'yes'"):
        assert other.count(parser.parse(where)) == 1
    other.close()


def test_a_process_knows_its_own_changes(engine):
    before = engine.version()
    engine.upsert([stores.row(1)])
    after = engine.own_change(before)
    assert after == engine.version()
    engine.delete([model.hex_id(1)])
    assert engine.own_change(after) == engine.version()


def test_labels_are_counted_with_those_that_have_none(engine):
    assert engine.labels() == {}
    engine.upsert([stores.row(i, label=("a", "it's", "")[i % 3]) for i in range(8)])
    assert engine.labels() == {"a": 3, "it's": 3, "": 2}


def test_the_note_about_the_index_is_kept(url):
    engine = engines.connect(url)
    assert engine.read_about() is None
    for about in ({"long": "é'\"\\" * 40_000}, {"version": 3, "table": "images_b"}):
        engine.write_about(about)
        again = engines.connect(url)
        assert engine.read_about() == about == again.read_about()
        again.close()
    engine.open_table("images_b", embedding_size=4, create=True)
    engine.drop_table("images_b")
    engine.drop_table("images_b")
    engine.close()
