"""Small image files that keep a decoder busy for long: PIL would read each piece by itself."""

import io
import struct
import zlib

from PIL import Image


def _plain(kind):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(buffer, kind)
    return buffer.getvalue()


def jpeg(segment, times=1):
    """Returns a JPEG with some bytes again and again in front of its own segments."""
    whole = _plain("JPEG")
    return whole[:2] + segment * times + whole[2:]


def segment(kind, content):
    """Returns a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, kind, 2 + len(content)) + content


def jpeg_of_exif(size):
    """Returns one whose Exif PIL would put together from pieces, copying all of it each time."""
    large, small = (segment(0xE1, b"Exif\0\0" + bytes(length)) for length in (65_000, 1))
    return jpeg(large * (size // 2 // len(large)) + small * (size // 2 // len(small)))


def chunk(kind, content=b""):
    """Returns a chunk of a PNG."""
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def png(*chunks):
    """Returns a PNG with chunks in front of its pixels."""
    whole = _plain("PNG")
    return whole[:33] + b"".join(chunks) + whole[33:]


def png_of_pieces(data_size):
    """Returns a PNG with its pixels in pieces of so many bytes."""
    side = 400
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(side)) * side, 0)
    pieces = [rows[i : i + data_size] for i in range(0, len(rows), data_size)]
    chunks = [chunk(b"IHDR", header), *(chunk(b"IDAT", piece) for piece in pieces), chunk(b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


GIF_HEAD = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
GIF_IMAGE = b",\0\0\0\0\1\0\1\0\0\2"  # Its data follow, in blocks.


def gif(*blocks, data=b"\2D\1\0"):
    """Returns a GIF of one pixel with blocks in front of it."""
    return GIF_HEAD + b"".join(blocks) + GIF_IMAGE + data + b";"


def tiff(tags, *, values=b"", is_big=False):
    """Returns a TIFF of one pixel a row.

    Args:
        tags: Of (tag, type, count, value or offset); they replace the usual ones.
        values: Bytes from offset 1000 on.
        is_big: Whether it is a BigTIFF.
    """
    usual = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    usual += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 1)]
    entries = sorted(({tag[0]: tag for tag in usual} | {tag[0]: tag for tag in tags}).values())
    if is_big:
        head = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, len(entries))
        body = b"".join(struct.pack("<HHQQ", *entry) for entry in entries) + bytes(8)
    else:
        head = b"II*\0" + struct.pack("<LH", 8, len(entries))
        body = b"".join(struct.pack("<HHLL", *entry) for entry in entries) + bytes(4)
    return (head + body).ljust(1000, b"\0") + values


def tiles(width, height):
    """Returns a TIFF of 100 grey pixels a side in one tile of another size, as it is stored."""
    tags = [(256, 4, 1, 100), (257, 4, 1, 100), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(277, 3, 1, 1), (322, 3, 1, width), (323, 3, 1, height), (324, 4, 1, 1000)]
    tags += [(325, 4, 1, width * height)]
    head = b"II*\0" + struct.pack("<LH", 8, len(tags))
    body = b"".join(struct.pack("<HHLL", *tag) for tag in tags) + bytes(4)
    return (head + body).ljust(1000, b"\0") + b"\x80" * width * height


def bmp_of_runs(width, height, data):
    """Returns a BMP whose pixels are runs."""
    head = struct.pack("<IiiHHIIIIII", 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
    start = 14 + len(head) + 1024
    palette = bytes(range(200, 0, -1)) + bytes(824)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + palette + data
