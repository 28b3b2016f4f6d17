"""A newer model's index takes the place of the old one, and no image is lost without a word."""

import dataclasses
import errno
import pathlib
from concurrent import futures

import pytest

import simsearch
from simsearch import errors, preprocessing
from simsearch.index import engines, rows
from simsearch.index import model as model_lib
from tests.index import model, stores
from tests.index.conftest import write_image

ENGINES = stores.ENGINES
NEWER = "e" * 64


def open_new(url, *, fingerprint=NEWER):
    embedder = model.CornerEmbedder(fingerprint=fingerprint)
    return simsearch.Index.open(url, embedder=embedder, create=True)


def tables(url):
    engine = engines.connect(url)
    try:
        return {name for name in engine.table_names() if model_lib.is_table(name)}
    finally:
        engine.close()


def test_other_words_for_people_make_no_other_model(index, url, embedder, monkeypatch):
    assert tables(url) == {"images_ebe16d8f56c7973d"}, "as every index that exists has it"
    monkeypatch.setattr(preprocessing, "describe", lambda config: "in other words")
    with simsearch.Index.open(url, embedder=embedder, create=True) as opened:
        assert len(opened) == 12 and opened.info.replaces is None


def test_images_of_other_folders_are_not_left_behind(index, url, tmp_path, folder):
    other = tmp_path / "other"
    for i in range(2):
        write_image(other / f"{i}.png", 100 + i)
    index.sync(other)
    (id_,) = index.add([(other / "0.png").read_bytes()])
    with open_new(url) as new:
        with pytest.raises(errors.UsageError) as caught:
            new.sync(folder)
        assert f"lose 2 images of {other.resolve()} and 1 image added without" in str(caught.value)
        assert "another --index" in str(caught.value) and "\n" not in str(caught.value)
        assert new.embedder.decoded == 0, "it is told before anything is embedded"
    with simsearch.Index.open(url, embedder=model.CornerEmbedder()) as old:
        assert len(old) == 15
        old.remove([id_, *old.ids(f"source = '{other.resolve()}'")])
    with open_new(url) as new:
        assert new.sync(folder).added == 12
        assert new.info.replaces is None and new.sync(folder).untouched == 12


def test_what_a_table_said_of_the_images_is_kept(index, url, folder, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("path,label,price\na/0.png,cookie,3\n")
    index.sync(folder, labels_csv=table)

    def said(of):
        hits = map(of.get, of.ids())
        return {hit.path: (hit.label, hit.metadata) for hit in hits}

    before = said(index)
    assert before["a/0.png"] == ("cookie", {"price": 3})
    with open_new(url) as new:
        assert new.sync(folder).added == 12
        assert said(new) == before


def test_an_image_that_was_added_meanwhile_is_not_left_behind(index, url, folder):
    added = []

    def add(*_):
        added.extend([] if added else index.add([(folder / "a" / "0.png").read_bytes()]))

    with open_new(url) as new, pytest.raises(errors.UsageError, match="lose 1 image added without"):
        new.sync(folder, progress=add)
    assert index.get(added[0]) and index.successor() is None
    index.remove(added)
    with open_new(url) as new:
        assert new.sync(folder).untouched == 12, "what was embedded is still there"


def test_an_image_that_is_added_at_the_last_moment_is_refused(
    index, url, folder, monkeypatch, asked_for_lock
):
    if not url.startswith("lance:"):
        pytest.skip("a server has no lock to give")
    image = (folder / "a" / "0.png").read_bytes()
    with open_new(url) as new, futures.ThreadPoolExecutor(1) as pool:
        engine, adding = new._rows.engine, []
        real = engine.write_about

        def write_about(about):
            asked_for_lock.clear()
            adding.append(pool.submit(index.add, [image]))
            model.wait_until(lambda: asked_for_lock.is_set() or adding[0].done())
            real(about)

        monkeypatch.setattr(engine, "write_about", write_about)
        new.sync(folder)
        with pytest.raises(errors.RunError, match="another model's by now; open it anew"):
            adding[0].result()
        assert len(new) == 12


def test_nothing_goes_into_an_index_that_a_kill_left_beside_its_successor(index, url, folder):
    if not url.startswith("lance:"):
        pytest.skip("a server has no lock to give")
    image = (folder / "a" / "0.png").read_bytes()
    with open_new(url) as new:
        about = model_lib.describe(new.embedder, version=None)
        new._rows.engine.write_about(dataclasses.asdict(about))  # Then it is killed.
        for change in (lambda: index.add([image]), lambda: index.remove(index.ids())):
            for _ in range(2):
                with pytest.raises(errors.RunError, match="another model's by now"):
                    change()
        assert len(index) == 12
        assert len(new.add([image])) == 1


def test_nothing_goes_into_an_empty_index_that_has_a_successor(url, embedder, folder):
    if not url.startswith("lance:"):
        pytest.skip("a server has no lock to give")
    image = (folder / "a" / "0.png").read_bytes()
    with simsearch.Index.open(url, embedder=embedder, create=True) as old, open_new(url) as new:
        about = model_lib.describe(new.embedder, version=None)
        new._rows.engine.write_about(dataclasses.asdict(about))
        with pytest.raises(errors.RunError, match="another model's by now"):
            old.add([image])
        assert len(new.add([image])) == 1


def test_the_old_index_knows_what_took_its_place(index, url, folder):
    assert index.successor() is None
    with open_new(url) as new:
        assert index.successor() is None
        new.sync(folder)
        assert index.successor() == model_lib.describe(new.embedder, version=None)
        assert new.successor() is None


def test_what_a_kill_left_of_other_models_goes_with_the_old_index(index, url, folder):
    # A build that ended before it was complete, and tables of whatever else is kept there.
    open_new(url, fingerprint="d" * 64).close()
    engine = engines.connect(url)
    for name in ("images_about", "rows"):
        engine.open_table(name, embedding_size=4, create=True)
    with open_new(url) as new:
        assert len(tables(url)) == 3
        new.sync(folder)
        assert tables(url) == {model_lib.describe(new.embedder, version=None).table}
    assert {"about", "images_about", "rows"} < set(engine.table_names())
    engine.close()


def test_a_table_that_a_kill_left_unmade_goes_too(index, url, folder):
    if not url.startswith("lance:"):
        pytest.skip("a server makes its tables whole")
    leftover = folder.parent / "store" / f"images_{'0' * 16}.lance"
    (leftover / "data").mkdir(parents=True)
    with open_new(url) as new:
        new.sync(folder)
    assert not leftover.exists()


def test_an_index_that_is_replaced_while_its_rows_are_read(index, url, folder, monkeypatch):
    real = rows.Rows

    def slow(*arguments, **options):
        monkeypatch.undo()
        with open_new(url) as new:
            new.sync(folder)
        return real(*arguments, **options)

    monkeypatch.setattr(rows, "Rows", slow)
    with pytest.raises(errors.UsageError, match="cannot search it"):
        simsearch.Index.open(url, embedder=model.CornerEmbedder())


@pytest.mark.parametrize("unread", ["0.png", "png"], ids=["one", "all"])
def test_the_old_index_stays_while_the_disk_will_not_give_its_images(
    index, url, folder, tmp_path, monkeypatch, unread
):
    table = tmp_path / "labels.csv"
    table.write_text("path,label,price\na/0.png,cookie,3\n")
    index.sync(folder, labels_csv=table)
    real = pathlib.Path.read_bytes

    def read_bytes(path):
        if path.name.endswith(unread):
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    monkeypatch.setattr(pathlib.Path, "read_bytes", read_bytes)
    with open_new(url) as new, pytest.raises(errors.RunError, match="old one stays") as caught:
        new.sync(folder)
    assert "cannot be read: Input/output error: 'a/0.png'" in str(caught.value)
    with simsearch.Index.open(url, embedder=model.CornerEmbedder()) as old:
        assert old.count("label = 'cookie' and price = 3") == 1
    monkeypatch.undo()
    with open_new(url) as new:
        new.sync(folder)
        assert len(new) == 12 and new.count("label = 'cookie' and price = 3") == 1
