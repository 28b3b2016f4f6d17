"""Rows in memory beside an engine: who waits for whom, and who sees what."""

import contextlib
import fcntl
import threading
from concurrent import futures

import numpy as np
import pytest

from simsearch import errors
from simsearch.index import rows
from simsearch.index.lance import lock as lock_lib
from tests.index import model, stores


@pytest.fixture
def opened(url):
    """Returns the function that opens the rows of a store, with fields of the configuration."""
    with contextlib.ExitStack() as stack:

        def open_rows(**fields):
            config = model.with_fields({f"index.{name}": value for name, value in fields.items()})
            made = rows.Rows(stores.connect(url), embedding_size=model.SIZE, config=config)
            return stack.enter_context(contextlib.closing(made))

        yield open_rows


def numbered(*numbers, **fields):
    return [stores.row(number, seed=number, **fields) for number in numbers]


def paths(found):
    return sorted(int(record.path) for record in found.records())


def test_searches_go_on_while_a_write_waits_for_another_process(opened, tmp_path, asked_for_lock):
    found = opened()
    found.upsert(numbered(1))
    query = model.unit_vectors(np.random.default_rng(0), 1)
    reads = [
        lambda: len(found.nearest(query, top_k=5, where=None)[0]),
        lambda: found.count(None),
        lambda: len(found.records()),
        lambda: found.labels().total(),
        lambda: len([found.get(model.hex_id(1))]),
    ]
    lock = tmp_path / "store" / ".lock"
    with futures.ThreadPoolExecutor(2) as pool, open(lock, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        asked_for_lock.clear()
        write = pool.submit(found.upsert, numbered(2))
        assert asked_for_lock.wait(20)
        assert [pool.submit(read).result(20) for read in reads] == [1] * 5
        assert not write.done()
    assert write.result() is None and paths(found) == [1, 2]


def test_a_write_is_no_news_to_its_own_view_nor_is_a_compaction(opened, monkeypatch, caplog):
    monkeypatch.setattr("simsearch.index.lance.engine._WRITES_BEFORE_COMPACTION", 2)
    found = opened()
    engine, seen = found.engine, []
    monkeypatch.setattr(engine, "revisions", None)  # A refresh that looks would fail.
    for name in ("upsert", "optimize"):
        real = getattr(engine, name)

        def watched(*arguments, name=name, real=real):
            real(*arguments)
            seen.append(name)

        monkeypatch.setattr(engine, name, watched)
    # Amid a change, where the table is another already.
    table = type(engine._table)
    for name in ("add_columns", "optimize"):
        real = getattr(table, name)

        def amid(*arguments, real=real, **options):
            done = real(*arguments, **options)
            seen.append(found.count(None))
            return done

        monkeypatch.setattr(table, name, amid)
    for i in range(3):
        found.upsert(numbered(i, metadata={f"field_{i}": 1}))
        assert found.count(None) == i + 1
    assert seen == [0, "upsert", 1, "upsert", 2, "optimize", 2, "upsert"]

    def full():
        raise errors.RunError("the disk is full")

    monkeypatch.undo()
    monkeypatch.setattr("simsearch.index.lance.engine._WRITES_BEFORE_COMPACTION", 1)
    monkeypatch.setattr(engine, "optimize", full)
    found.upsert(numbered(3))
    assert found.count(None) == 4
    assert "could not be compacted: the disk is full" in caplog.text


def test_a_reader_that_waits_for_the_end_of_a_write_does_not_look(opened, monkeypatch):
    found = opened()
    found.upsert(numbered(1))
    monkeypatch.setattr(found.engine, "revisions", None)  # A refresh that looks would fail.
    real, is_written, has_read = found.engine.upsert, threading.Event(), threading.Event()

    def upsert(part):
        real(part)
        is_written.set()
        assert has_read.wait(20)

    monkeypatch.setattr(found.engine, "upsert", upsert)
    with futures.ThreadPoolExecutor(1) as pool:
        write = pool.submit(found.upsert, numbered(2))
        assert is_written.wait(20)
        assert found.count(None) == 1
        has_read.set()
        assert write.result(20) is None
    assert found.count(None) == 2


def test_a_write_that_ends_nobody_knows_how_is_looked_for(opened, monkeypatch):
    found = opened()
    real = found.engine.upsert

    def upsert(part):
        real(part)
        raise errors.RunError("no answer in time")

    monkeypatch.setattr(found.engine, "upsert", upsert)
    with pytest.raises(errors.RunError, match="no answer"):
        found.upsert(numbered(1))
    # Milvus's version is of other writers alone.
    monkeypatch.setattr(found.engine, "version", lambda: ())
    assert paths(found) == [1]


def test_what_others_change_right_after_a_write_is_not_undone(opened, url, monkeypatch):
    found = opened()
    # As with a server, which has no lock to give.
    monkeypatch.setattr(found.engine, "writing", contextlib.nullcontext)
    other, real = stores.connect(url), found.engine.upsert

    def upsert(part):
        real(part)
        other.delete([model.hex_id(1)])

    monkeypatch.setattr(found.engine, "upsert", upsert)
    found.upsert(numbered(1, 2))
    assert paths(found) == [2]
    monkeypatch.setattr(found.engine, "upsert", real)
    real = found.engine.delete

    def delete(ids):
        deleted = real(ids)
        other.upsert(numbered(2))
        return deleted

    monkeypatch.setattr(found.engine, "delete", delete)
    assert found.delete([model.hex_id(2)]) == 1
    assert paths(found) == [2]


@pytest.mark.parametrize("whose", ["own", "another's"])
def test_an_index_that_grows_beyond_the_limit_leaves_the_memory(opened, url, whose):
    found = opened(exact_limit=3)
    writer = found if whose == "own" else stores.connect(url)
    for numbers, is_exact in (([1, 2, 3], True), ([3], True), ([4], False)):
        writer.upsert(numbered(*numbers))
        assert found.count(None) == numbers[-1] and found.is_exact is is_exact
    assert paths(found) == [1, 2, 3, 4]
    writer.delete([model.hex_id(4)])
    assert not found.is_exact, "it would come and go with every change"
    found.choose()
    assert found.is_exact and paths(found) == [1, 2, 3]


def test_what_is_in_memory_is_not_asked_for(opened, tmp_path, monkeypatch):
    found, path = opened(), tmp_path / "0"
    path.write_bytes(b"an image")
    found.upsert(numbered(0, source=str(tmp_path)))
    monkeypatch.setattr(found.engine, "get", None)
    assert found.file_of(model.hex_id(0)) == path and found.file_of(model.hex_id(1)) is None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_vectors_are_held_in_the_precision_that_is_asked_for(opened, dtype):
    found = opened(exact_dtype=dtype)
    (row,) = numbered(1)
    found.upsert([row])
    error = np.abs(found.vectors([row.record.id])[row.record.id] - row.vector).max()
    assert (error == 0) == (dtype == "float32") and error < 0.01


def test_a_link_out_of_the_folder_shows_nothing(opened, tmp_path):
    found = opened()
    (tmp_path / "0").write_bytes(b"a secret")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1").write_bytes(b"an image")
    for number, place in ((2, tmp_path / "0"), (3, tmp_path / "in" / "1")):
        (tmp_path / "in" / str(number)).symlink_to(place)
    found.upsert(numbered(1, 2, 3, source=str(tmp_path / "in")))
    shown = [found.file_of(model.hex_id(number)) is not None for number in (1, 2, 3)]
    assert shown == [True, False, True]


@pytest.mark.parametrize("limit", [0, 100])
def test_more_rows_than_are_written_at_a_time(opened, limit, monkeypatch):
    monkeypatch.setattr(rows, "_WRITE_ROWS", 2)
    found = opened(exact_limit=limit)
    found.upsert(numbered(1, 2, 3, 4, 5))
    assert paths(found) == [1, 2, 3, 4, 5]
    assert found.delete([model.hex_id(number) for number in (1, 2, 3, 9, 5)]) == 4
    assert paths(found) == [4]


@pytest.mark.parametrize(
    ("num_changed", "parts", "is_built"),
    [(400, 1, False), (401, 1, True), (0, 10, False), (0, 11, True), (0, 0, True)],
)
def test_an_index_is_built_anew_where_it_is_worn(opened, monkeypatch, num_changed, parts, is_built):
    found, built = opened(exact_limit=0), []
    found.upsert(numbered(1))
    found.choose()
    monkeypatch.setattr(found.engine, "count", lambda: 2000)
    monkeypatch.setattr(found.engine, "index_parts", lambda kind: parts)
    monkeypatch.setattr(found.engine, "build_index", built.append)
    monkeypatch.setattr("simsearch.index.recall.measure", lambda engine: 1.0)
    found.index(num_changed)
    assert built == ["hnsw"] * is_built


@pytest.mark.parametrize("limit", [0, 100])
def test_labels_are_counted(opened, limit):
    found = opened(exact_limit=limit)
    found.upsert([*numbered(1, 2, label="a"), *numbered(3, label="it's"), *numbered(4)])
    assert found.labels() == {"a": 2, "it's": 1, "": 1} and found.is_exact == bool(limit)


def test_one_thread_may_take_the_lock_of_a_folder_twice(tmp_path):
    lock = lock_lib.FolderLock(str(tmp_path))
    with lock.held():
        with lock.held():
            pass
        with open(tmp_path / ".lock") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open(tmp_path / ".lock") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("limit", [0, 100])
def test_a_closed_index_says_so(opened, limit):
    found = opened(exact_limit=limit)
    found.upsert(numbered(1))
    engine = found.engine
    found.close()
    query = model.unit_vectors(np.random.default_rng(0), 1)
    for ask in (
        lambda: found.nearest(query, top_k=1, where=None),
        lambda: found.count(None),
        # A search that had begun.
        lambda: engine.search(query, top_k=1, where=None),
        lambda: engine.upsert(numbered(2)),
    ):
        with pytest.raises(errors.UsageError, match=r"closed; Index\.open opens it again"):
            ask()
