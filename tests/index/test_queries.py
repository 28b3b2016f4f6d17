import io
import pathlib

import numpy as np
import pytest
from PIL import Image

import simsearch
from simsearch import errors
from simsearch.index import queries
from tests.index.conftest import write_image


@pytest.fixture
def photo(tmp_path):
    write_image(tmp_path / "photo.png", 7)
    return tmp_path / "photo.png"


def found(index, query, **options):
    return [(hit.id, round(hit.score, 5)) for hit in index.search(query, **options).hits]


def test_a_query_may_be_whatever_holds_an_image(index, photo):
    encoded, pixels = photo.read_bytes(), np.asarray(Image.open(photo))
    expected = found(index, photo)
    for query in (
        bytearray(encoded),
        memoryview(encoded),
        io.BytesIO(encoded),
        Image.open(photo),
        Image.fromarray(pixels).convert("RGBA"),
        pixels,
        np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]),
        [io.BytesIO(encoded)],
        (path for path in [photo]),
        np.array([str(photo)]),
        pixels[None],
    ):
        assert found(index, query) == expected
    with open(photo, "rb") as file:
        assert found(index, file, top_k=np.int64(3)) == expected[:3]
    (id_,) = index.add(io.BytesIO(encoded))
    assert index.add([bytearray(encoded)]) == [id_]
    np.testing.assert_array_equal(index.embed_queries([pixels, photo])[0], index.vector(id_))


def test_a_pil_image_is_taken_as_a_viewer_shows_it(index, photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(photo).save(tmp_path / "turned.png", exif=exif)
    (turned,) = index.embed_queries(tmp_path / "turned.png")
    (opened,) = index.embed_queries(Image.open(tmp_path / "turned.png"))
    # A file is resized before it is turned.
    assert opened @ turned > 0.999 > index.embed_queries(photo)[0] @ turned
    grey = Image.open(photo).convert("L")
    grey.save(tmp_path / "grey.png")
    assert found(index, np.asarray(grey)) == found(index, tmp_path / "grey.png")
    assert found(index, grey) == found(index, tmp_path / "grey.png")


def test_what_holds_no_image_is_told_in_one_line(photo):
    for query, came in (
        (None, "NoneType"),
        ([photo, 3], "int"),
        (io.StringIO("x"), "StringIO"),
        ([io.StringIO("x")], "StringIO"),
        (np.zeros((4, 4, 3), np.float32), r"an array of float32 \[4, 4, 3\]"),
        ([np.zeros((4, 4, 2), np.uint8)], r"an array of uint8 \[4, 4, 2\]"),
    ):
        with pytest.raises(errors.UsageError, match=f"must be a path, bytes.*this is {came}") as e:
            queries.as_list(query)
        assert "\n" not in str(e.value)


def test_a_file_that_is_no_image_is_named(index, photo, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"text")
    for act in (
        lambda: index.search(bad),
        lambda: index.search([photo, bad]),
        lambda: index.search(bad, crop=(0, 0, 1, 1)),
        lambda: index.add([photo, bad]),
        lambda: index.embed_queries(bad),
    ):
        with pytest.raises(simsearch.CorruptImage, match=rf"^{bad}: not an image but text"):
            act()
    # What has no name is told by its place, where there are several.
    with pytest.raises(simsearch.CorruptImage, match="^not an image but text"):
        index.search(b"text")
    with pytest.raises(simsearch.CorruptImage, match="^image 2 of 2: not an image but text"):
        index.search([photo, b"text"])


def test_labels_and_paths_may_come_from_other_libraries(index, photo):
    index.add(photo, labels=np.array(["x"]), paths=[pathlib.Path("far") / "away.png"])
    assert index.count("label = 'x' and path = 'far/away.png'") == 1
