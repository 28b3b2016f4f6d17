import logging

import numpy as np
import pytest

import simsearch
from simsearch.index import recall
from simsearch.index import rows as rows_lib
from simsearch.index.filters import tree as tree_lib
from tests.index import model, stores
from tests.index.conftest import write_image


def clustered(rng, count):
    centers = model.unit_vectors(rng, 20)
    vectors = centers[rng.integers(0, 20, count)] + 0.3 * model.unit_vectors(rng, count)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["hnsw", "ivf_pq"])
@pytest.mark.parametrize("name", stores.ENGINES)
def test_an_index_finds_nearly_what_is_there_and_its_recall_is_measured(name, kind, tmp_path):
    url = stores.url(name, tmp_path)
    engine = stores.connect(url)
    try:
        vectors = clustered(np.random.default_rng(0), 1500)
        rows = [stores.row(i, vector=v) for i, v in enumerate(vectors)]
        engine.upsert(rows)
        assert recall.measure(engine, num_queries=30) == 1.0, "without an index all are compared"
        built = engine.build_index(kind)
        assert engine.index_parts(kind) == 1
        if name == "lance":
            other = {"hnsw": "ivf_pq", "ivf_pq": "hnsw"}[kind]
            assert engine.index_parts(other) == 0
            assert engine.build_index(other) != built
            assert engine.index_parts(other) == 1 and engine.index_parts(kind) == 0
            engine.build_index(kind)
        assert recall.measure(engine, num_queries=30) > 0.9
        engine.delete([row.record.id for row in rows[:300]])
        engine.upsert([stores.row("new", vector=vectors[0])])
        assert engine.search(vectors[:1], top_k=1, where=None)[0][0].record.path == "new"
    finally:
        engine.close()
        stores.drop_all(url)


def test_an_index_of_short_codes_finds_as_much_after_it_is_tidied_up(tmp_path, monkeypatch):
    engine = stores.connect(f"lance:{tmp_path}", size=32)
    rng = np.random.default_rng(0)
    vectors = model.unit_vectors(rng, 3000, size=32)
    engine.upsert([stores.row(i, vector=v) for i, v in enumerate(vectors)])
    engine.build_index("ivf_pq")
    built = recall.measure(engine, num_queries=50)
    engine.optimize()
    assert recall.measure(engine, num_queries=50) == built > 0.95
    for i, vector in enumerate(model.unit_vectors(rng, 200, size=32)):
        engine.upsert([stores.row(f"new {i}", vector=vector)])
    engine.optimize()
    assert recall.measure(engine, num_queries=50) > 0.95
    # Without what makes up for short codes: the lists themselves must stay as they were trained.
    monkeypatch.setattr("simsearch.index.lance.engine._REFINE", {"ivf_pq": 1})
    engine.build_index("ivf_pq")
    built = recall.measure(engine, num_queries=50)
    engine.optimize()
    assert recall.measure(engine, num_queries=50) == built


def test_an_index_that_syncs_made_of_many_parts_is_built_anew(
    folder, url, embedder, monkeypatch, caplog
):
    caplog.set_level(logging.INFO, logger="simsearch")
    monkeypatch.setattr("simsearch.index.rows._FEWEST_TO_INDEX", 300)
    monkeypatch.setattr("simsearch.index.rows._MOST_PARTS", 3)
    for i in range(300):
        write_image(folder / "c" / f"{i}.png", 1000 + i)
    embedder = model.CornerEmbedder(model.with_fields({"index.exact_limit": 100}))
    with simsearch.Index.open(url, embedder=embedder, create=True) as index:
        parts = []
        for i in range(6):
            caplog.clear()
            write_image(folder / "c" / f"new {i}.png", 2000 + i)
            index.sync(folder)
            parts.append(index._rows.engine.index_parts("hnsw"))
            assert ("built" in caplog.text) == (parts[-1] == 1)
    assert parts == [1, 2, 3, 1, 2, 3]


def test_a_sample_of_a_table_that_is_not_in_memory_is_from_all_over_it(url, monkeypatch):
    monkeypatch.setattr("simsearch.index.rows._SAMPLED_ROWS", 40)
    engine = stores.connect(url)
    try:
        numbers = np.random.default_rng(0).permutation(400)
        engine.upsert([stores.row(f"{i:03}.png", label="ab"[i % 2]) for i in numbers])
        config = model.with_fields({"index.exact_limit": 100})
        opened = rows_lib.Rows(engine, embedding_size=model.SIZE, config=config)
        assert not opened.is_exact
        for where in (None, tree_lib.Compare("label", "=", "b")):
            found = opened.sample(6, where=where)
            numbers = [int(record.path.removesuffix(".png")) for record in found]
            assert len(numbers) == 6 and numbers == sorted(numbers)
            assert numbers[0] < 133 and numbers[-1] > 266
            assert where is None or {record.label for record in found} == {"b"}
    finally:
        engine.close()


def test_recall_counts_what_a_search_misses_and_reads_the_records_once(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "simsearch.index.lance.engine._SCAN_ROWS", 7
    )  # The last of many parts has 4.
    engine = stores.connect(f"lance:{tmp_path}")
    vectors = clustered(np.random.default_rng(0), 200)
    engine.upsert([stores.row(i, vector=v) for i, v in enumerate(vectors)])
    whole = engine.search

    def forgetful(queries, *, top_k, where):
        # Rank 0 is the query itself: of the ten after it, two are missed.
        return [[*hits[:4], *hits[6:]] for hits in whole(queries, top_k=top_k, where=where)]

    engine.search = forgetful
    scan, scans = engine.scan, []
    monkeypatch.setattr(engine, "scan", lambda **how: scans.append(how) or scan(**how))
    assert recall.measure(engine, num_queries=20) == pytest.approx(0.8)
    assert scans == [{"vectors": True}]


def test_an_index_over_the_limit_is_approximate_and_says_how_good(folder, url, monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="simsearch")
    monkeypatch.setattr("simsearch.index.rows._FEWEST_TO_INDEX", 300)
    for i in range(300):
        write_image(folder / "c" / f"{i}.png", 1000 + i)
    config = model.with_fields({"index.exact_limit": 100})
    with simsearch.Index.open(url, embedder=model.CornerEmbedder(config), create=True) as index:
        assert index.info.is_exact
        index.sync(folder)
        assert not index.info.is_exact
        assert "built IVF_HNSW_SQ over 312 images: recall@10 " in caplog.text
        caplog.clear()
        hits = index.search(folder / "a" / "0.png", filter="label != 'c'", top_k=3).hits
        assert hits[0].path == "a/0.png" and hits[0].score == pytest.approx(1, abs=1e-3)
        (id_,) = index.add([(folder / "b" / "1.png").read_bytes()])
        assert id_ in [hit.id for hit in index.search(folder / "b" / "1.png", top_k=2).hits]
        assert index.remove([id_]) == 1 and index.get(id_) is None
        index.sync(folder)
        assert "built" not in caplog.text, "nothing changed, so the index stays"
    config = model.with_fields({"index.exact_limit": 100, "index.ann": "ivf_pq"})
    with simsearch.Index.open(url, embedder=model.CornerEmbedder(config), create=True) as index:
        index.sync(folder)
    assert "built IVF_PQ over 312 images: recall@10 " in caplog.text
