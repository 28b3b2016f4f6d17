"""What kind of image a file is, by its first bytes: names and extensions are often wrong."""

from __future__ import annotations

_EXTENSIONS = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tif"),
    (b"MM\0*", "tif"),
    (b"II+\0", "tif"),  # BigTIFF
    (b"MM\0+", "tif"),
    *((b"P%d%c" % (kind, space), "ppm") for kind in range(1, 7) for space in b" \t\r\n"),
)


def sniff(encoded: bytes) -> str:
    """Returns the file extension that the content calls for, such as "jpg"; "" where unknown."""
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return "webp"
    return next((name for magic, name in _EXTENSIONS if encoded.startswith(magic)), "")


def why_unknown(encoded: bytes) -> str:
    """Returns what is wrong with content that no decoder takes."""
    kind = sniff(encoded)
    if kind:
        return f"damaged or truncated {kind} file"
    start = encoded[:64]
    is_text = all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start)
    return f"not an image but text: {start[:20].decode()!r}" if is_text else "not an image"
