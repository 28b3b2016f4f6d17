"""An evaluation's pictures: the right ones, of readable images only."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from simsearch import errors
from simsearch.data import splits
from simsearch.data.decoding import images
from simsearch.plots import confusion, curves, embedding_map, pictures
from simsearch.plots import neighbors as plot
from simsearch.retrieval import calibration, embed, neighbors
from simsearch.retrieval import figures as figures_lib
from simsearch.retrieval.metrics import bins, pairs, ranking, reliability
from tests.data import sets


def _split(labels, unreadable=()):
    def read(row):
        if row in unreadable:
            raise AssertionError(f"row {row} was read")
        return images.encode_png(np.full((12, 12, 3), row, np.uint8))

    names = [f"test/{row}" for row in range(len(labels))]
    return splits.Split(np.asarray(labels, np.int32), ("cake", "waffle"), names, read, "")


def _draw(directory, split, angles, *, invalid=(), calibrated=None, **options):
    """Draws images whose embeddings are the directions at some angles, in degrees."""
    radians = np.deg2rad(angles)
    vectors = np.stack([np.cos(radians), np.sin(radians)], 1).astype(np.float32)
    valid = ~np.isin(np.arange(len(angles)), invalid)
    vectors[~valid] = 0
    return pictures.draw_all(
        directory,
        split=split,
        embedded=embed.Embedded(vectors, valid),
        figures=figures_lib.Figures(
            metrics={},
            per_class={},
            confusion=sets.counts_of(np.eye(2)),
            nearest=ranking.leave_one_out(vectors[valid], split.labels[valid]).nearest,
            num_queries=int(valid.sum()),
            num_left_out=0,
            per_query={},
            calibrated=calibrated,
        ),
        monitor="map_at_r",
        **{"records": [], "num_similar": 3, "query_index": None, "seed": 0, "max_pixels": 10**6}
        | options,
    )


@pytest.fixture
def drawn(monkeypatch):
    """Returns what the plots are handed, rows of queries by picture, and lets them draw nothing."""
    found = {}

    def draw(path, row, **_):
        return draw_page(path, [row])

    def draw_page(path, rows, **_):
        found[pathlib.Path(path).name] = list(rows)
        return path

    monkeypatch.setattr(plot, "draw", draw)
    monkeypatch.setattr(plot, "draw_page", draw_page)
    for module in (confusion, curves, embedding_map):
        monkeypatch.setattr(module, "draw", lambda path, *_, **__: path)
    return found


def _shown(row):
    return [int(result.image[0, 0, 0]) for result in row.results]


def test_all_pictures_are_drawn_and_listed(tmp_path):
    trained = [{"split": "train", "step": 1, "epoch": 1.0, "loss": 1.0}]
    split, angles = _split([0, 0, 1, 1]), [0, 40, 5, 45]
    paths = _draw(tmp_path, split, angles, query_index=2, records=trained)
    names = ["query_2", "random_queries", "worst_mistakes", "curves", "confusion", "embedding_map"]
    assert [path.name for path in paths] == [f"{name}.png" for name in names]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    untrained = _draw(tmp_path, split, angles, query_index=2, records=[])
    assert [path for path in paths if path not in untrained] == [tmp_path / "curves.png"]


def test_results_are_the_nearest_others_in_order(drawn, tmp_path):
    _draw(tmp_path, _split([0, 0, 1, 1]), [0, 40, 5, 60], query_index=0)
    [row] = drawn["query_0.png"]
    assert _shown(row) == [2, 1, 3]
    assert [result.correct for result in row.results] == [False, True, False]
    assert [result.caption for result in row.results] == ["waffle", "cake", "waffle"]
    np.testing.assert_allclose([r.score for r in row.results], np.cos(np.deg2rad([5, 40, 60])))


def test_a_calibration_gives_results_a_probability_and_a_picture(drawn, tmp_path):
    counts = np.zeros(bins.NUM_BINS, np.int64)
    counts[[10_000, 200_000]] = 5
    of_groups = np.zeros((1, 1), np.float32)
    fit = calibration.fit(
        pairs.Pairs(counts, counts, of_groups, of_groups, counts, counts, 9), method="isotonic"
    )
    empty = reliability.measure(np.array([0.5]), np.array([1]), np.array([2]))
    calibrated = figures_lib.Calibrated(fit, 0.01, empty)
    split = _split([0, 0, 1, 1])
    paths = _draw(tmp_path, split, [0, 40, 5, 60], query_index=0, calibrated=calibrated)
    [row] = drawn["query_0.png"]
    assert [result.probability for result in row.results] == [0.5, 0.5, 0.5]
    assert tmp_path / "reliability.png" in paths and (tmp_path / "reliability.png").exists()
    paths = _draw(tmp_path, split, [0, 40, 5, 60], query_index=0)
    assert [result.probability for result in drawn["query_0.png"][0].results] == [None] * 3
    assert not (tmp_path / "reliability.png").exists()


def test_unreadable_images_are_never_shown(drawn, tmp_path):
    split = _split([0, 0, 0, 1, 1, 1], unreadable=(1, 4))
    _draw(tmp_path, split, [0, 1, 20, 5, 6, 30], invalid=(1, 4), num_similar=50)
    for rows in drawn.values():
        assert all(len(row.results) == 3 for row in rows)


def test_an_unreadable_query_is_refused(tmp_path):
    with pytest.raises(errors.UsageError, match="--query_index=1 must be .* test/1 cannot"):
        _draw(tmp_path, _split([0, 0, 1, 1]), [0, 1, 50, 51], invalid=(1,), query_index=1)


def test_worst_mistakes_come_clearest_first(drawn, tmp_path):
    # To the nearest wrong and right one: row 2 has 5 and 55 degrees, 3 has 20 and 55, 0 has 5
    # and 40, 1 has 20 and 40.
    _draw(tmp_path, _split([0, 0, 1, 1]), [0, 40, 5, 60])
    queries = [int(row.image[0, 0, 0]) for row in drawn["worst_mistakes.png"]]
    assert queries == [2, 3, 0, 1]
    assert [row.name for row in drawn["worst_mistakes.png"]] == ["2", "3", "0", "1"]


def test_only_queries_that_are_drawn_are_searched_for_again(drawn, monkeypatch, tmp_path):
    top_k, sizes = neighbors.top_k, []

    def counted(queries, *args, **options):
        sizes.append(len(queries))
        return top_k(queries, *args, **options)

    monkeypatch.setattr(neighbors, "top_k", counted)
    _draw(tmp_path, _split([0, 0, 1, 1]), [0, 40, 5, 60])
    assert set(sizes) == {1}


def test_an_image_alone_in_its_class_is_no_mistake(drawn, tmp_path):
    _draw(tmp_path, _split([0, 0, 1]), [0, 2, 90])
    assert "worst_mistakes.png" not in drawn


def test_without_mistakes_an_old_picture_of_them_goes(drawn, tmp_path):
    stale = tmp_path / "worst_mistakes.png"
    stale.write_bytes(b"old")
    paths = _draw(tmp_path, _split([0, 0, 1, 1]), [0, 1, 90, 91])
    assert not stale.exists()
    assert stale not in paths


def test_a_seed_chooses_the_same_queries(drawn, tmp_path):
    split, angles = _split([0] * 10 + [1] * 10), np.arange(20) * 7

    def chosen(seed):
        [query, *_] = _draw(tmp_path, split, angles, seed=seed)
        return query, [int(row.image[0, 0, 0]) for row in drawn["random_queries.png"]]

    assert chosen(5) == chosen(5) != chosen(6)
    assert len(chosen(5)[1]) == 8


def test_importing_the_commands_brings_no_matplotlib():
    code = "import sys, simsearch.commands.evaluation; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
