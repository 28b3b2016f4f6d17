import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from simsearch import errors
from simsearch.data.decoding import containers, images
from tests.data import bombs, scans

XMP = b"http://ns.adobe.com/xap/1.0/\0"


def decode(encoded):
    return images.decode(encoded, resize_mode="squash", resize_size=8, max_pixels=50_000_000)


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


# PIL takes seconds to minutes for each, or would for one of an upload's usual size.
BOMBS = {
    "jpeg of exif": (lambda: bombs.jpeg_of_exif(1_000_000), "more than 16 Exif segments"),
    "jpeg of empty segments": (
        lambda: bombs.jpeg(b"\xff\xef\0\2", 250_000),
        "more than 4000 segments",
    ),
    "jpeg of segments without an own length": (
        lambda: bombs.jpeg(b"\xff\xf3", 500_000),
        "more than 4000 segments",
    ),
    "plain bitmap of comments": (lambda: b"P1 5000 5000 " + b"#\n" * 500_000, "comments"),
    "plain grey of comments": (lambda: b"P2 50 50 255 1 " + b"#\n" * 500_000, "comments"),
    "plain colours of comments": (lambda: b"P3\v50 50 255 1 " + b"#\r" * 500_000, "comments"),
    "pnm of comments in its header": (
        lambda: b"P6 " + b"#\n" * 500_000 + b"1 1 255\n123",
        "header does not end within 4096 bytes",
    ),
    "pnm of spaces in its header": (
        lambda: b"P4 1" + b" " * 1_000_000 + b"1\n1",
        "header does not end within 4096 bytes",
    ),
    "gif of comments": (
        lambda: bombs.gif(b"!\xfe\1a\0" * 200_000),
        "more than 1000 extensions",
    ),
    "gif of one comment": (
        lambda: bombs.gif(b"!\xfe" + b"\1a" * 500_000 + b"\0"),
        "pieces",
    ),
    "gif of tiny pieces": (
        lambda: bombs.gif(data=b"\2D\1" + b"\1a" * 500_000 + b"\0"),
        "pieces",
    ),
    "gif of bytes that are nothing": (lambda: bombs.gif(bytes(1_000_000)), "belong to nothing"),
    "gif of comments behind an empty block": (
        lambda: bombs.gif(b"!\xf9\0\5", b"!\xfe\1a\0" * 200_000),
        "more than 1000 extensions",
    ),
    "png of empty chunks": (
        lambda: bombs.png(bombs.chunk(b"abCd") * 80_000),
        "more than 1000 chunks besides its pixels",
    ),
    "png of tiny pieces": (lambda: bombs.png_of_pieces(2), "pixels in more than"),
    "png of profiles": (
        lambda: bombs.png(bombs.chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000))) * 900),
        "more than 8 colour profiles",
    ),
    "tiff of strips": (
        lambda: bombs.tiff(
            [(257, 4, 1, 500_000), (273, 3, 500_000, 1000), (279, 3, 500_000, 1000)],
            values=struct.pack("<H", 1000) * 500_000,
        ),
        "more than 131072 numbers in its tags",
    ),
    "tiff of strips told in bytes": (
        lambda: bombs.tiff([(257, 4, 1, 900_000), (273, 1, 900_000, 1000)], values=bytes(900_000)),
        "more than 131072 numbers in its tags",
    ),
    "tiff of an endless orientation": (
        lambda: bombs.tiff([(274, 5, 140_000, 1000)], values=struct.pack("<LL", 1, 3) * 140_000),
        "more than 131072 numbers in its tags",
    ),
    "bigtiff of entries": (
        lambda: b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 50_000) + bytes(20 * 50_000),
        "more than 4096 tags",
    ),
    "tiff of a large tile around a small image": (
        lambda: bombs.tiff([(322, 4, 1, 46_000), (323, 3, 1, 4096), (324, 4, 1, 8)]),
        "its tiles have more than 16777216 pixels",
    ),
    "bigtiff of the same": (
        lambda: bombs.tiff([(322, 16, 1, 2**32), (323, 4, 1, 1), (324, 4, 1, 8)], is_big=True),
        "its tiles have more than 16777216 pixels",
    ),
    "tiff of a tile with a side of another type": (
        lambda: bombs.tiff([(322, 9, 1, 46_000), (323, 4, 1, 46_000), (324, 4, 1, 8)]),
        "no whole number",
    ),
    "jpeg of tiny blocks": (
        lambda: bombs.jpeg(
            bombs.segment(0xED, b"Photoshop 3.0\0" + (b"8BIM\0\1" + bytes(6)) * 5_000), 6
        ),
        "more than 20000 of Photoshop's blocks",
    ),
    "jpeg of fillers": (lambda: bombs.jpeg(b"\xff", 1_000_000), "262144 bytes of filling"),
    "jpeg of nothing": (
        lambda: bombs.jpeg(b"\xff\xef\0\2" + bytes(1_000_000)),
        "262144 bytes of filling",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_costs_far_more_than_its_size_is_refused_before_it_is_opened(name, monkeypatch):
    make, reason = BOMBS[name]
    encoded = make()
    assert len(encoded) < 1_300_000

    def fail(*_, **__):
        raise AssertionError("PIL was asked")

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(errors.CorruptImage, match=reason) as caught:
        decode(encoded)
    assert len(str(caught.value)) < 80


def test_the_check_itself_is_quick_however_large_the_file():
    tail = scans.progressive()[:-2] + b"\xff\xda" * 60
    large = [
        bombs.jpeg(b"\xff\xef\0\2", 5_000_000),
        bombs.jpeg(b"\xff", 20_000_000),
        tail + b"\xff" * 20_000_000,
        tail + b"\xff\2" * 10_000_000,
        bombs.gif(data=b"\1a" * 10_000_000),
        bombs.png(bombs.chunk(b"abCd") * 1_600_000),
        b"P2 9 9 9 " + b"#\n" * 10_000_000,
        bombs.png_of_pieces(2) + bytes(20_000_000),
    ]
    started = time.perf_counter()
    for encoded in large:
        containers.complaint(encoded)
    # They take half a second together on one core, and PIL three minutes.
    assert time.perf_counter() - started < 10


class Counting(io.BytesIO):
    """A file that knows how often it was read from."""

    reads = 0

    def read(self, *size):
        self.reads += 1
        return super().read(*size)


GIF_PARTS = [b"!", b",", b";", b"\xfe", b"\xff", b"\xf9", b"\0", b"\1", b"\2a", b"\x80", b"\5"]
GIF_PARTS += [b"\x0bNETSCAPE2.0", b"\3\1\0\0", b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0", b"\4abcd"]
GIF_PARTS += [b"!\xf9\4\0\0\0\0\0", b"!\xfe\2ab\0", bombs.GIF_IMAGE + b"\2D\1\0"]
JPEG_PARTS = [b"\xff", b"\xff\xe1", b"\xff\xe0", b"\xff\xd8", b"\xff\xd9", b"\xff\xd0", b"\xff\xf3"]
JPEG_PARTS += [b"\xff\xc8", b"\0", b"\2", b"\1", b"\0\2", b"\0\x0aExif\0\0ab", b"\xff\2", b"\xff\1"]
JPEG_PARTS += [b"\xff\xe1\0\x08Exif\0\0", b"\xff\xfe\0\3a", b"\xff\xdf\0\0", b"\xff\xc4\0\2"]


@pytest.mark.parametrize(
    ("head", "parts", "bomb"),
    [
        (bombs.GIF_HEAD, GIF_PARTS, b"!\xfe\1a\0" * 2_000),
        (b"\xff\xd8\xff", JPEG_PARTS, b"\xff\xe1\0\x09Exif\0\0x" * 5_000),
    ],
    ids=["gif", "jpeg"],
)
def test_nothing_hides_in_what_pil_reads_otherwise_than_the_check(head, parts, bomb):
    random = np.random.default_rng(0)
    for _ in range(300):
        chosen = random.integers(0, len(parts), random.integers(3, 60))
        encoded = head + b"".join(parts[i] for i in chosen) + bomb
        if containers.complaint(encoded):
            continue
        file = Counting(encoded)
        try:
            with Image.open(file, formats=("GIF", "JPEG")) as image:
                _ = image.format == "GIF" and image.is_animated
        except (
            OSError,
            ValueError,
            IndexError,
            Image.DecompressionBombError,
        ):  # Most are no image.
            pass
        assert file.reads < 1_000, encoded[:200]


@pytest.mark.parametrize("reserved", [b"\xff\x02", b"\xff\xbf", b"\xff\xd8\xff\x02"])
def test_no_scan_hides_behind_a_marker_that_libjpeg_steps_over(reserved):
    # Between restarts libjpeg looks for the next marker; the two bytes that follow are no length,
    # which would be 65,488.
    head = scans.progressive()[:-2] + bombs.segment(0xDD, struct.pack(">H", 9))
    scan = scans.repeated(1)[len(head) - 6 : -2]
    hidden = scan[:10] + bytes(8) + reserved + b"\xff\xd0" + scan * 60 + bytes(65_488)
    with pytest.raises(errors.CorruptImage, match="more than 50 scans"):
        decode(head + hidden + b"\xff\xd9")


def photo():
    rows, columns = np.mgrid[0:300, 0:400]
    return Image.fromarray(
        np.stack([rows % 251, columns % 241, rows * columns % 256], -1).astype("u1")
    )


def exif():
    tags = Image.Exif()
    tags[0x0112], tags[0x010F], tags[0x011A] = 1, "A camera", 72.0
    return tags


def large_png():
    return bombs.png_of_pieces(8192) + bytes(3)


def gif_with_words():
    return encode(photo(), "GIF", comment=b"words" * 4_000)


ORDINARY = {
    "progressive": lambda: encode(photo(), "JPEG", progressive=True, quality=95),
    "profile, exif and xmp": lambda: encode(
        photo(),
        "JPEG",
        exif=exif(),
        xmp=XMP + b"<x/>",
        icc_profile=bytes(500_000),
        comment=b"Hello",
    ),
    "255 segments of a profile": lambda: bombs.jpeg(
        b"".join(bombs.segment(0xE2, b"ICC_PROFILE\0" + bytes([i, 255])) for i in range(1, 256))
    ),
    "film in xmp": lambda: bombs.jpeg(bombs.segment(0xE1, XMP + bytes(60_000)), 300),
    "fillers of a camera": lambda: bombs.jpeg(b"\xff" * 32_768),
    "restarts": lambda: encode(photo(), "JPEG", restart_marker_blocks=1),
    "many pieces of pixels": lambda: bombs.png_of_pieces(8192),
    "a piece a row": lambda: bombs.png_of_pieces(401),
    "texts and a profile": lambda: bombs.png(
        *(bombs.chunk(b"tEXt", b"word\0many more") for _ in range(300)),
        bombs.chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(bytes(3000))),
    ),
    "large profile and text": lambda: bombs.png(
        bombs.chunk(b"iCCP", b"printer\0\0" + zlib.compress(bytes(3_000_000))),
        bombs.chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(3_000_000))),
    ),
    "blocks of an editor": lambda: bombs.jpeg(
        bombs.segment(0xED, b"Photoshop 3.0\0" + (b"8BIM\4\4" + bytes(6)) * 60)
    ),
    "tiles": lambda: bombs.tiles(128, 256),
    "gif with words": gif_with_words,
    "gif with loops": lambda: encode(photo(), "GIF", loop=0, duration=10),
    "tiff of a strip a row": lambda: encode(photo(), "TIFF", tiffinfo={278: 1}),
    "tiff with exif": lambda: encode(photo(), "TIFF", exif=exif()),
    "packed tiff": lambda: encode(photo(), "TIFF", compression="tiff_lzw"),
    "webp with metadata": lambda: encode(photo(), "WEBP", exif=exif(), icc_profile=bytes(4_000)),
    "P5 with a comment": lambda: b"P5\n# CREATOR: GIMP\n100 60\n# of two\n255\n" + b"#" * 6_000,
    "P6 with a comment": lambda: b"P6 # " + b"long " * 200 + b"\n50 40\n255\n" + b"#\n#" * 2_000,
    "P2 with comments": lambda: b"P2\n# a\n100 60\n255\n" + b"# a row\n12 13\n" * 3_000,
    "P1 without spaces": lambda: b"P1\n100 60\n" + b"01" * 3_000,
    "12 bits of grey": lambda: b"P5 100 60 4095\n" + b"\1\2" * 6_000,
    "bmp of runs": lambda: bombs.bmp_of_runs(200, 60, b"\xc8\7\0\0" * 60 + b"\0\1"),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_files_are_read(name):
    assert decode(ORDINARY[name]()).shape == (8, 8, 3)


def test_what_python_decodes_pixel_by_pixel_may_not_be_large():
    # 60 bytes of runs fill the rest of a row, however long it is.
    for encoded in (
        bombs.bmp_of_runs(49_000_000, 1, b"\1\0\0\0\0\1"),
        b"P2 3000 3000 255\n" + b"1 " * 9,
        b"P5 3000 3000 254\n" + b"1" * 9,
        b"P6 2000 1200 254\n" + b"1" * 9,
    ):
        with pytest.raises(errors.CorruptImage, match="too many for its way of storing"):
            decode(encoded)
    assert decode(b"P5 3000 3000 255\n" + bytes(9_000_000)).shape == (8, 8, 3)


def test_endless_metadata_is_not_looked_at_for_an_orientation():
    rotated = encode(photo(), "PNG", exif=exif())
    assert decode(rotated).shape == (8, 8, 3)
    endless = bombs.tiff([(274, 5, 300_000, 1000)], values=struct.pack("<LL", 6, 1) * 300_000)
    image = Image.open(io.BytesIO(bombs.png(bombs.chunk(b"eXIf", endless))))
    image.getexif = lambda: pytest.fail("it was looked at")
    assert images.upright(image).size == (8, 8)


def test_what_is_no_image_is_not_noticed():
    for encoded in (
        b"",
        b"P",
        b"Please " * 1_000,
        b"P5",
        b"GIF8",
        b"MM\0*",
        b"II+\0",
        b"BM",
        b"RIFF",
    ):
        assert containers.complaint(encoded) == ""
    for head in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"MM\0*", b"P6 "):
        for size in range(20):
            assert containers.complaint(head + b"\xff" * size) == ""
