import io
import math

import numpy as np
import pytest
from PIL import Image

from simsearch.data.decoding import images, smaller_images

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8)
ENCODED = images.encode_png(PIXELS)


def region(*box):
    with Image.open(io.BytesIO(smaller_images.crop(ENCODED, box, max_pixels=10**6))) as image:
        return np.asarray(image)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 1, 1), PIXELS),
        ((0.25, 0.5, 0.5, 0.5), PIXELS[10:, 10:30]),
        ((10, 5, 20, 10), PIXELS[5:15, 10:30]),
        ((-5, -5, 10, 10), PIXELS[:5, :5]),
        ((30, 15, 1e308, 1e308), PIXELS[15:, 30:]),
        ((-1e308, 0, 1.7e308, 1), PIXELS[:1]),
    ],
)
def test_a_region_is_cut_off_at_the_edges(box, expected):
    np.testing.assert_array_equal(region(*box), expected)


@pytest.mark.parametrize("strange", [math.nan, math.inf, -math.inf])
def test_a_region_that_is_no_number_holds_no_pixel(strange):
    for place in range(4):
        box = [0.0, 0.0, 1.0, 1.0]
        box[place] = strange
        with pytest.raises(smaller_images.EmptyRegion, match="holds no pixel of the image"):
            region(*box)


def test_a_region_beyond_every_edge_holds_no_pixel():
    for box in ((40, 0, 5, 5), (1e308, 0, 1e308, 5), (0, 0, 0, 5), (0, -9, 5, 5)):
        with pytest.raises(smaller_images.EmptyRegion):
            region(*box)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned():
    tags = Image.Exif()
    tags[0x0112] = 6
    return saved(Image.fromarray(PIXELS), "JPEG", exif=tags)


@pytest.mark.parametrize(
    "encoded",
    [
        saved(Image.fromarray(np.dstack([PIXELS, PIXELS[..., :1]])), "PNG"),
        saved(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257), "PNG"),
        saved(Image.fromarray(PIXELS).convert("CMYK"), "JPEG"),
        saved(Image.fromarray(PIXELS).quantize(8), "GIF"),
        turned(),
    ],
    ids=["alpha", "16 bits", "cmyk", "palette", "turned"],
)
def test_a_region_has_the_pixels_that_a_viewer_shows(encoded):
    whole = images.opened(encoded, 10**6, images.upright)
    box = (3, 2, 13, 11)  # Rows of no whole four bytes.
    cut = smaller_images.crop(encoded, box, max_pixels=10**6)
    seen = images.opened(cut, 10**6, images.upright)
    np.testing.assert_array_equal(seen, np.asarray(whole)[2:13, 3:16])


def test_a_region_is_not_compressed_only_to_be_read_again():
    plain = images.encode_png(np.zeros((50, 60, 3), np.uint8))
    assert len(smaller_images.crop(plain, (0, 0, 1, 1), max_pixels=10**6)) >= 50 * 60 * 3


@pytest.mark.parametrize(("longest", "expected"), [(20, (20, 10)), (40, (40, 20)), (90, (40, 20))])
def test_a_thumbnail_keeps_the_shape_and_is_never_enlarged(longest, expected):
    with Image.open(
        io.BytesIO(smaller_images.thumbnail(ENCODED, longest=longest, max_pixels=1000))
    ) as small:
        assert (small.format, small.size) == ("JPEG", expected)


def test_a_thumbnail_that_is_too_large_is_made_of_less_quality():
    whole = len(smaller_images.thumbnail(ENCODED, longest=40, max_pixels=1000))
    small = smaller_images.thumbnail(ENCODED, longest=40, max_pixels=1000, max_bytes=whole - 1)
    assert len(small) < whole
    least = smaller_images.thumbnail(ENCODED, longest=40, max_pixels=1000, max_bytes=1)
    assert len(least) < len(small)


def test_what_is_shown_of_an_image_that_cannot_be_read_is_grey():
    def fails(error):
        raise error

    assert smaller_images.display(lambda: ENCODED, max_pixels=10**6).shape == (160, 320, 3)
    for read in (
        lambda: b"no image",
        lambda: fails(images.UnreadFile("gone")),
        lambda: fails(OSError("gone")),
    ):
        shown = smaller_images.display(read, max_pixels=10**6)
        assert shown.shape == (160, 160, 3) and shown.dtype == np.uint8 and np.ptp(shown) == 0
