import contextlib
import dataclasses
import errno
import io
import os
import pathlib
import shutil

import numpy as np
import pytest

import simsearch
from simsearch import errors
from simsearch.data.decoding import formats
from simsearch.data.decoding import images as images_lib
from simsearch.index import answers, engines, opening
from simsearch.index import model as model_lib
from simsearch.index.record import Found
from simsearch.retrieval import calibration
from tests.index import model
from tests.index.conftest import write_image


def paths(answer):
    return [hit.path for hit in answer.hits]


def by_hand(folder, query, embedder):
    """Returns paths and cosines of all images, most similar first."""
    files = sorted(folder.rglob("*.png"))
    pixels = np.stack([embedder.preprocess(file.read_bytes()) for file in [query, *files]])
    vectors = embedder.embed(pixels)
    scores = vectors[1:] @ vectors[0]
    order = np.argsort(-scores, kind="stable")
    return [str(files[i].relative_to(folder)) for i in order], scores[order]


def test_a_search_ranks_all_images_by_cosine(index, folder, tmp_path, embedder):
    write_image(tmp_path / "query.png", 99)
    expected, scores = by_hand(folder, tmp_path / "query.png", embedder)
    answer = index.search(tmp_path / "query.png", top_k=20)
    assert paths(answer) == expected
    # Summed in another order.
    np.testing.assert_allclose([hit.score for hit in answer.hits], scores, atol=1e-5)
    assert {hit.label for hit in answer.hits} == {"a", "b"}
    assert (answer.is_match, answer.threshold, answer.hits[0].probability) == (True, None, None)
    assert paths(index.search(str(tmp_path / "query.png"), top_k=3)) == expected[:3]
    assert paths(index.search((tmp_path / "query.png").read_bytes(), top_k=3)) == expected[:3]
    only_a = index.search(tmp_path / "query.png", top_k=20, filter="label = 'a'")
    assert paths(only_a) == [path for path in expected if path.startswith("a/")]
    vectors = index.embed_queries([(tmp_path / "query.png").read_bytes(), tmp_path / "query.png"])
    assert [paths(found) for found in index.search_vectors(vectors, 4)] == [expected[:4]] * 2
    for other in (vectors[0], vectors[:, 1:]):
        with pytest.raises(errors.UsageError, match=r"expected vectors \[Q, \d+\], not \[\d"):
            index.search_vectors(other, 4)
    with pytest.raises(errors.UsageError, match="nowhere.png must be an image file"):
        index.embed_queries(["nowhere.png"])


def test_what_is_excluded_is_no_result_and_counts_for_no_match(index, monkeypatch):
    ids = index.ids()[:2]
    vectors = np.stack([index.vector(id_) for id_ in ids])
    nearest = [[hit.id for hit in answer.hits] for answer in index.search_vectors(vectors, 12)]
    assert [near[0] for near in nearest] == ids
    # A match is the image itself, and what is as near.
    monkeypatch.setattr(index, "_judge", answers.Judge(model.CALIBRATION, threshold=0.9999))
    passed_over = [{ids[0]}, set(nearest[1][1:3])]
    without = index.search_vectors(vectors, 3, exclude=passed_over)
    assert [[hit.id for hit in answer.hits] for answer in without] == [
        nearest[0][1:4], [ids[1], *nearest[1][3:5]]
    ]  # fmt: skip
    assert [answer.is_match for answer in without] == [False, True]
    assert not index.search(f"id:{ids[0]}").is_match
    assert not index.search_vectors(vectors[:1], 3, exclude=[set(index.ids())])[0].hits


def test_a_closed_index_says_that_it_is_closed(index, folder):
    index.close()
    index.close()
    for use in (
        index.count,
        lambda: index.search(folder / "a" / "0.png"),
        lambda: index.add(folder / "a" / "0.png"),
        lambda: index.remove("0" * 32),
        lambda: index.sync(folder),
        lambda: index.info,
    ):
        with pytest.raises(errors.UsageError, match="^this index is closed; Index.open"):
            use()


def test_a_sync_touches_only_what_changed(index, folder, embedder, monkeypatch):
    embedder.decoded = 0
    assert index.sync(folder)[:4] == (0, 0, 0, 12) and embedder.decoded == 0
    write_image(folder / "b" / "new.png", 50)
    write_image(folder / "a" / "0.png", 51)
    (folder / "b" / "1.png").unlink()
    os.utime(folder / "a" / "2.png", (1, 1))
    (folder / "b" / "3.png").write_bytes(b"<svg>")
    (folder / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    changed = []
    monkeypatch.setattr(index._rows, "index", changed.append)
    report = index.sync(folder)
    assert report[:4] == (1, 1, 2, 9) and changed == [4]
    assert [name for name, _ in report.unreadable] == ["a/broken.jpg", "b/3.png"]
    assert embedder.decoded == 4, "two good and two bad; what only looks older is not decoded"
    answer = index.search(folder / "a" / "0.png", top_k=20)
    assert paths(answer) == by_hand_paths(folder, embedder)
    again = index.sync(folder)
    assert again[:4] == (0, 0, 0, 11) and len(again.unreadable) == 1


def by_hand_paths(folder, embedder):
    (folder / "b" / "3.png").unlink()
    return by_hand(folder, folder / "a" / "0.png", embedder)[0]


def test_a_csv_file_gives_metadata_without_embedding_again(index, folder, embedder, tmp_path):
    embedder.decoded = 0
    table = tmp_path / "labels.csv"
    table.write_text(
        "Path,price,colour,sold,label\na/0.png,2,it's,true,c\na/2.png,2.5,,false,\nno.png,1,x,true,\n"
    )
    assert index.sync(folder, labels_csv=table)[:4] == (0, 2, 0, 10)
    assert embedder.decoded == 0
    (hit,) = index.search(folder / "a" / "0.png", filter="colour = 'it''s'").hits
    assert (hit.label, hit.metadata) == ("c", {"price": 2.0, "colour": "it's", "sold": True})
    assert index.count("price >= 2 and not sold = true") == 1
    assert index.labels() == {"a": 5, "b": 6, "c": 1}, "no label said: that of the folder"
    assert index.sync(folder)[:4] == (0, 0, 0, 12), "without the file, what it said stays"
    assert index.count("sold = true") == 1


def test_a_table_of_more_images_than_are_read_at_a_time(index, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("simsearch.index.sync._READ_ROWS", 5)
    table = tmp_path / "labels.csv"
    lines = [f"{'ab'[i % 2]}/{i}.png,{i}" for i in range(12)]
    table.write_text("\n".join(["path,price", *lines]))
    assert index.sync(folder, labels_csv=table).replaced == 12
    hits = map(index.get, index.ids())
    assert {f"{hit.path},{hit.metadata['price']}" for hit in hits} == set(lines)


def test_of_many_images_the_last_are_computed_as_all_before(
    index, folder, tmp_path, embedder, monkeypatch
):
    sizes, real = [], embedder.embed

    def embed(images, *, batch_size=None):
        sizes.append((len(images), batch_size))
        return real(images, batch_size=batch_size)

    monkeypatch.setattr(embedder, "embed", embed)
    shutil.copytree(folder, tmp_path / "more")
    index.sync(tmp_path / "more")  # Twelve images, eight at a time.
    write_image(tmp_path / "more" / "a" / "new.png", 99)
    index.sync(tmp_path / "more")
    assert sizes == [(8, 8), (4, 8), (1, None)]


def test_what_is_embedded_is_written_now_and_then(url, embedder, folder, monkeypatch):
    monkeypatch.setattr("simsearch.index.sync._WRITE_SECONDS", -1)
    seen = []
    with simsearch.Index.open(url, embedder=embedder, create=True) as index:
        index.sync(folder, progress=lambda *done: seen.append((*done, index.count())))
    assert seen == [(8, 12, 8), (12, 12, 12)]


def test_an_image_that_vanishes_amid_a_sync_is_passed_over(index, folder, tmp_path, monkeypatch):
    engine, table = index._rows.engine, tmp_path / "labels.csv"
    table.write_text("path,price\na/0.png,2\na/2.png,3\n")
    doomed = index.ids("path = 'a/0.png'")
    real = engine.get

    def get(ids, *, vectors=False):
        found = real(ids, vectors=vectors)
        engine.delete(doomed)
        return found

    monkeypatch.setattr(engine, "get", get)
    index.sync(folder, labels_csv=table)
    assert index.count("price >= 2") == 1 and engine.count() == 11


def test_a_changed_file_that_the_disk_would_not_give_keeps_its_row(
    index, folder, tmp_path, monkeypatch
):
    table = tmp_path / "labels.csv"
    table.write_text("path,label,price\na/0.png,c,7\na/2.png,c,8\n")
    index.sync(folder, labels_csv=table)
    for name in ("a/0.png", "a/2.png"):
        write_image(folder / name, 60)
    real = pathlib.Path.read_bytes

    def read_bytes(path):
        if path.name == "0.png":
            raise OSError(errno.EIO, "Input/output error")
        if path.name == "2.png":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return real(path)

    monkeypatch.setattr(pathlib.Path, "read_bytes", read_bytes)
    report = index.sync(folder)
    assert report[:4] == (0, 0, 1, 10), "what is gone is deleted"
    assert report.unreadable == [
        ("a/0.png", "cannot be read: Input/output error"),
        ("a/2.png", "cannot be read: No such file or directory"),
    ]
    assert index.count("label = 'c' and price = 7") == 1
    table.write_text("path,label,price\na/0.png,c,9\n")
    index.sync(folder, labels_csv=table)
    assert index.count("label = 'c' and price = 9") == 1, "its row is said anew all the same"
    monkeypatch.undo()
    assert index.sync(folder)[:4] == (1, 1, 0, 10)
    assert index.count("label = 'c' and price = 9") == 1


def test_names_and_labels_that_are_no_unicode_are_stored_escaped(index, folder, tmp_path):
    odd = os.fsdecode(b"bad\xff.png")
    write_image(tmp_path / odd, 70)
    index.add([tmp_path / odd], labels=["x\ud800"])
    assert index.count("path = 'bad\\xff.png' and label = 'x\\ud800'") == 1
    with pytest.raises(errors.UsageError, match="metadata note"):
        index.add([tmp_path / odd], metadata=[{"note": "\udcff"}])


def test_an_index_that_another_model_takes_over_while_it_is_opened(index, folder, url, monkeypatch):
    other = model.CornerEmbedder(fingerprint="e" * 64)
    real = opening.model.describe

    def describe(embedder, **options):
        about = real(embedder, **options)
        monkeypatch.undo()
        with simsearch.Index.open(url, embedder=other, create=True) as new:
            new.sync(folder)
        return about

    monkeypatch.setattr(opening.model, "describe", describe)
    with pytest.raises(errors.UsageError, match="cannot search it"):
        simsearch.Index.open(url, embedder=model.CornerEmbedder())


def test_adds_and_removals_are_seen_at_once_and_by_other_processes(index, folder, url, tmp_path):
    write_image(tmp_path / "x.png", 70)
    with simsearch.Index.open(url, embedder=model.CornerEmbedder()) as other:
        (id_,) = index.add([tmp_path / "x.png"], labels=["x"], metadata=[{"price": 3}])
        for one in (index, other):
            hit = one.search(tmp_path / "x.png", top_k=1).hits[0]
            assert hit.id == id_ and hit.score == pytest.approx(1, abs=1e-5)
            assert (hit.label, hit.path, hit.metadata) == ("x", "x.png", {"price": 3})
            assert one.get(id_) == hit._replace(score=1.0)
            assert len(one) == 13
        assert index.sync(folder)[:4] == (0, 0, 0, 12), "a folder's sync leaves it alone"
        assert index.remove([id_, "0" * 32]) == 1
        for one in (index, other):
            assert one.get(id_) is None and one.thumbnail(id_) is None
            assert id_ not in [hit.id for hit in one.search(tmp_path / "x.png", top_k=20).hits]


def test_one_image_that_is_given_twice_is_there_once(index, folder):
    image = (folder / "a" / "0.png").read_bytes()
    first, second = index.add([image, image], labels=["x", "y"])
    assert first == second and index.get(first).label == "y"
    assert len(index) == index._rows.engine.count() == 13


def test_each_of_several_images_has_what_was_said_of_it(index, tmp_path):
    names = ["x", "y", "z"]
    for seed, name in enumerate(names, start=70):
        write_image(tmp_path / f"{name}.png", seed)
    images = [tmp_path / f"{name}.png" for name in names]
    metadata = [{"price": 1}, None, {"price": 3}]
    ids = index.add(images, labels=names, paths=["far/x", None, "far/z"], metadata=metadata)
    for id_, image, name, path, said in zip(
        ids, images, names, ["far/x", "y.png", "far/z"], metadata, strict=True
    ):
        (hit,) = index.search(image, top_k=1).hits
        assert (hit.id, hit.score) == (id_, pytest.approx(1, abs=1e-5))
        assert (hit.label, hit.path, hit.metadata) == (name, path, said or {})


def test_a_folder_is_the_same_by_another_name(index, folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert index.sync(tmp_path / "link")[:4] == (0, 0, 0, 12) and len(index) == 12


def test_another_way_to_take_an_image_is_another_model(index, url, folder):
    other = model.CornerEmbedder(model.with_fields({"data.interpolation": "bicubic"}))
    with pytest.raises(errors.UsageError, match="cannot search it"):
        simsearch.Index.open(url, embedder=other)
    with simsearch.Index.open(url, embedder=other, create=True) as new:
        assert len(new) == 0 and len(index) == 12
        assert new.sync(folder).added == 12


def test_an_index_that_shrinks_under_the_limit_is_searched_exactly_again(url, folder):
    embedder = model.CornerEmbedder(model.with_fields({"index.exact_limit": 11}))
    with simsearch.Index.open(url, embedder=embedder, create=True) as index:
        index.sync(folder)
        assert not index.info.is_exact
        (folder / "a" / "0.png").unlink()
        index.sync(folder)
        assert index.info.is_exact and len(index) == 11


def test_one_image_needs_no_list(index, folder, tmp_path):
    (id_,) = index.add(str(folder / "a" / "0.png"), labels=["x"])
    assert index.count("label = 'x'") == 1 and len(index) == 13
    assert index.remove(id_) == 1 and len(index) == 12


def test_stored_images_are_queries_and_not_their_own_results(index, folder, embedder):
    ids = index.ids("label = 'a'")
    answer = index.search([f"id:{ids[0]}", f"id:{ids[1]}"], top_k=20, unlike=f"id:{ids[2]}")
    assert len(answer.hits) == 9 and not {hit.id for hit in answer.hits} & set(ids[:3])
    good, bad = (index.vector(ids[0]) + index.vector(ids[1])) / 2, index.vector(ids[2])
    wanted = good - 0.5 * bad
    wanted /= np.linalg.norm(wanted)
    for hit in answer.hits:
        assert hit.score == pytest.approx(float(index.vector(hit.id) @ wanted), abs=1e-5)
    with pytest.raises(errors.UsageError, match="holds no image with the id abc"):
        index.search("id:abc")


def test_a_region_is_searched_as_if_it_were_the_image(index, tmp_path):
    left, right = (np.asarray(images_lib.Image.new("RGB", (20, 20), c)) for c in ("red", "blue"))
    both = images_lib.encode_png(np.concatenate([left, right], axis=1))
    (id_,) = index.add([images_lib.encode_png(right)])
    for box in ((20, 0, 20, 20), (0.5, 0, 0.5, 1), (0.5, 0, 1, 1), (21, 5, 400, 10)):
        hit = index.search(both, top_k=1, crop=box).hits[0]
        assert hit.id == id_ and hit.score == pytest.approx(1, abs=1e-5)
    for box in ((40, 0, 5, 5), (0, 0, 0, 5), (-9, 0, 5, 5), (0, 0, float("nan"), 1)):
        with pytest.raises(errors.UsageError, match="holds no pixel"):
            index.search(both, crop=box)
    with pytest.raises(errors.UsageError, match="exactly one query"):
        index.search([both, both], crop=(0, 0, 1, 1))


def test_another_model_is_refused_and_can_take_over(index, folder, url):
    other = model.CornerEmbedder(fingerprint="e" * 64)
    with pytest.raises(errors.UsageError, match="--mode=index --images=DIR --version=N"):
        simsearch.Index.open(url, embedder=other)
    with simsearch.Index.open(url, embedder=other, create=True) as new:
        # Until it is complete the old one answers.
        with simsearch.Index.open(url, embedder=model.CornerEmbedder()) as old:
            assert len(old) == 12
        assert new.sync(folder).added == 12
    assert len(simsearch.Index.open(url, embedder=other)) == 12
    with pytest.raises(errors.UsageError, match="cannot search it"):
        simsearch.Index.open(url, embedder=model.CornerEmbedder())


def test_a_version_that_was_trained_on_since_is_told_to_index_again(index, url):
    asked = dataclasses.replace(index._about, version=3, fingerprint="e" * 64)
    stored = dataclasses.replace(index._about, version=3)
    with pytest.raises(errors.UsageError, match="trained on since, index again with .*--version=3"):
        model_lib.check(stored, asked, url=url, workdir="runs")


def test_a_score_rounded_beyond_is_a_cosine(index):
    record = next(iter(index._rows.engine.scan())).records[0]
    scores = [answers.hit(Found(record, score), None).score for score in (1.0000002, 0.5, -1.0001)]
    assert scores == [1.0, 0.5, -1.0]


def calibrated(**fields):
    """Returns a calibration of very few pairs, of which a half reach a cosine of 0.5."""
    values = {
        "method": "isotonic",
        "weights": "",
        "num_same": 1,
        "num_different": 1,
        "cosines": np.array([-1.0, 1.0]),
        "probabilities": np.array([0.0, 1.0]),
        "false_match_rates": np.array([0.0, 0.5, 1.0]),
        "thresholds": np.array([0.9, 0.5, -1.0]),
    }
    return calibration.Calibration(**values | fields)


@pytest.mark.parametrize(("score", "is_match"), [(0.51, True), (0.5, True), (0.49, False)])
def test_what_reaches_the_threshold_is_a_match(index, score, is_match):
    record = next(iter(index._rows.engine.scan())).records[0]
    judge = answers.Judge(calibrated(), 0.5, "a doubt")
    answer = judge.answer([Found(record, score), Found(record, -1.0)])
    assert (answer.is_match, answer.threshold, answer.doubt) == (is_match, 0.5, "a doubt")
    assert [hit.probability for hit in answer.hits] == pytest.approx([(1 + score) / 2, 0])
    assert not judge.answer([]).is_match


def test_scores_are_judged_by_the_calibration_that_an_index_remembers(index, url, folder):
    with contextlib.closing(engines.connect(url)) as engine:
        engine.write_about(engine.read_about() | {"calibration": calibrated().to_json()})
    for rate, threshold in ((0.5, 0.5), (0.1, 0.9)):
        embedder = model.CornerEmbedder(model.with_fields({"eval.false_match_rate": rate}))
        with simsearch.Index.open(url, embedder=embedder) as opened:
            answer = opened.search(folder / "a" / "0.png", top_k=1)
        assert (answer.threshold, answer.hits[0].probability) == (threshold, pytest.approx(1))
        assert answer.doubt.startswith("do not trust the threshold and the probabilities")


def test_an_index_of_a_later_simsearch_is_not_read(index, url):
    with contextlib.closing(engines.connect(url)) as engine:
        engine.write_about(engine.read_about() | {"format": model_lib.FORMAT + 1})
    with pytest.raises(errors.UsageError, match="has format 2 and this simsearch reads 1; update"):
        simsearch.Index.open(url, embedder=model.CornerEmbedder())


def test_a_place_may_be_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    simsearch.Index.open("lance:~/store", embedder=model.CornerEmbedder(), create=True).close()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_mistakes_are_told_in_one_line(index, folder, tmp_path):
    with pytest.raises(errors.UsageError, match="there is no index at lance:.*--mode=index"):
        simsearch.Index.open(f"lance:{tmp_path / 'none'}", embedder=model.CornerEmbedder())
    assert not (tmp_path / "none").exists(), "only looking creates nothing"
    (tmp_path / "empty").mkdir()
    mistakes = [
        (lambda: index.sync(tmp_path / "empty"), "found none"),
        (lambda: index.sync(tmp_path / "missing"), "does not exist"),
        (lambda: index.search("no.png"), "the query no.png must be an image file"),
        (lambda: index.search(index.ids()[0]), "for the stored image write id:"),
        (lambda: index.search([]), "at least one query"),
        (lambda: index.search(b"x"), "not an image"),
        (lambda: index.search(folder / "a" / "0.png", filter="label ="), "expected a number"),
        (lambda: index.add([folder / "a" / "0.png"], metadata=[{"path": 1}]), "metadata column"),
        (lambda: index.add([folder / "a" / "0.png"], labels=[]), "1 image came with 0 labels"),
        (lambda: index.add(folder / "a" / "0.png", labels="a"), "labels must be a list"),
        (lambda: index.add(folder / "a" / "0.png", labels=[3]), "labels must be a text or None"),
        (lambda: index.add(folder / "a" / "0.png", paths=[3]), "paths must be a text or None"),
        (lambda: index.search(b"x", top_k=2.5), "top_k=2.5 must be a whole number"),
        (lambda: index.search(b"x", top_k=0), "top_k=0 must be at least 1"),
        (lambda: index.search(f"id:{index.ids()[0]}", top_k=0), "top_k=0 must be at least 1"),
        (lambda: index.search(folder / "a" / "0.png", crop=(0, 0, 1)), "x,y,width,height"),
        (lambda: simsearch.Index.open("pickle:x"), "names no engine"),
        (lambda: simsearch.Index.open("lance:"), "names no engine"),
    ]
    for act, message in mistakes:
        with pytest.raises(ValueError, match=message) as caught:
            act()
        assert "\n" not in str(caught.value)
    assert len(index) == 12


def test_why_nothing_was_found_says_of_how_many_images_it_is_known(index, monkeypatch):
    assert index.explain_nothing("prize < 1").startswith("no image has a field prize")
    monkeypatch.setattr("simsearch.index.collection._NUM_EXPLAINED", 5)
    reason = "judging by 5 of the 12 images, no image has a field prize; "
    assert index.explain_nothing("prize < 1").startswith(reason)
    assert index.explain_nothing("label = 'c'") == "none of the 12 images passes the filter"
    told = "the index holds no other image that passes the filter"
    assert index.explain_nothing("path = 'a/0.png'") == told
    assert index.explain_nothing() == "the index holds no other image"


def test_an_image_of_which_the_model_makes_no_numbers_is_named(index, folder, monkeypatch):
    real = model.CornerEmbedder.embed

    def embed(self, images, **options):
        found = real(self, images, **options)
        found[-1, 3] = np.nan
        return found

    monkeypatch.setattr(model.CornerEmbedder, "embed", embed)
    for name in ("new", "newer"):
        write_image(folder / "b" / f"{name}.png", 50)
    images = sorted((folder / "b").glob("new*.png"))
    for act, named in (
        (lambda: index.sync(folder), "b/newer.png"),
        (lambda: index.add(images), str(images[1])),
        (lambda: index.add([image.read_bytes() for image in images]), "image 2 of 2"),
    ):
        with pytest.raises(errors.RunError, match=f"no finite numbers of {named}; take another"):
            act()
    assert len(index) == 12


def test_thumbnails_are_small_jpegs(index):
    for id_ in index.ids()[:3]:
        thumbnail = index.thumbnail(id_)
        assert formats.sniff(thumbnail) == "jpg"
        image = images_lib.decode(
            thumbnail, resize_mode="short_side", resize_size=16, max_pixels=10**6
        )
        assert image.shape == (16, 16, 3)


def test_a_thumbnail_is_as_large_as_is_asked_for_in_few_bytes(url):
    config = model.with_fields({"index.thumbnail_size": 500})
    noise = np.random.default_rng(0).integers(0, 256, (600, 750, 3), np.uint8)
    with simsearch.Index.open(url, embedder=model.CornerEmbedder(config), create=True) as index:
        (id_,) = index.add(noise)
        thumbnail = index.thumbnail(id_)
    assert images_lib.Image.open(io.BytesIO(thumbnail)).size == (500, 400)
    assert len(thumbnail) <= 48_000, "in base64 a text field of 64 KiB"


def test_an_embedder_of_a_program_takes_nothing_from_what_is_remembered(url):
    embedder = model.CornerEmbedder()
    simsearch.Index.open(url, embedder=embedder, create=True).close()
    with contextlib.closing(engines.connect(url)) as engine:
        known = engine.read_about() | {"version": 3}
        engine.write_about(known)
    simsearch.Index.open(url, embedder=embedder, create=True).close()
    with contextlib.closing(engines.connect(url)) as engine:
        assert engine.read_about() == known


def test_additions_beyond_the_limit_of_exact_search_are_told(index, url, folder, caplog):
    limited = index.embedder
    limited.config = model.with_fields({"index.exact_limit": 13})
    images = [(folder / "a" / f"{i}.png").read_bytes() for i in (0, 2)]
    with simsearch.Index.open(url, embedder=limited) as opened:
        opened.add(images[:1])
        assert "exact_limit" not in caplog.text and opened.info.is_exact
        opened.add(images[1:])
        assert "more than index.exact_limit=13 images now: searches read all" in caplog.text
        assert not opened.info.is_exact
        opened.add(images)
        assert caplog.text.count("exact_limit") == 1
