"""What a JPEG has too much of, told from its markers alone: what a small file may cost to decode.

It follows both who read a file: PIL, which looks for metadata in front of the first scan, and
libjpeg, which decodes. Where they differ the file is refused by one of them anyway.
"""

import re

# A progressive photo has about ten. Each is decoded over all pixels, though a repeated one takes
# 75 bytes: a small file could keep a core busy for hours.
MOST_SCANS = 50
# A colour profile may have 255, and a picture's depth or a film in XMP some hundred of 64 KiB.
MOST_SEGMENTS = 4000
# PIL appends each to those before, by copying. One is usual.
MOST_EXIF = 16
# Of Photoshop's blocks, each of which PIL makes objects of; a file has under a hundred.
MOST_BLOCKS = 20_000
# Bytes between segments, which PIL reads one by one. Cameras align with a few kilobytes.
MOST_FILLERS = 2**18

# Neither stuffing (00), restarts (D0 to D7), TEM (01) and fillers (FF), which have no length, nor
# what is reserved (02 to BF): libjpeg steps over such a one between restarts, and refuses it
# elsewhere. No `+` after the first FF: a run of them would be gone through again from each of its
# bytes.
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
# PIL takes these for markers without a length, and libjpeg for an error.
_BARE = frozenset(b"\xc8\xd8\xd9" + bytes(range(0xF0, 0xFE)))
_START_OF_SCAN, _END, _APP1, _APP13 = 0xDA, 0xD9, 0xE1, 0xED


def complaint(encoded: bytes) -> str:
    """Returns what a JPEG has more of than a photo could want, "" where there is nothing."""
    has_few_scans = encoded.count(bytes([0xFF, _START_OF_SCAN])) <= MOST_SCANS
    scans = exif = blocks = fillers = 0
    place = 2
    for _ in range(MOST_SEGMENTS + 1):
        # In a scan anything goes on as long as it likes.
        end = len(encoded) if scans else place + MOST_FILLERS - fillers
        found = _MARKER.search(encoded, place, end)
        if found is None:
            return f"it has more than {MOST_FILLERS} bytes of filling" if end < len(encoded) else ""
        kind = found[1][0]
        fillers += 0 if scans else found.start() - place
        scans += kind == _START_OF_SCAN
        exif += kind == _APP1 and encoded.startswith(b"Exif\0\0", found.end() + 2)
        # Phones append films, in which any bytes may stand: only scans up to the image's end count.
        # In front of the first scan PIL looks past an end.
        if scans and (has_few_scans or kind == _END):
            return ""
        if scans > MOST_SCANS:
            return f"it has more than {MOST_SCANS} scans"
        if exif > MOST_EXIF:
            return f"it has more than {MOST_EXIF} Exif segments"
        place = found.end()
        if kind not in _BARE:
            place += max(2, int.from_bytes(encoded[place : place + 2]))
        if kind == _APP13:
            blocks += encoded.count(b"8BIM", found.end(), place)
        if blocks > MOST_BLOCKS:
            return f"it has more than {MOST_BLOCKS} of Photoshop's blocks"
    return f"it has more than {MOST_SEGMENTS} segments"
