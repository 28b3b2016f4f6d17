"""A photo that is small and takes hours to decode: one scan of it stands there many times."""

import io
import re

from PIL import Image


def progressive(side=64):
    """Returns a progressive JPEG, which has few scans."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 128).save(buffer, "JPEG", progressive=True)
    return buffer.getvalue()


def repeated(times, side=64, *, between=b""):
    """Returns the same with its last scan again and again, and some bytes in front of each."""
    whole = progressive(side)
    last = [found.start() for found in re.finditer(rb"\xff\xda", whole)][-1]
    assert whole.endswith(b"\xff\xd9")
    return whole[:-2] + (between + whole[last:-2]) * times + b"\xff\xd9"
