"""Pictures are files with the right colours, the same each time, whatever they are given."""

import subprocess
import sys

import matplotlib.colors
import matplotlib.font_manager
import matplotlib.ft2font
import matplotlib.image
import numpy as np
import pytest

from simsearch.plots import (
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
from simsearch.sweeps import space
from tests.data import sets

_AWKWARD = ("$5 \\frac$", "寿司", "a name far longer than the room there is for it", "two\nlines")
_FRAMES = {True: style.RIGHT, False: style.WRONG, None: style.NEUTRAL}


def _pixels(path):
    return np.rint(255 * matplotlib.image.imread(path)[..., :3]).astype(int)


def _share(path, colour):
    """Returns the share of a picture's pixels that have exactly a colour."""
    wanted = np.rint(255 * np.array(matplotlib.colors.to_rgb(colour)))
    return np.mean(np.all(_pixels(path) == wanted, axis=-1))


def _image(height=30, width=40):
    return np.full((height, width, 3), 200, np.uint8)


def _row(*correct, caption="apple", image=None):
    image = _image() if image is None else image
    results = [neighbors.Result(image, 0.5, caption, each, 0.25) for each in correct]
    return neighbors.Row(image, caption, results)


def _map(path, embeddings, *, class_names=("a", "b"), read_image=lambda i: _image(), seed=0):
    labels = np.arange(len(embeddings)) % len(class_names)
    return embedding_map.draw(
        path,
        embeddings,
        labels=labels,
        class_names=class_names,
        read_image=read_image,
        seed=seed,
    )


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("correct", [True, False, None])
def test_frame_says_right_wrong_or_unknown(tmp_path, correct):
    path = neighbors.draw(tmp_path / "query.png", _row(correct))
    for kind, colour in _FRAMES.items():
        assert (_share(path, colour) > 0.002) == (kind is correct)
    assert _share(path, style.QUERY) > 0.002


def test_a_sign_tells_right_from_wrong_without_colour(monkeypatch, tmp_path):
    monkeypatch.setattr(style, "WRONG", style.RIGHT)
    right = neighbors.draw(tmp_path / "right.png", _row(True))
    wrong = neighbors.draw(tmp_path / "wrong.png", _row(False))
    assert right.read_bytes() != wrong.read_bytes()


def test_what_is_under_the_threshold_is_pale(tmp_path):
    row = _row(None, None)
    weak = row._replace(results=[result._replace(is_weak=True) for result in row.results])
    bright = _pixels(neighbors.draw(tmp_path / "bright.png", row))
    pale = _pixels(neighbors.draw(tmp_path / "pale.png", weak))
    assert pale.shape == bright.shape and pale.mean() > bright.mean() + 5


def test_a_page_frames_each_result(tmp_path):
    rows = [_row(True, False, None), _row(False, False, False)]
    path = neighbors.draw_page(tmp_path / "page.png", rows, title="page")
    assert _share(path, style.WRONG) > 3 * _share(path, style.RIGHT) > 0


@pytest.mark.parametrize(
    "draw", [neighbors.draw, lambda path, row: neighbors.draw_page(path, [row])]
)
def test_many_results_go_on_below(draw, tmp_path):
    height, width = _pixels(draw(tmp_path / "many.png", _row(*[True] * 50))).shape[:2]
    assert width < 2500 and height > 900


@pytest.mark.parametrize("shape", [(8, 8), (1, 1), (2, 900), (900, 2), (160, 240)])
def test_images_of_any_shape_are_drawn(shape, tmp_path):
    path = neighbors.draw(tmp_path / "query.png", _row(True, image=_image(*shape)))
    assert _share(path, (200 / 255,) * 3) > 0


def test_several_queries_are_shown_as_one_square_of_their_middles():
    images = [np.full((4, 6, 3), 10, np.uint8), np.full((8, 4, 3), 20, np.uint8)]
    images[0][:, 0] = images[0][:, 5] = 99  # outside its middle
    two = style.mosaic(images)
    assert two.shape == (4, 4, 3)
    assert np.all(two[:, :2] == 10) and np.all(two[:, 2:] == 20)
    three = style.mosaic([*images, images[0]])
    assert three.shape == (8, 8, 3)
    assert np.all(three[:4, :4] == 10) and np.all(three[:4, 4:] == 20)
    assert np.all(three[4:, :4] == 10) and np.all(three[4:, 4:] == 255)
    assert style.mosaic(images[:1]) is images[0]


@pytest.mark.parametrize("name", _AWKWARD)
def test_any_class_name_is_drawn(name, tmp_path):
    neighbors.draw(tmp_path / "query.png", _row(True, caption=name), title=name)
    confusion.draw(tmp_path / "confusion.png", sets.counts_of(np.eye(2)), class_names=(name, "b"))
    _map(tmp_path / "map.png", _random(4, 3), class_names=(name, "b"))


def test_a_query_without_results_is_drawn(tmp_path):
    assert neighbors.draw(tmp_path / "query.png", _row()).exists()
    assert neighbors.draw_page(tmp_path / "page.png", [_row()]).exists()


@pytest.mark.parametrize(
    "records",
    [
        [],
        [{"split": "train", "step": 1, "epoch": 0.1, "loss": 1.0}],
        [{"split": "train", "step": 1, "epoch": 0.1, "loss": None}],
        [{"split": "validation", "step": 1, "epoch": 0.1, "map_at_r": None}],
        [{"split": "validation", "step": 0, "epoch": 0.0, "map_at_r": 0.5, "recall_at_1": None}],
    ],
)
def test_curves_of_a_run_that_has_hardly_begun(records, tmp_path):
    assert curves.draw(tmp_path / "curves.png", records, monitor="map_at_r").exists()


def test_curves_mark_the_best_epoch_of_the_monitored_figure():
    records = [
        {"split": "validation", "step": i, "epoch": i / 2, "map_at_r": value, "recall_at_1": i / 9}
        for i, value in enumerate([0.1, 0.6, None, 0.8, 0.5])
    ]
    with style.Canvas(4, 3) as canvas:
        axes = canvas.figure.subplots()
        curves._validation(axes, records, "map_at_r")
    [star] = [line for line in axes.lines if line.get_marker() == "*"]
    assert (*star.get_xdata(), *star.get_ydata()) == (1.5, 0.8)


@pytest.mark.parametrize("count", [1, 2, 20, 200])
def test_confusion_of_any_number_of_classes(count, tmp_path):
    counts = sets.counts_of(np.diag(np.arange(count)))  # the first class has no query
    names = [f"class {i}" for i in range(count)]
    assert confusion.draw(tmp_path / "confusion.png", counts, class_names=names).exists()


def test_confusion_shows_shares_of_the_row(tmp_path):
    few = confusion.draw(tmp_path / "few.png", sets.counts_of([[1, 1], [0, 3]]), class_names="ab")
    many = confusion.draw(tmp_path / "many.png", sets.counts_of([[9, 9], [0, 2]]), class_names="ab")
    assert few.read_bytes() == many.read_bytes()


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 12])
def test_map_of_few_embeddings(count, tmp_path):
    assert _map(tmp_path / "map.png", _random(count, 3)).exists()


@pytest.mark.parametrize("embeddings", [np.ones((20, 4), np.float32), _random(20, 1)])
def test_map_of_collapsed_and_of_flat_embeddings(embeddings, tmp_path):
    assert _map(tmp_path / "map.png", embeddings).exists()


def test_map_has_thumbnails_that_do_not_overlap():
    places = np.random.default_rng(0).random((500, 2))
    kept = places[embedding_map._apart(places, np.arange(500))]
    gaps = np.abs(kept[:, None] - kept[None]).max(axis=-1)
    assert len(kept) > 50
    assert np.min(gaps[~np.eye(len(kept), dtype=bool)]) > embedding_map._THUMBNAIL


def test_map_reads_a_sample_of_many_rows(monkeypatch, tmp_path):
    monkeypatch.setattr(embedding_map, "_MOST_POINTS", 10)
    read = []
    _map(tmp_path / "map.png", _random(60, 3), read_image=lambda i: read.append(i) or _image())
    assert 0 < len(set(read)) == len(read) <= 10 and max(read) > 10


def test_equal_inputs_give_equal_files(tmp_path):
    def draw_all():
        path = tmp_path / "picture.png"
        yield neighbors.draw(path, _row(True, False)).read_bytes()
        yield confusion.draw(path, sets.counts_of(np.eye(3)), class_names="abc").read_bytes()
        yield _map(path, _random(30, 5), seed=3).read_bytes()

    assert list(draw_all()) == list(draw_all())


def test_a_picture_that_fails_leaves_the_old_one_and_no_draft(monkeypatch, tmp_path):
    path = neighbors.draw(tmp_path / "query.png", _row(True))
    before = path.read_bytes()

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(style.os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        neighbors.draw(path, _row(False))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_drawing_needs_no_pyplot_and_leaves_the_global_style(tmp_path):
    code = f"""
import sys, matplotlib, numpy as np
names = [name for name in matplotlib.rcParams if name != "backend"]  # asking for it loads pyplot
before = [matplotlib.rcParams[name] for name in names]
from simsearch.data import confusion as data_confusion
from simsearch.plots import confusion
counts = data_confusion.count([0, 1], [0, 1], num_classes=2)
confusion.draw({str(tmp_path / "c.png")!r}, counts, class_names="ab")
assert "matplotlib.pyplot" not in sys.modules
assert [matplotlib.rcParams[name] for name in names] == before
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("method", ["isotonic", "logistic"])
def test_reliability_is_drawn_for_few_pairs_and_for_many(method, tmp_path):
    rng = np.random.default_rng(0)
    same, different = (
        bins.count(bins.of(rng.normal(mean, 0.2, 300).astype(np.float32))) for mean in (0.6, 0.1)
    )
    of_groups = np.zeros((1, 1), np.float32)
    fit = calibration.fit(
        pairs.Pairs(same, different, of_groups, of_groups, same, different, 25), method=method
    )
    predicted = fit.probability(bins.centers())
    many = reliability_lib.measure(predicted, same, same + different)
    one = reliability_lib.measure(np.array([0.5]), np.array([1]), np.array([1]))
    paths = [
        reliability.draw(tmp_path / f"{name}.png", figures.Calibrated(fit, 0.01, found))
        for name, found in (("many", many), ("one", one), ("again", many))
    ]
    assert paths[0].read_bytes() == paths[2].read_bytes() != paths[1].read_bytes()
    assert _share(paths[0], style.RIGHT) > 0.001 and _share(paths[0], style.QUERY) > 0.001


def test_no_probability_is_shown_as_certain():
    shown = [style.percent(probability) for probability in (0, 0.004, 0.02, 0.5, 0.985, 0.999, 1)]
    assert shown == ["<1%", "<1%", "2%", "50%", "98%", ">99%", ">99%"]


@pytest.fixture
def other_fonts(monkeypatch):
    """Lets a second font that comes with matplotlib stand for one with Chinese letters."""
    caches = style._fonts, style._known_characters
    monkeypatch.setattr(style, "_FONTS", ("DejaVu Sans", "No Such Font", "STIXGeneral"))
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def _letters(font, weight):
    named = matplotlib.font_manager.FontProperties(family=font, weight=weight)
    path = matplotlib.font_manager.findfont(named)
    return set(matplotlib.ft2font.FT2Font(path).get_charmap())


def test_what_one_font_lacks_is_drawn_with_another(other_fonts, tmp_path):
    normal, bold = (_letters("STIXGeneral", weight) for weight in ("normal", "bold"))
    letter = chr(max(normal & bold - _letters("DejaVu Sans", "normal")))
    thin = chr(max(normal - bold))
    assert style.shortened(f"a{letter}寿{thin}", 9) == f"a{letter}□□"
    # matplotlib warns of what it cannot draw, and a warning fails a test.
    assert neighbors.draw(tmp_path / "x.png", _row(True, caption=letter)).exists()


def test_a_chinese_letter_takes_the_room_of_two(monkeypatch):
    monkeypatch.setattr(style, "_known_characters", lambda: frozenset(map(ord, "寿司abc")))
    assert style.shortened("寿司寿", 6) == "寿司寿"
    assert style.shortened("寿司寿司", 6) == "寿…司"
    assert style.shortened("abcabca", 6) == "ab…bca"


def test_the_key_says_what_frames_and_numbers_mean():
    [unknown], [right] = _row(None).results, _row(True).results
    key = neighbors.key([unknown])
    assert "query" in key and "✓" not in key and "probability of the same class" in key
    assert "green ✓" in neighbors.key([unknown, right])
    assert "probability" not in neighbors.key([unknown._replace(probability=None)])
    assert neighbors.key([]) == ""


def test_ticks_of_integers_stand_where_they_say():
    for part, expected in (
        (space.Interval(64, 70, False), ["64", "66", "67", "68", "70"]),
        (space.Interval(1, 3, False), ["1", "2", "3"]),
        (space.Interval(1, 256, True), ["1", "4", "16", "64", "256"]),
    ):
        axis = sweep._parameter_axis("field", part)
        assert [text for _, text in axis.ticks] == expected
        for place, text in axis.ticks:
            assert place == pytest.approx(sweep._place(part, int(text), axis))


def test_more_classes_than_colours_are_named_on_the_map(monkeypatch, tmp_path):
    named = []
    real = embedding_map._name
    monkeypatch.setattr(
        embedding_map, "_name", lambda *given: (named.append(given[2]), real(*given))
    )
    names = [f"class {i}" for i in range(40)]
    _map(tmp_path / "many.png", _random(80, 8), class_names=names)
    assert len(named) == 30
    _map(tmp_path / "few.png", _random(80, 8), class_names=names[:30])
    assert len(named) == 30
