"""Every picture says in words what it shows."""

import tracemalloc

import matplotlib.text
import numpy as np
import pytest

from simsearch.plots import (
    changed,
    confusion,
    curves,
    embedding_map,
    neighbors,
    reliability,
    style,
    sweep,
)
from simsearch.retrieval import calibration, figures
from simsearch.retrieval.metrics import bins, pairs
from simsearch.retrieval.metrics import reliability as reliability_lib
from simsearch.sweeps import space, trials
from tests.data import sets

_IMAGE = np.full((30, 40, 3), 200, np.uint8)
_RIGHT = neighbors.Result(_IMAGE, 0.9, "apple", True, 0.8)


@pytest.fixture
def texts(monkeypatch):
    """Collects the texts of each picture that is saved, and their colours."""
    found = {}
    save = style.Canvas.save

    def collect(canvas, path):
        found.clear()
        for text in canvas.figure.findobj(matplotlib.text.Text):
            found[text.get_text()] = text.get_color()
        return save(canvas, path)

    monkeypatch.setattr(style.Canvas, "save", collect)
    return found


def test_changed_queries_have_the_key_of_frames_and_numbers(texts, tmp_path):
    wrong = _RIGHT._replace(correct=False)
    change = changed.Change(_IMAGE, "apple", (wrong, _RIGHT))
    blocks = [changed.Block("won", [change]), changed.Block("lost", [])]
    changed.draw(tmp_path / "changed.png", blocks, names=("one", "two"), title="changed")
    assert neighbors.key([wrong, _RIGHT]) in texts


def test_the_key_of_a_narrow_picture_goes_on_in_the_next_line(texts, tmp_path):
    row = neighbors.Row(_IMAGE, "apple", [_RIGHT])
    neighbors.draw(tmp_path / "query.png", row, title="most similar")
    key = neighbors.key(row.results)
    assert key not in texts
    lines = [text for text in texts if text and text in key and text != row.name]
    assert " ".join(lines) == key


@pytest.mark.parametrize(("count", "is_listed"), [(60, False), (61, True)])
def test_confusions_of_many_classes_are_listed_by_name(count, is_listed, texts, tmp_path):
    counts = 9 * np.eye(count, dtype=int)
    counts[7, 3], counts[2, 5] = 1, 4
    names = [f"class {i}" for i in range(count)]
    confusion.draw(tmp_path / "confusion.png", sets.counts_of(counts), class_names=names)
    assert any("4 of 13: class 2 → class 5\n" in text for text in texts) == is_listed
    assert any("place in the list of classes" in text for text in texts) == is_listed
    assert ("class 7" in texts) == (not is_listed)


def test_of_hundreds_of_classes_the_map_has_the_listed_confusions_alone(texts, tmp_path):
    names = [f"class {i}" for i in range(4000)]
    tracemalloc.start()
    try:
        confusion.draw(tmp_path / "few.png", sets.counts_of_many(4000), class_names=names)
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()
    # The ten that are listed are of ten classes, two and two confused with each other.
    assert any("1 of 3: class 9 → class 8" in text for text in texts)
    assert {"class 0", "class 9", "33", "67"} < set(texts) and "class 10" not in texts
    assert any("nearest neighbour, 10 of 4,000 classes" in text for text in texts)
    right = sets.counts_of(np.eye(400, dtype=int))
    confusion.draw(tmp_path / "none.png", right, class_names=names)
    assert "no query is confused with another class" in texts and "class 9" in texts


def test_the_most_frequent_confusions_come_first():
    counts = np.array([[5, 1, 0], [3, 5, 1], [0, 0, 5]])
    assert confusion.most_frequent(sets.counts_of(counts), ["a", "b", "c"]) == [
        "3 of 9: b → a",
        "1 of 6: a → b",
        "1 of 9: b → c",
    ]
    assert len(confusion.most_frequent(sets.counts_of(np.ones((9, 9), int)), "abcdefghi")) == 10


def test_curves_name_the_used_checkpoint_and_draw_its_figure_thick(texts, tmp_path):
    records = [
        {"split": "validation", "step": 1, "epoch": 1451.0, "map_at_r": 0.5, "recall_at_1": 0.6},
    ]
    curves.draw(tmp_path / "curves.png", records, monitor="map_at_r")
    assert "★ used: map_at_r 0.500, epoch 1451" in texts
    assert "training loss (lower is better)" in texts
    with style.Canvas(4, 3) as canvas:
        axes = canvas.figure.subplots()
        curves._validation(axes, records, "map_at_r")
    widths = {line.get_label(): line.get_linewidth() for line in axes.lines}
    assert widths["map_at_r"] > 2 * widths["recall_at_1"]


def test_the_map_says_how_to_read_it(texts, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    embedding_map.draw(
        tmp_path / "map.png",
        vectors,
        labels=np.arange(6) % 2,
        class_names=("a", "b"),
        read_image=lambda i: _IMAGE,
        seed=0,
    )
    assert any("likely confusion" in text and "no unit" in text for text in texts)


def _calibrated(num_pairs, *, mean=0.6):
    rng = np.random.default_rng(0)
    same, different = (
        bins.count(bins.of(np.clip(rng.normal(of, 0.2, num_pairs), -1, 1).astype(np.float32)))
        for of in (mean, mean - 0.5)
    )
    of_groups = np.zeros((1, 1), np.float32)
    fit = calibration.fit(
        pairs.Pairs(same, different, of_groups, of_groups, same, different, 25), method="logistic"
    )
    found = reliability_lib.measure(np.array([0.5]), np.array([1]), np.array([1]))
    return figures.Calibrated(fit, 0.001, found)


@pytest.mark.parametrize("mean", [0.8, 0.6, -0.5])
def test_the_words_on_the_threshold_lie_on_no_curve(mean):
    with style.Canvas(10.5, 5.0) as canvas:
        axes = canvas.figure.add_subplot(1, 2, 2)
        reliability._curve(axes, _calibrated(5000, mean=mean))
        [words] = axes.texts
        box, curve = words.get_window_extent(), axes.lines[0]
        points = axes.transData.transform(curve.get_xydata())
    assert not any(box.contains(*point) for point in points)


@pytest.mark.parametrize(("num_pairs", "is_rough"), [(20, True), (20_000, False)])
def test_a_threshold_of_too_few_pairs_is_not_to_be_trusted(num_pairs, is_rough, texts, tmp_path):
    reliability.draw(tmp_path / "reliability.png", _calibrated(num_pairs))
    [(words, color)] = [item for item in texts.items() if item[0].startswith('"similar"')]
    assert "at most 0.1 %" in words
    assert ("do not trust" in words) == is_rough == (color == style.WRONG)


def test_the_importance_says_from_how_many_trials_it_is(texts, tmp_path):
    rows = [
        trials.Row(i, state, {"train.batch_size": 8 + i}, 0.5 + i / 10, 1, i, True, "")
        for i, state in enumerate(["finished"] * 4 + ["pruned"])
    ]
    sweep.draw_all(
        tmp_path,
        trials.ranked(rows),
        space={"train.batch_size": space.Interval(8, 16, False)},
        importances={"train.batch_size": 1.0},
        monitor="map_at_r",
    )
    title = "how much each field explains of the differences in map_at_r (fANOVA, 4 trials)"
    assert title in texts


@pytest.mark.parametrize(
    ("num_cut", "words"),
    [(0, ""), (1, ", 1 that was cut short is dotted grey"), (2, ", 2 that were cut short are")],
)
def test_the_trials_that_were_cut_short_are_counted(num_cut, words, texts, tmp_path):
    rows = [
        trials.Row(i, state, {"train.batch_size": 8 + i}, 0.5, 1, i, True, "")
        for i, state in enumerate(["finished"] * 2 + ["pruned"] * num_cut)
    ]
    sweep.draw_parallel(
        tmp_path / "parallel.png",
        rows,
        space={"train.batch_size": space.Interval(8, 16, False)},
        monitor="map_at_r",
    )
    [title] = [text for text in texts if text.startswith("map_at_r of")]
    assert title.startswith(f"map_at_r of {len(rows)} trials; the best one is bold{words}")
    assert ("dotted" in title) == bool(num_cut)
