import io
import struct
import warnings
import zlib
from concurrent import futures

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from simsearch import errors
from simsearch.data.decoding import formats, images
from tests.data import bombs, scans

RED, GREEN, BLUE, GREY = (200, 30, 30), (30, 200, 30), (30, 30, 200), (120, 120, 120)
QUADRANTS = (RED, GREEN, BLUE, GREY)  # top left, top right, bottom left, bottom right
MAX_PIXELS = 1_000_000


def quadrants(width=64, height=48, colours=QUADRANTS):
    array = np.empty((height, width, 3), np.uint8)
    for i, colour in enumerate(colours):
        rows = slice(0, height // 2) if i < 2 else slice(height // 2, None)
        columns = slice(0, width // 2) if i % 2 == 0 else slice(width // 2, None)
        array[rows, columns] = colour
    return array


def encode(image, kind, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decode(encoded, *, mode="squash", size=32, max_pixels=MAX_PIXELS):
    return images.decode(encoded, resize_mode=mode, resize_size=size, max_pixels=max_pixels)


def noise():
    return np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_an_image_is_resized_in_the_way_that_is_asked_for(kind):
    expected = Image.fromarray(noise()).resize((32, 32), Image.Resampling[kind.upper()])
    options = {"resize_size": 32, "max_pixels": MAX_PIXELS, "interpolation": kind}
    encoded = images.encode_png(noise())
    found = images.decode(encoded, resize_mode="squash", **options)
    np.testing.assert_array_equal(found, expected)
    found = images.load_for_eval(encoded, resize_mode="squash", image_size=32, **options)
    np.testing.assert_array_equal(found, expected)


def corners(image):
    height, width = image.shape[:2]
    return [
        image[row, column]
        for row in (height // 4, 3 * height // 4)
        for column in (width // 4, 3 * width // 4)
    ]


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def with_alpha():
    """Returns the quadrants, the right half wholly transparent over black."""
    rgba = np.dstack([quadrants(), np.full((48, 64), 255, np.uint8)])
    rgba[:, 32:] = 0
    return rgba


def sixteen_bits():
    grey = np.zeros((48, 64), np.uint16)
    grey[:24, :32], grey[:24, 32:], grey[24:, :32], grey[24:, 32:] = 257 * 200, 300, 65535, 128
    return grey


def animation(kind):
    other = Image.fromarray(quadrants(colours=(BLUE, BLUE, RED, RED)))
    options = {"lossless": True} if kind == "WEBP" else {}
    first = Image.fromarray(quadrants())
    return encode(first, kind, save_all=True, append_images=[other], duration=50, **options)


def palette():
    return Image.fromarray(quadrants()).quantize(8)


def palette_with_transparency():
    image = palette()
    index = image.getpixel((0, 0))
    return encode(image, "PNG", transparency=index)


def png_header(width, height):
    def chunk(kind, content):
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + data + chunk(b"IEND", b"")


WHITE = (255, 255, 255)
BLACK_WHITE = [(0, 0, 0), WHITE] * 2
GREYSCALE = [(200,) * 3, (10,) * 3, (90,) * 3, (250,) * 3]
READ_RIGHT = {
    "jpeg": (lambda: encode(quadrants(), "JPEG", quality=95), QUADRANTS),
    "progressive jpeg": (lambda: encode(quadrants(), "JPEG", progressive=True), QUADRANTS),
    "cmyk jpeg": (
        lambda: encode(Image.fromarray(quadrants()).convert("CMYK"), "JPEG", quality=95),
        QUADRANTS,
    ),
    "greyscale jpeg": (
        lambda: encode(Image.fromarray(quadrants(colours=GREYSCALE)).convert("L"), "JPEG"),
        GREYSCALE,
    ),
    "png": (lambda: encode(quadrants(), "PNG"), QUADRANTS),
    "palette png": (lambda: encode(palette(), "PNG"), QUADRANTS),
    "palette png, red is transparent": (palette_with_transparency, (WHITE, GREEN, BLUE, GREY)),
    "1-bit png": (
        lambda: encode(Image.fromarray(quadrants(colours=BLACK_WHITE)).convert("1"), "PNG"),
        BLACK_WHITE,
    ),
    "16-bit png": (
        lambda: encode(sixteen_bits(), "PNG"),
        [(200,) * 3, (1,) * 3, (255,) * 3, (0,) * 3],
    ),
    "16-bit tiff": (
        lambda: encode(sixteen_bits(), "TIFF"),
        [(200,) * 3, (1,) * 3, (255,) * 3, (0,) * 3],
    ),
    "16-bit pgm": (
        lambda: b"P5 64 48 65535\n" + sixteen_bits().astype(">u2").tobytes(),
        [(200,) * 3, (1,) * 3, (255,) * 3, (0,) * 3],
    ),
    "alpha png": (lambda: encode(with_alpha(), "PNG"), (RED, WHITE, BLUE, WHITE)),
    "alpha webp": (lambda: encode(with_alpha(), "WEBP", lossless=True), (RED, WHITE, BLUE, WHITE)),
    "grey and alpha png": (
        lambda: encode(Image.fromarray(with_alpha()).convert("LA"), "PNG"),
        [(81,) * 3, WHITE, (49,) * 3, WHITE],
    ),
    "webp": (lambda: encode(quadrants(), "WEBP", quality=95), QUADRANTS),
    "bmp": (lambda: encode(quadrants(), "BMP"), QUADRANTS),
    "gif": (lambda: encode(quadrants(), "GIF"), QUADRANTS),
    "tiff": (lambda: encode(quadrants(), "TIFF"), QUADRANTS),
    "animated gif": (lambda: animation("GIF"), QUADRANTS),
    "animated webp": (lambda: animation("WEBP"), QUADRANTS),
    "animated png": (lambda: animation("PNG"), QUADRANTS),
    "jpeg on its side": (
        lambda: encode(quadrants(), "JPEG", quality=95, exif=exif(6)),
        (BLUE, RED, GREY, GREEN),
    ),
    "png upside down": (
        lambda: encode(quadrants(), "PNG", exif=exif(3)),
        (GREY, BLUE, GREEN, RED),
    ),
    "webp mirrored": (
        lambda: encode(quadrants(), "WEBP", quality=95, exif=exif(2)),
        (GREEN, RED, GREY, BLUE),
    ),
    "tiff on its side": (
        lambda: encode(quadrants(), "TIFF", exif=exif(8)),
        (GREEN, GREY, RED, BLUE),
    ),
    "jpeg with damaged exif": (
        lambda: encode(quadrants(), "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
        QUADRANTS,
    ),
}
LOSSLESS = ("png", "bmp", "gif", "tiff", "16-bit", "pgm")
CORRUPT = {
    "empty": (b"", "empty"),
    "zero bytes": (b"\0" * 4096, "not an image"),
    "text": (b"<html>not found</html>", "text: '<html>not found</htm'"),
    "truncated jpeg": (encode(noise(), "JPEG")[:-200], "truncated"),
    "half a jpeg": (encode(noise(), "JPEG")[:5000], "truncated"),
    "half a png": (encode(quadrants(), "PNG")[:100], "truncated"),
    "half a webp": (encode(quadrants(), "WEBP")[:60], "."),
    "half a gif": (encode(quadrants(), "GIF")[:-60], "truncated"),
    "jpeg header alone": (b"\xff\xd8\xff\xe0", "jpg"),
    "random bytes": (np.random.default_rng(0).bytes(2000), "not an image"),
    "png whose header says 30,000 x 30,000": (png_header(30_000, 30_000), "pixels"),
    "png whose header says 5,000 x 5,000": (png_header(5_000, 5_000), "5000 x 5000 pixels"),
    "32-bit float tiff": (encode(np.ones((4, 4), np.float32), "TIFF"), "32 bits"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "text"),
}


@pytest.mark.parametrize("name", READ_RIGHT)
def test_odd_images_are_read_right(name):
    make, expected = READ_RIGHT[name]
    decoded = decode(make())
    assert decoded.shape == (32, 32, 3) and decoded.dtype == np.uint8
    # JPEG and WebP change colours a little; 1 of 255 is PIL's rounding of 16 bits and alpha.
    atol = 1 if any(kind in name for kind in LOSSLESS) else 8
    np.testing.assert_allclose(corners(decoded), expected, atol=atol)


@pytest.mark.parametrize("name", CORRUPT)
def test_what_is_no_image_is_refused_with_a_short_reason(name):
    encoded, reason = CORRUPT[name]
    with pytest.raises(errors.CorruptImage, match=reason) as caught:
        decode(encoded)
    message = str(caught.value)
    assert len(message) <= 120 and "\n" not in message and "BytesIO" not in message


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_damaged_bytes_give_an_image_or_a_corrupt_image(kind):
    random = np.random.default_rng(0)
    whole = np.frombuffer(encode(quadrants(), kind), np.uint8)
    for _ in range(40):
        damaged = whole[: random.integers(1, len(whole) + 1)].copy()
        places = random.integers(0, len(damaged), size=5)
        damaged[places] = random.integers(0, 256, size=5)
        try:
            assert decode(damaged.tobytes()).shape == (32, 32, 3)
        except errors.CorruptImage as error:
            assert str(error)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((64, 48), (32, 43)), ((48, 64), (43, 32)), ((1, 1), (32, 32)), ((3000, 1), (32, 128))],
)
def test_short_side_keeps_the_aspect_ratio_up_to_a_limit(size, expected):
    decoded = decode(encode(quadrants(*size), "PNG"), mode="short_side")
    assert decoded.shape == (*expected, 3)


def test_short_side_counts_after_the_orientation_is_applied():
    encoded = encode(quadrants(), "JPEG", exif=exif(6))
    assert decode(encoded, mode="short_side").shape == (43, 32, 3)
    assert decode(encode(quadrants(), "TIFF", exif=exif(6)), mode="short_side").shape == (43, 32, 3)


def test_a_very_long_image_keeps_its_middle():
    strip = np.zeros((4, 400, 3), np.uint8)
    strip[:, 190:210] = 255
    assert decode(encode(strip, "PNG"), mode="short_side").min() == 255


def test_a_large_photo_is_shrunk_while_decoding_without_a_visible_change():
    rows, columns = np.mgrid[0:900, 0:1300]
    waves = np.stack([np.sin(rows / 40), np.cos(columns / 60), np.sin(columns / 90)], axis=-1)
    photo = Image.fromarray((127 + 120 * waves).astype(np.uint8))
    encoded = encode(photo, "JPEG", quality=95)
    exact = Image.open(io.BytesIO(encoded)).resize((64, 64), Image.Resampling.BILINEAR)
    decoded = decode(encoded, size=64, max_pixels=2_000_000)
    difference = np.abs(decoded.astype(int) - np.asarray(exact))
    assert difference.mean() < 1.5 and difference.max() < 16


def test_pil_warnings_do_not_reach_the_user_from_any_thread(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # 64 x 48 lies between once and twice.
    encoded = encode(quadrants(), "PNG")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(decode, [encoded] * 40))
    assert not caught


def test_center_crop_takes_the_middle_and_enlarges_small_images():
    image = np.arange(10 * 8 * 3, dtype=np.uint8).reshape(10, 8, 3)
    np.testing.assert_array_equal(images.center_crop(image, 4), image[3:7, 2:6])
    assert images.center_crop(image, 8).shape == (8, 8, 3)
    assert images.center_crop(image, 20).shape == (20, 20, 3)


@pytest.mark.parametrize("mode", ["squash", "short_side"])
def test_load_for_eval_is_the_middle_of_the_resized_image(mode):
    encoded = encode(quadrants(), "PNG")
    whole = decode(encoded, mode=mode, size=40)
    seen = images.load_for_eval(
        encoded, resize_mode=mode, resize_size=40, image_size=32, max_pixels=MAX_PIXELS
    )
    np.testing.assert_array_equal(seen, images.center_crop(whole, 32))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_both_views_lie_one_after_the_other_in_the_channels(kind):
    options = {"resize_size": 40, "image_size": 32, "max_pixels": MAX_PIXELS}
    # A JPEG of this size is decoded as a smaller draft.
    blocks = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    encoded = encode(blocks.repeat(100, axis=0).repeat(100, axis=1), kind)
    both = images.load_for_eval(encoded, resize_mode="both", **options)
    squashed, middle = (
        images.load_for_eval(encoded, resize_mode=mode, **options)
        for mode in ("squash", "short_side")
    )
    np.testing.assert_array_equal(both[..., :3], squashed)
    np.testing.assert_array_equal(both[..., 3:], middle)
    assert not np.array_equal(squashed, middle)
    for mode, image in {"both": both, "squash": squashed, "short_side": middle}.items():
        assert images.eval_shape(mode, 32) == image.shape


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3)])
def test_encode_png_keeps_every_pixel(shape):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    back = np.asarray(Image.open(io.BytesIO(images.encode_png(array))))
    np.testing.assert_array_equal(back, array.reshape(back.shape))


@pytest.mark.parametrize(
    ("kind", "extension"),
    [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("GIF", "gif"), ("BMP", "bmp")]
    + [("TIFF", "tif"), ("PPM", "ppm")],
)
def test_sniff_tells_the_extension_from_the_content(kind, extension):
    assert formats.sniff(encode(quadrants(), kind)) == extension


@pytest.mark.parametrize("number", range(1, 7))
def test_sniff_knows_every_pnm(number):
    assert formats.sniff(b"P%d\n2 1\n" % number) == "ppm"
    assert formats.sniff(b"P%dpe dreams" % number) == ""


@pytest.mark.parametrize(
    ("encoded", "extension"),
    [
        (b"P3\n2 1\n255\n200 30 30  200 30 30\n", "ppm"),
        (b"P1\n2 1\n1 1\n", "ppm"),
        (encode(quadrants(), "TIFF", big_tiff=True), "tif"),
    ],
)
def test_what_sniff_knows_is_decoded(encoded, extension):
    assert formats.sniff(encoded) == extension
    assert decode(encoded).shape == (32, 32, 3)


def test_a_photo_of_endless_scans_is_refused():
    assert decode(scans.progressive()).shape == (32, 32, 3)
    assert decode(scans.repeated(30)).shape == (32, 32, 3)
    with pytest.raises(errors.CorruptImage, match="more than 50 scans"):
        decode(scans.repeated(51))


@pytest.mark.parametrize("between", [b"\xff\x01", b"\xff\xff", b"\0", b"\xff\xd0"])
def test_no_scan_hides_behind_bytes_that_have_no_length(between):
    with pytest.raises(errors.CorruptImage, match="more than 50 scans"):
        decode(scans.repeated(60, between=between))


def test_a_run_of_fillers_is_gone_through_once():
    fillers = b"\xff" * 300_000 + b"\0" + b"\xff\xda" * 60
    # By the square of its length it would be half an hour.
    with pytest.raises(errors.CorruptImage):
        decode(scans.progressive()[:-2] + fillers)


def test_what_a_phone_appends_to_a_photo_are_no_scans():
    film = bytes([0xFF, 0xDA, 0, 2]) * 200
    assert decode(scans.progressive() + film).shape == (32, 32, 3)


def test_an_image_that_pil_has_opened_is_read_as_one_of_our_own(monkeypatch):
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 2**20)  # PIL's own, before any image.
    text = bombs.chunk(b"zTXt", b"word\0\0" + zlib.compress(bytes(2**21)))
    png = encode(quadrants(), "PNG")
    late = io.BytesIO(png[:-12] + text + png[-12:])
    assert images.upright(Image.open(late)).size == (64, 48)
    cut_off = Image.open(io.BytesIO(encode(quadrants(), "JPEG")[:-20]))
    with pytest.raises(errors.CorruptImage, match="truncated"):
        images.upright(cut_off)


def test_sniff_of_something_else_is_empty():
    assert formats.sniff(b"hello") == formats.sniff(b"") == ""


def test_a_small_image_keeps_its_shape_where_it_is_enlarged():
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, [0, -1]] = 255  # Outside of the middle square.
    assert not images.center_crop(image, 8).any()
    assert not images.center_crop(image.swapaxes(0, 1), 8).any()


def test_numbers_that_are_written_out_may_be_an_eighth_of_the_pixels():
    encoded = b"P3\n20 20\n255\n" + b"1 2 3 " * 400
    assert decode(encoded, max_pixels=8 * 1200).shape == (32, 32, 3)
    with pytest.raises(errors.CorruptImage, match="too many for its way of storing them"):
        decode(encoded, max_pixels=8 * 1199)
