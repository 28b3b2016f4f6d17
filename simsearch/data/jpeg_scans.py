"""How many scans a JPEG has, told from its markers alone: what a small file may cost to decode."""

import re

# A progressive photo has about ten. Each is decoded over all pixels, though a repeated one takes
# 75 bytes: a small file could keep a core busy for hours.
MOST = 50
_START_OF_SCAN, _END = 0xDA, 0xD9
# A marker with a length, which stuffing (00), restarts (D0 to D7), TEM (01) and fillers (FF) have
# not. No `+` after the first FF: a run of them would be gone through again from each of its bytes.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")


def are_too_many(encoded: bytes) -> bool:
    """Returns whether a JPEG has more scans than a photo could want."""
    if encoded.count(bytes([0xFF, _START_OF_SCAN])) <= MOST:
        return False
    # Phones append films, in which any bytes may stand: only scans up to the image's end count.
    scans, place = 0, 2
    while scans <= MOST and (found := _JPEG_MARKER.search(encoded, place)):
        kind = found[1][0]
        if kind == _END:
            return False
        scans += kind == _START_OF_SCAN
        length = int.from_bytes(encoded[found.end() : found.end() + 2])
        place = found.end() + max(2, length)
    return scans > MOST
