import jax
import numpy as np
import pytest

from simsearch import parallel
from simsearch.index import exact, nearest
from simsearch.index.engine import Batch
from simsearch.index.filters import matching, parser, tree
from tests.index import model, stores


def oracle(matrix, allowed, queries, k):
    """Returns scores and rows by a full sort."""
    scores = np.where(allowed, queries @ matrix.T, -np.inf)
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, rows, axis=1), rows


@pytest.mark.parametrize(("num_rows", "num_devices"), [(900, 1), (3000, 2), (80_000, 1)])
@pytest.mark.parametrize("num_queries", [1, 16, 128])
def test_the_nearest_are_those_of_a_full_sort(num_rows, num_devices, num_queries):
    rng = np.random.default_rng(num_rows)
    mesh = parallel.mesh(jax.local_devices()[:num_devices])
    capacity = nearest.capacity(num_rows, num_devices)
    matrix = np.zeros((capacity, 24), np.float32)
    matrix[:num_rows] = model.unit_vectors(rng, num_rows, 24)
    queries = model.unit_vectors(rng, num_queries, 24)
    for share in (1.0, 0.01):
        allowed = (np.arange(capacity) < num_rows) & (rng.random(capacity) < share)
        placed = (jax.device_put(part, parallel.over_rows(mesh)) for part in (matrix, allowed))
        scores, rows = nearest.top_k(*placed, queries, k=16, devices=mesh)
        expected, expected_rows = oracle(matrix, allowed, queries, 16)
        there = np.isfinite(expected)
        # Summed in another order, and so neighbours in rank may change places at equal scores.
        np.testing.assert_allclose(np.asarray(scores)[there], expected[there], atol=1e-6)
        assert np.isneginf(np.asarray(scores)[~there]).all()
        same = (np.asarray(rows) == expected_rows)[there].mean()
        assert same > 0.99


def test_many_more_results_than_one_device_holds():
    rng = np.random.default_rng(0)
    mesh = parallel.mesh(jax.local_devices())
    matrix = model.unit_vectors(rng, nearest.capacity(2000, mesh.size), 8)
    allowed = np.ones(len(matrix), bool)
    queries = model.unit_vectors(rng, 2, 8)
    placed = (jax.device_put(part, parallel.over_rows(mesh)) for part in (matrix, allowed))
    scores, _ = nearest.top_k(*placed, queries, k=1500, devices=mesh)
    np.testing.assert_allclose(scores, oracle(matrix, allowed, queries, 1500)[0], atol=1e-6)


def test_there_is_room_to_grow_and_little_waste():
    for num_rows in (0, 1, 1000, 5000, 20_000, 123_456, 1_000_000):
        for num_devices in (1, 2, 8):
            capacity = nearest.capacity(num_rows, num_devices)
            assert capacity >= num_rows and capacity % (1024 * num_devices) == 0
            assert capacity <= max(num_rows * 1.13, num_rows + 1024 * num_devices)
    sizes = {nearest.capacity(n, 1) for n in range(100_000, 200_000, 100)}
    assert len(sizes) <= 17, "growth to twice the size compiles few programs"


def view_of(engine, dtype="float32", num_devices=None):
    devices = jax.local_devices()[:num_devices]
    return exact.ExactView(engine, embedding_size=model.SIZE, devices=devices, dtype=dtype)


def check(view, rows, rng):
    """Compares a view with the rows that it must hold."""
    assert len(view) == len(rows) == view.count(None)
    vectors = np.stack([row.vector for row in rows.values()])
    for where in (None, parser.parse("label = 'even' and size < 300")):
        passing = np.array([where is None or matching.matches(where, row.record)
                            for row in rows.values()])  # fmt: skip
        queries = model.unit_vectors(rng, 3)
        alone = view.search(queries[:1], top_k=10, where=where)
        together = view.search(queries, top_k=10, where=where)
        for query, found in zip((queries[0], *queries), (*alone, *together), strict=True):
            scores = np.sort(vectors[passing] @ query)[::-1][:10]
            np.testing.assert_allclose([f.score for f in found], scores, atol=1e-5)
            for each in found:
                row = rows[each.record.id]
                assert each.record == row.record
                assert each.score == pytest.approx(float(row.vector @ query), abs=1e-5)
        assert view.count(where) == passing.sum()


def numbered(numbers, seed):
    vectors = model.unit_vectors(np.random.default_rng(seed), len(numbers))
    return [
        stores.row(n, vector=v, label="odd" if n % 2 else "even", size=n)
        for n, v in zip(numbers, vectors, strict=True)
    ]


@pytest.mark.parametrize("num_devices", [1, 2])
def test_a_view_follows_adds_changes_deletes_and_growth(tmp_path, num_devices):
    rng = np.random.default_rng(3)
    engine = stores.connect(f"lance:{tmp_path}")
    view = view_of(engine, num_devices=num_devices)
    rows = {}
    steps = [range(0, 700), range(300, 900), range(5000, 7500), range(0, 3)]
    for seed, numbers in enumerate(steps):
        new = numbered(list(numbers), seed)
        engine.upsert(new)
        view.upsert([row.record for row in new], np.stack([row.vector for row in new]))
        rows |= {row.record.id: row for row in new}
        check(view, rows, rng)
        doomed = [id_ for i, id_ in enumerate(rows) if i % 7 == seed]
        assert engine.delete(doomed) == len(doomed)
        view.delete([*doomed, "0" * 32])
        for id_ in doomed:
            del rows[id_]
        check(view, rows, rng)
    check(view_of(engine, num_devices=num_devices), rows, rng)
    other = stores.connect(f"lance:{tmp_path}", create=False)
    other.upsert(numbered([100_000], 9))
    other.delete(list(rows)[:50])
    view.refresh()
    rows |= {row.record.id: row for row in numbered([100_000], 9)}
    reread = {record.id for part in engine.scan() for record in part.records}
    assert len(reread) == len(rows) - 50
    rows = {id_: row for id_, row in rows.items() if id_ in reread}
    check(view, rows, rng)
    few = list(rows)[::500]
    assert [view.get(id_) for id_ in few] == [rows[id_].record for id_ in few]
    stored = view.vectors([*few, "0" * 32])
    assert list(stored) == few and view.get("0" * 32) is None
    np.testing.assert_array_equal(np.stack(list(stored.values())), [rows[i].vector for i in few])


@pytest.mark.parametrize("num_changed", [1100, 3000], ids=["in parts", "as a whole"])
def test_much_that_another_process_wrote_is_seen(tmp_path, num_changed):
    rng = np.random.default_rng(4)
    engine = stores.connect(f"lance:{tmp_path}")
    rows = {row.record.id: row for row in numbered(list(range(4500)), 0)}
    engine.upsert(list(rows.values()))
    view = view_of(engine)
    check(view, rows, rng)  # With masks that are out of date then.
    changed = [
        row._replace(record=row.record._replace(label="even", size=1))
        for row in numbered(list(range(num_changed)), 1)
    ]
    stores.connect(f"lance:{tmp_path}", create=False).upsert(changed)
    view.refresh()
    check(view, rows | {row.record.id: row for row in changed}, rng)


def test_more_queries_than_are_compared_at_a_time(tmp_path):
    engine = stores.connect(f"lance:{tmp_path}")
    rows = numbered(list(range(nearest.MAX_QUERIES + 2)), 0)
    engine.upsert(rows)
    queries = np.stack([row.vector for row in rows])
    found = view_of(engine).search(queries, top_k=1, where=None)
    assert [hits[0].record.id for hits in found] == [row.record.id for row in rows]


def test_filters_without_end_take_no_memory(tmp_path):
    engine = stores.connect(f"lance:{tmp_path}")
    engine.upsert(numbered(list(range(20)), 0))
    view = view_of(engine)
    for size in [*range(20), 3]:
        where = tree.Compare("size", "=", size)
        (found,) = view.search(np.zeros((1, model.SIZE), np.float32), top_k=5, where=where)
        assert [each.record.size for each in found] == [size]
    assert len(view._masks) <= 8 and len(view._placed_masks) <= 8


class Twice:
    """An engine with rows that two processes added at once."""

    def __init__(self, rows):
        self._rows = rows

    def version(self):
        return 1

    def own_change(self, before):
        return before

    def scan(self, where=None, *, vectors=False):
        records = [row.record for row in self._rows]
        yield Batch(records, np.stack([row.vector for row in self._rows]))


def test_rows_that_are_there_twice_leave_room_for_new_ones():
    capacity = nearest.capacity(1, len(jax.local_devices()))
    rows = numbered(list(range(capacity - 100)), 0)
    view = view_of(Twice([*rows, *rows[:100]]))
    assert len(view) == capacity - 100
    new = numbered(list(range(capacity, capacity + 30)), 1)
    view.upsert([row.record for row in new], np.stack([row.vector for row in new]))
    check(view, {row.record.id: row for row in [*rows, *new]}, np.random.default_rng(2))


def test_own_writes_need_no_second_look(tmp_path):
    engine = stores.connect(f"lance:{tmp_path}")
    view = view_of(engine)
    new = numbered([1, 2], 0)
    engine.upsert(new)
    view.upsert([row.record for row in new], np.stack([row.vector for row in new]))
    engine.scan = engine.revisions = None  # A refresh that looks would fail.
    view.refresh()
    assert len(view) == 2


def test_half_precision_finds_nearly_the_same(tmp_path):
    engine = stores.connect(f"lance:{tmp_path}")
    engine.upsert(numbered(list(range(500)), 0))
    query = model.unit_vectors(np.random.default_rng(1), 1)
    (full,) = view_of(engine).search(query, top_k=20, where=None)
    (half,) = view_of(engine, "bfloat16").search(query, top_k=20, where=None)
    ids = [{found.record.id for found in each} for each in (full, half)]
    assert len(ids[0] & ids[1]) >= 18
    for one, two in zip(full, half, strict=True):
        assert one.score == pytest.approx(two.score, abs=0.01), "8 bits of mantissa"


def test_an_empty_view_finds_nothing(tmp_path):
    queries = model.unit_vectors(np.random.default_rng(0), 2)
    for num_devices in (1, 2):
        view = view_of(stores.connect(f"lance:{tmp_path}"), num_devices=num_devices)
        assert view.search(queries, top_k=5, where=None) == [[], []]
        assert view.search(queries[:1], top_k=5, where=None) == [[]]


def test_fields_that_a_stranger_invents_take_no_memory(tmp_path):
    engine = stores.connect(f"lance:{tmp_path}")
    rows = stores.collection(np.random.default_rng(0), 50)
    engine.upsert(rows)
    view = view_of(engine)
    texts = [" or ".join(f"f{i} {rest}" for i in range(200)) for rest in ("= 1", "is not null")]
    texts += ["f1 is null", "f1 != 3", "not f1 != 3", "f1 not in (1)", "not (f1 = 1 or f2 = 2)"]
    for text in texts:
        tree = parser.parse(text)
        passing = sum(matching.matches(tree, row.record) for row in rows)
        assert view.count(tree) == passing and passing in (0, 50), text
    assert len(view._columns) == 0
    view.delete([row.record.id for row in rows])
    view.upsert([stores.row("new", metadata={"f1": 1}).record], model.unit_vectors(
        np.random.default_rng(1), 1))  # fmt: skip
    assert [view.count(parser.parse(text)) for text in texts] == [1, 1, 0, 1, 0, 0, 0]
    assert view.count(parser.parse("price is not null")) == 0
    assert list(view._columns._columns) == ["f1"], "the only one that a row still has"
