"""Encoded images to uint8 RGB arrays and back; the one decoder of training, search and serving."""

from __future__ import annotations

import contextlib
import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeVar

import numpy as np
from PIL import Image, PngImagePlugin

from simsearch import errors
from simsearch.data.decoding import containers, formats

ResizeMode = Literal["squash", "short_side"]
# What the network sees of an image where it is not trained, by `data.resize_mode`.
VIEWS: dict[str, tuple[ResizeMode, ...]] = {
    "squash": ("squash",),
    "short_side": ("short_side",),
    "both": ("squash", "short_side"),
}
Interpolation = Literal["bilinear", "bicubic"]
Result = TypeVar("Result")

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

# Only decoders that run inside this process: PIL would start Ghostscript for an EPS file.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
_MOVING = ("GIF", "PNG", "WEBP")
# A longer side beyond this many shorter sides is cropped before it is resized, so that a
# 10,000 x 1 image does not become a strip of millions of pixels.
_MAX_ASPECT = 4
# PIL decodes these in Python, a microsecond for each sample: PNM of numbers that are written out
# or end at neither 255 nor 65,535, and BMP of runs. They may have so many times fewer samples than
# another image has pixels.
_SLOW_DECODERS = ("ppm_plain", "ppm", "bmp_rle")
_SLOWNESS = 8
# Metadata beyond this is not looked at for an orientation: PIL would make a million objects of it.
_EXIF, _MAX_EXIF_BYTES = ("exif", "Raw profile type exif"), 2**20
# PIL lets libjpeg shrink a photo while it decodes; it stays this many times larger than asked.
DRAFT_GAP = 2
_ORIENTATION_TAG = 0x0112
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Colour profiles and XMP of some megabytes are in use; PIL reads one. `containers` bounds how many.
_MAX_TEXT_CHUNK = 2**24
_PIL_WARNINGS = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_warnings_lock = threading.Lock()


class UnreadFile(errors.CorruptImage):
    """A file whose bytes were not to be had; the next time they may be."""


def may_pass(error: Exception) -> bool:
    """Returns whether an image may be readable the next time, to conclude nothing for good."""
    return isinstance(error, UnreadFile | OSError)


def decode(
    encoded: bytes,
    *,
    resize_mode: ResizeMode,
    resize_size: int,
    max_pixels: int,
    interpolation: Interpolation = "bilinear",
) -> np.ndarray:
    """Returns an encoded image as a resized RGB array.

    The format is told from the content. Of an animation the first frame counts; the EXIF
    orientation is applied, transparency is laid on white, 16 bits are scaled to 8. Resizing is
    antialiased.

    Args:
        encoded: Content of a JPEG, PNG, WebP, GIF, BMP, TIFF or PNM file.
        resize_mode: "squash" to a square, or "short_side", which keeps the aspect ratio (up to
            4 to 1; of a longer image the middle).
        resize_size: Side of the square, or the shorter side, in pixels.
        max_pixels: A larger image is refused from its header. PIL refuses by itself above
            179 million.
        interpolation: How the image is resized: "bilinear" or "bicubic".

    Returns:
        uint8 [H, W, 3]; H = W = resize_size for "squash", min(H, W) = resize_size otherwise.

    Raises:
        CorruptImage: The bytes are no image, or one that is truncated, damaged, too large or
            made to keep a decoder busy.
    """
    resampling = _FILTERS[interpolation]
    (resized,) = opened(
        encoded, max_pixels, lambda image: _load(image, (resize_mode,), resize_size, resampling)
    )
    return resized


def center_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Returns the middle square of an image; a smaller image is enlarged first.

    Args:
        image: uint8 [H, W, 3].
        size: Side of the square in pixels.

    Returns:
        uint8 [size, size, 3].
    """
    height, width = image.shape[:2]
    if min(height, width) < size:
        scale = size / min(height, width)
        target = max(size, round(width * scale)), max(size, round(height * scale))
        image = np.asarray(Image.fromarray(image).resize(target, Image.Resampling.BILINEAR))
        height, width = image.shape[:2]
    top, left = (height - size) // 2, (width - size) // 2
    return image[top : top + size, left : left + size]


def load_for_eval(
    encoded: bytes,
    *,
    resize_mode: str,
    resize_size: int,
    image_size: int,
    max_pixels: int,
    interpolation: Interpolation = "bilinear",
) -> np.ndarray:
    """Returns an encoded image as the network sees it: resized, then the middle square.

    Of several views each has three channels of its own.

    Args:
        encoded: Content of an image file.
        resize_mode: One of `VIEWS`.
        resize_size: See `decode`.
        image_size: Side of the result in pixels.
        max_pixels: See `decode`.
        interpolation: See `decode`.

    Returns:
        uint8 [image_size, image_size, 3 V], as `eval_shape` says.

    Raises:
        CorruptImage: See `decode`.
    """
    views, resampling = VIEWS[resize_mode], _FILTERS[interpolation]
    resized = opened(
        encoded, max_pixels, lambda image: _load(image, views, resize_size, resampling)
    )
    return np.concatenate([center_crop(view, image_size) for view in resized], axis=2)


def training_view(resize_mode: str) -> ResizeMode:
    """Returns the one view that training is made of: its random crops have other shapes anyway."""
    return VIEWS[resize_mode][0]


def eval_shape(resize_mode: str, image_size: int) -> tuple[int, int, int]:
    """Returns the shape of what `load_for_eval` returns, three channels for each of V views."""
    return image_size, image_size, 3 * len(VIEWS[resize_mode])


def encode_png(array: np.ndarray) -> bytes:
    """Returns the PNG file of a uint8 array [H, W], [H, W, 1] or [H, W, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array).save(buffer, "PNG")
    return buffer.getvalue()


def is_animated(encoded: bytes, *, max_pixels: int) -> bool:
    """Returns whether an encoded image moves; pages of a TIFF do not. Raises as `decode`."""
    return opened(encoded, max_pixels, lambda i: i.format in _MOVING and i.is_animated)


def opened(encoded: bytes, max_pixels: int, read: Callable[[Image.Image], Result]) -> Result:
    """Returns what `read` makes of the opened image, for `decode` and its like.

    Raises:
        CorruptImage: Whatever it fails with.
    """
    if not encoded:
        raise errors.CorruptImage("the file is empty")
    if complaint := containers.complaint(encoded):
        raise errors.CorruptImage(complaint)
    with _parsing(encoded), Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
        if image.width * image.height > max_pixels:
            raise errors.CorruptImage(
                f"{image.width} x {image.height} pixels are more than {max_pixels}"
            )
        _check_speed(image, max_pixels)
        return read(image)


@contextlib.contextmanager
def _parsing(encoded: bytes = b"") -> Iterator[None]:
    """Makes PIL ready, and CorruptImage of whatever it fails with in the block."""
    _set_up_pil()
    try:
        yield
    except (errors.CorruptImage, MemoryError):
        raise
    except Image.UnidentifiedImageError as error:
        raise errors.CorruptImage(formats.why_unknown(encoded)) from error
    # Parsers of hostile bytes raise nearly anything: OSError, SyntaxError, struct.error, KeyError.
    except Exception as error:
        raise errors.CorruptImage(errors.one_line(error, most=120)) from error


def _check_speed(image: Image.Image, max_pixels: int) -> None:
    samples = image.width * image.height * len(image.getbands())
    is_slow = any(tile[0] in _SLOW_DECODERS for tile in image.tile)
    if is_slow and samples > max_pixels // _SLOWNESS:
        shape = f"{image.width} x {image.height}"
        raise errors.CorruptImage(
            f"{shape} pixels are too many for its way of storing them; use PNG"
        )


def upright(image: Image.Image) -> Image.Image:
    """Returns the pixels as a viewer shows them, in RGB.

    Raises:
        CorruptImage: Where they cannot be read.
    """
    with _parsing():
        image.load()
        orientation = _orientation(image)
        pixels = _to_rgb(image)
        return pixels.transpose(_TRANSPOSES[orientation]) if orientation in _TRANSPOSES else pixels


def _load(
    image: Image.Image,
    views: Sequence[ResizeMode],
    resize_size: int,
    resampling: Image.Resampling,
) -> list[np.ndarray]:
    """Returns the resized views of an image that is decoded once."""
    full = image.size
    plans = [_resize_plan(*full, view, resize_size) for view in views]
    # The shorter side decides how small a draft may be, and it is as long in every view.
    (width, height), _ = plans[0]
    image.draft(None, (DRAFT_GAP * width, DRAFT_GAP * height))
    image.load()
    orientation, pixels = _orientation(image), _to_rgb(image)
    resized = []
    for target, box in plans:
        drafted_box = tuple(
            edge * side / full_side
            for edge, side, full_side in zip(box, 2 * image.size, 2 * full, strict=True)
        )
        view = pixels.resize(target, resampling, box=drafted_box)
        if orientation in _TRANSPOSES:
            view = view.transpose(_TRANSPOSES[orientation])
        resized.append(np.asarray(view))
    return resized


def _resize_plan(
    width: int, height: int, resize_mode: ResizeMode, resize_size: int
) -> tuple[tuple[int, int], tuple[float, float, float, float]]:
    """Returns the target (width, height) and the box (left, top, right, bottom) to take."""
    if resize_mode == "squash":
        return (resize_size, resize_size), (0, 0, width, height)
    longest = _MAX_ASPECT * min(width, height)
    kept = min(width, longest), min(height, longest)
    left, top = (width - kept[0]) / 2, (height - kept[1]) / 2
    scale = resize_size / min(kept)
    target = round(kept[0] * scale), round(kept[1] * scale)
    return target, (left, top, left + kept[0], top + kept[1])


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        wide = np.asarray(image).astype(np.float32)
        return Image.fromarray(np.rint(wide / 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise errors.CorruptImage("32 bits a pixel have no known white; save it with 8 or 16")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 to 8; 1 where there is none, damaged or too much."""
    try:
        if any(len(image.info.get(name, "")) > _MAX_EXIF_BYTES for name in _EXIF):
            return 1
        return image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # Damaged metadata fails in as many ways as damaged pixels, and harms less.
        return 1


def _set_up_pil() -> None:
    """Bounds PIL's text chunks, and keeps its warnings off the screen: CorruptImage says more.

    A filter rather than `warnings.catch_warnings`, which threads may not use side by side.
    """
    PngImagePlugin.MAX_TEXT_CHUNK = _MAX_TEXT_CHUNK
    with _warnings_lock:
        if not warnings.filters or warnings.filters[0] != _PIL_WARNINGS:
            warnings.filterwarnings("ignore", module=r"PIL\.")
