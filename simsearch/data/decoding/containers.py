"""What an image file has too much of, told before a decoder sees it.

PIL reads containers piece by piece in Python, and some by the square of their pieces: without this
a megabyte keeps it busy for a minute. Each check takes a bounded number of steps, and its bounds
are beyond what cameras and editors write. Each goes through a file as PIL does, not as the format's
text says, since a stranger would make use of the difference.
"""

from __future__ import annotations

import math
import re

from simsearch.data.decoding import jpeg_markers

# Of a PNG: besides pixels (text, profiles, an editor's own), and colour profiles, which are packed.
MOST_CHUNKS = 1000
MOST_PROFILES = 8
# Pieces of pixels in a PNG or a GIF: so many, and one more for so many bytes of the file. PNGs come
# in pieces of 8 KiB or of a row, GIFs in pieces of 255 bytes.
_MOST_PIECES = 10_000
_PNG_PIECE, _GIF_PIECE = 1024, 64
# Of a GIF: blocks besides pixels, and bytes that belong to nothing, which PIL reads one by one.
MOST_EXTENSIONS = 1000
MOST_STRAY_BYTES = 2**16
# Of a PNM: bytes up to its pixels, and comments between numbers that are written out.
MOST_HEADER_BYTES = 4096
MOST_COMMENTS = 4000
# Of a TIFF: entries of its directory, and numbers in them; a strip of pixels takes two.
MOST_TAGS = 4096
MOST_VALUES = 2**17
# Pixels of a tile, which is decoded whole however small the image is; writers have 128 to 1,024
# squared.
MOST_TILE_PIXELS = 2**24

_PIXELS, _END = (b"IDAT", b"fdAT", b"fcTL"), b"IEND"
_CHUNK_NAME = re.compile(rb"\w{4}")
_GIF_BLOCK = re.compile(rb"[!,;]")
_COMMENT, _APPLICATION = 0xFE, 0xFF
_PNM_KIND = re.compile(rb"P[0-6fy]\w{0,4}\s")
_PNM_NUMBER = rb"(?:\s|#[^\r\n]*[\r\n])+[^\s#]+"
_PNM_HEADER = {count: re.compile(rb"P\w+" + count * _PNM_NUMBER + rb"\s") for count in (2, 3)}
# Types of TIFF whose values become Python objects one by one, and the tags whose always do.
_NUMBER_TYPES = (3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 16)
_OFFSET_TAGS = (273, 324)
# The sides of a tile, and the bytes of the types that they may have.
_TILE_TAGS = (322, 323)
_SIDE_BYTES = {3: 2, 4: 4, 16: 8}


def complaint(encoded: bytes) -> str:
    """Returns what an image file has too much of to be opened, "" where there is nothing.

    What is no image at all is not noticed.
    """
    for magic, check in _CHECKS.items():
        if encoded.startswith(magic):
            return check(encoded)
    return ""


def _png(encoded: bytes) -> str:
    most_pieces = _MOST_PIECES + len(encoded) // _PNG_PIECE
    pieces = others = profiles = 0
    place = 8
    while (name := _CHUNK_NAME.match(encoded, place + 4)) and name[0] != _END:
        if name[0] in _PIXELS:
            pieces += 1
        else:
            others += 1
            profiles += name[0] == b"iCCP"
        if pieces > most_pieces:
            return f"it has its pixels in more than {most_pieces} pieces"
        if others > MOST_CHUNKS:
            return f"it has more than {MOST_CHUNKS} chunks besides its pixels"
        if profiles > MOST_PROFILES:
            return f"it has more than {MOST_PROFILES} colour profiles"
        place += 12 + int.from_bytes(encoded[place : place + 4])
    return ""


def _gif(encoded: bytes) -> str:
    """Goes up to the second image, where PIL stops to say whether it moves."""
    extensions = images = stray = 0
    left = most_pieces = _MOST_PIECES + len(encoded) // _GIF_PIECE
    place = 13 + _palette_bytes(encoded, 10)
    while left >= 0:
        found = _GIF_BLOCK.search(encoded, place, place + MOST_STRAY_BYTES - stray)
        stray += (found.start() if found else len(encoded)) - place
        if stray >= MOST_STRAY_BYTES:
            return f"it has {MOST_STRAY_BYTES} bytes that belong to nothing"
        if found is None or found[0] == b";":
            return ""
        place = found.end()
        if found[0] == b"!":
            extensions += 1
            place += 1
            for _ in range(_blocks_that_may_be_empty(encoded, place, is_first=images == 0)):
                place += 1 + _byte(encoded, place)
                left -= 1
        else:
            images += 1
            place += 10 + _palette_bytes(encoded, place + 8)
        if images == 2:
            return ""
        if extensions > MOST_EXTENSIONS:
            return f"it has more than {MOST_EXTENSIONS} extensions"
        while left >= 0 and (length := _byte(encoded, place)):
            place += 1 + length
            left -= 1
        place += 1
    return f"it is in more than {most_pieces} pieces"


def _blocks_that_may_be_empty(encoded: bytes, place: int, *, is_first: bool) -> int:
    """Returns how many blocks of an extension PIL reads before it looks for an empty one.

    Args:
        encoded: Content of a GIF.
        place: Where the extension's first block begins.
        is_first: Whether it stands in front of the first image.
    """
    label = _byte(encoded, place - 1)
    if label == _COMMENT:
        return 0
    loops = is_first and label == _APPLICATION and encoded.startswith(b"NETSCAPE2.0", place + 1)
    return 2 if loops and _byte(encoded, place) >= 11 else 1


def _palette_bytes(encoded: bytes, place: int) -> int:
    """Returns the size of the palette that a GIF's flags at a place announce."""
    flags = _byte(encoded, place)
    return 3 << (flags & 7) + 1 if flags & 128 else 0


def _byte(encoded: bytes, place: int) -> int:
    """Returns a byte, 0 behind the end."""
    return encoded[place] if place < len(encoded) else 0


def _pnm(encoded: bytes) -> str:
    if len(encoded) <= MOST_HEADER_BYTES or not _PNM_KIND.match(encoded):
        return ""
    header = _PNM_HEADER[2 if encoded[1:2] in b"14" else 3]
    if not header.match(encoded, 0, MOST_HEADER_BYTES):
        return f"its header does not end within {MOST_HEADER_BYTES} bytes"
    # In a file of pixels as bytes the same sign is one of them.
    if encoded[1:2] in b"123" and encoded.count(b"#") > MOST_COMMENTS:
        return f"it has more than {MOST_COMMENTS} comments"
    return ""


def _tiff(encoded: bytes) -> str:
    """Goes through the first directory, the only one that is read."""
    order = "big" if encoded[:2] == b"MM" else "little"
    is_big = encoded[2:3] == b"+"
    wide = 8 if is_big else 4

    def number(place: int, size: int) -> int:
        return int.from_bytes(encoded[place : place + size], order)

    directory = number(wide, wide)
    count_bytes = 8 if is_big else 2
    start, tag_bytes = directory + count_bytes, 4 + 2 * wide
    count = min(number(directory, count_bytes), (len(encoded) - start) // tag_bytes)
    if count > MOST_TAGS:
        return f"it has more than {MOST_TAGS} tags"
    values = 0
    sides = dict.fromkeys(_TILE_TAGS, 0)
    for i in range(count):
        place = start + i * tag_bytes
        tag, kind, amount = number(place, 2), number(place + 2, 2), number(place + 4, wide)
        if tag in sides:
            if kind not in _SIDE_BYTES or amount != 1:
                return "a side of its tiles is no whole number"
            # Which of several counts is left open here.
            sides[tag] = max(sides[tag], number(place + 4 + wide, _SIDE_BYTES[kind]))
        if kind in _NUMBER_TYPES or tag in _OFFSET_TAGS:
            # PIL skips what is larger than the file, such as a damaged count.
            values += amount if amount <= len(encoded) else 0
    if math.prod(sides.values()) > MOST_TILE_PIXELS:
        return f"its tiles have more than {MOST_TILE_PIXELS} pixels"
    return f"it has more than {MOST_VALUES} numbers in its tags" if values > MOST_VALUES else ""


_CHECKS = {
    b"\xff\xd8\xff": jpeg_markers.complaint,
    b"\x89PNG\r\n\x1a\n": _png,
    b"GIF8": _gif,
    # The invalid ones of swapped zeros and BigTIFF's among them, since PIL takes them.
    **dict.fromkeys((b"II*\0", b"II\0*", b"II+\0", b"MM\0*", b"MM*\0", b"MM\0+"), _tiff),
    b"P": _pnm,
}
