"""Smaller images made of an encoded one: a thumbnail, a region."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from simsearch import errors
from simsearch.data.decoding import images

# Shorter side of an image in a picture, and what stands for one that cannot be read any more.
_DISPLAY_PIXELS = 160
_GREY = 190


class EmptyRegion(ValueError):
    """A region that holds no pixel of the image."""


def display(read: Callable[[], bytes], *, max_pixels: int) -> np.ndarray:
    """Returns an image for the eye, uint8 [H, W, 3]; a grey square where it cannot be read.

    An embedding may have been kept since it could be.

    Args:
        read: Gives the content of the image file.
        max_pixels: See `images.decode`.
    """
    try:
        return images.decode(
            read(),
            resize_mode="short_side",
            resize_size=_DISPLAY_PIXELS,
            max_pixels=max_pixels,
        )
    except (errors.CorruptImage, OSError):
        return np.full((_DISPLAY_PIXELS, _DISPLAY_PIXELS, 3), _GREY, np.uint8)


def thumbnail(
    encoded: bytes, *, longest: int, max_pixels: int, max_bytes: int | None = None
) -> bytes:
    """Returns a small JPEG of an encoded image, never enlarged.

    Args:
        encoded: Content of an image file.
        longest: Its longer side at most, in pixels.
        max_pixels: See `images.decode`.
        max_bytes: The file's size at most, where the quality can be lowered so far: noise
            compresses badly.

    Raises:
        CorruptImage: See `images.decode`.
    """

    def shrink(image: Image.Image) -> bytes:
        image.draft(None, (images.DRAFT_GAP * longest, images.DRAFT_GAP * longest))
        small = images.upright(image)
        small.thumbnail((longest, longest), Image.Resampling.BILINEAR, reducing_gap=2.0)
        for quality in (85, 60, 35, 10):
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=quality)
            if max_bytes is None or buffer.tell() <= max_bytes:
                break
        return buffer.getvalue()

    return images.opened(encoded, max_pixels, shrink)


def crop(encoded: bytes, box: tuple[float, float, float, float], *, max_pixels: int) -> bytes:
    """Returns the BMP file of a region of an encoded image, as a viewer shows it.

    It is decoded again at once: compressing a photo as PNG would take seconds.

    Args:
        encoded: Content of an image file.
        box: Left, top, width and height: as fractions of the upright image where none is above 1,
            otherwise in its pixels. What lies outside the image is cut off.
        max_pixels: See `images.decode`.

    Raises:
        CorruptImage: See `images.decode`.
        EmptyRegion: Nothing of the image lies in it.
    """

    whole = images.opened(encoded, max_pixels, images.upright)
    scale = whole.size if max(box) <= 1 else (1, 1)
    left, top = box[0] * scale[0], box[1] * scale[1]
    right, bottom = left + box[2] * scale[0], top + box[3] * scale[1]
    edges = (0, 0, 0, 0)
    if all(map(math.isfinite, box)) and box[2] > 0 and box[3] > 0:
        # Cut off before it is rounded: the sum of two large numbers may be infinite.
        edges = (
            math.floor(max(0, left)),
            math.floor(max(0, top)),
            math.ceil(min(whole.width, right)),
            math.ceil(min(whole.height, bottom)),
        )
    if not (edges[0] < edges[2] and edges[1] < edges[3]):
        raise EmptyRegion(
            f"the region x, y, width, height = {', '.join(f'{edge:g}' for edge in box)} holds "
            f"no pixel of the image, which is {whole.width} x {whole.height}"
        )
    buffer = io.BytesIO()
    whole.crop(edges).save(buffer, "BMP")
    return buffer.getvalue()
