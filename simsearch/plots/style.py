"""What all pictures share: colours, sizes, and how a figure becomes a file."""

import functools
import itertools
import logging
import os
import pathlib
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
import matplotlib.backends.backend_agg
import matplotlib.figure
import matplotlib.font_manager
import matplotlib.ft2font
import numpy as np

from simsearch import whole_files

# Okabe and Ito's colours stay apart for the colour-blind; the signs ✓ and ✗ say the same again.
RIGHT, WRONG, QUERY, NEUTRAL = "#009E73", "#D55E00", "#0072B2", "#8A8A8A"
TEXT, FAINT = "#222222", "#777777"
DPI = 110

# The first one comes with matplotlib and has most alphabets; Chinese, Japanese and Korean are drawn
# with whichever of the others there is.
_FONTS = (
    *("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR"),
    *("WenQuanYi Zen Hei", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic"),
    *("PingFang SC", "PingFang HK", "Hiragino Sans", "Apple SD Gothic Neo"),
)
# Of one that has a single weight it says so, twice for each figure.
logging.getLogger("matplotlib.font_manager").addFilter(
    lambda record: not record.getMessage().startswith("findfont: Failed to find font weight")
)
_SETTINGS = {
    "font.size": 9.0,
    "axes.edgecolor": "#BBBBBB",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10.0,
    "grid.color": "#E6E6E6",
    "text.color": TEXT,
    "text.parse_math": False,  # a class may be called "$5"
    "axes.labelcolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
}


class Canvas:
    """A figure without a window, in the shared style; `save` makes it a file.

    All drawing happens inside `with`, where the style is in force.
    """

    def __init__(self, width: float, height: float) -> None:
        """Makes an empty figure; width and height in inches."""
        self._context = matplotlib.rc_context(_SETTINGS | {"font.family": _fonts()})
        self._size = (width, height)
        self.figure: Any = None

    def __enter__(self) -> "Canvas":
        self._context.__enter__()
        self.figure = matplotlib.figure.Figure(figsize=self._size, dpi=DPI, facecolor="white")
        matplotlib.backends.backend_agg.FigureCanvasAgg(self.figure)
        return self

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(*error)

    def save(self, path: str | os.PathLike) -> pathlib.Path:
        """Writes a PNG that is either whole or not there, and returns its path."""
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # No date and no version inside: the same input gives the same bytes.
        options = {"metadata": {"Software": None}, "bbox_inches": "tight", "pad_inches": 0.15}
        with whole_files.writing(path) as file:
            self.figure.savefig(file, format="png", **options)
        return path


def shortened(text: str, length: int) -> str:
    """Returns a text as wide as `length` letters at most, the middle of a longer one left out.

    In one line, and with a box for each character that no font has.
    """
    known = _known_characters()
    text = "".join(letter if ord(letter) in known else "□" for letter in " ".join(text.split()))
    if _beginning(text, length) == text:
        return text
    half = (length - 1) // 2
    return f"{_beginning(text, half)}…{_beginning(text[::-1], length - 1 - half)[::-1]}"


def _beginning(text: str, length: int) -> str:
    """Returns as much of a text as is no wider than `length` letters; Chinese ones count twice."""
    widths = (2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
    return text[: sum(width <= length for width in itertools.accumulate(widths))]


def percent(probability: float) -> str:
    """Returns a probability in words that never claim to be certain."""
    if probability < 0.01:
        return "<1%"
    return ">99%" if probability > 0.99 else f"{probability:.0%}"


def squared(image: np.ndarray) -> np.ndarray:
    """Returns an image [H, W, 3] centred on a white square, so that all tiles are alike."""
    height, width = image.shape[:2]
    side = max(height, width)
    square = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square


def mosaic(images: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the middles of up to four images, uint8 [H, W, 3] each, as one square."""
    if len(images) == 1:
        return images[0]
    side = min(min(image.shape[:2]) for image in images)
    if len(images) == 2:
        return np.hstack([_middle(image, side, side // 2) for image in images])
    square = np.full((2 * side, 2 * side, 3), 255, np.uint8)
    for place, image in enumerate(images[:4]):
        down, right = (side * step for step in divmod(place, 2))
        square[down : down + side, right : right + side] = _middle(image, side, side)
    return square


def _middle(image: np.ndarray, height: int, width: int) -> np.ndarray:
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def show_tile(
    axes: Any, image: np.ndarray, *, color: str, width: float = 3.0, alpha: float = 1.0
) -> None:
    """Draws an image in a frame, without ticks.

    Args:
        axes: Where.
        image: uint8 [H, W, 3].
        color: Of the frame.
        width: Of the frame, in points.
        alpha: Opacity of image and frame, from 0 to 1.
    """
    is_tiny = max(image.shape[:2]) < 64
    interpolation = "nearest" if is_tiny else "antialiased"
    axes.imshow(squared(image), interpolation=interpolation, alpha=alpha)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set(visible=True, edgecolor=color, linewidth=width, alpha=alpha)


def class_colors(num_classes: int) -> Iterator[tuple[float, float, float]]:
    """Yields a colour for each class, neighbours well apart."""
    maps = matplotlib.colormaps
    if num_classes <= 10:
        yield from maps["tab10"].colors[:num_classes]
    elif num_classes <= 20:
        yield from maps["tab20"].colors[:num_classes]
    else:
        for i in range(num_classes):
            yield maps["hsv"](i / num_classes)[:3]


@functools.cache
def _known_characters() -> frozenset[int]:
    """Returns the code points that the fonts have; matplotlib warns of every other one."""
    # Some fonts have fewer in bold.
    return frozenset.intersection(*map(_characters, ("normal", "bold")))


def _characters(weight: str) -> frozenset[int]:
    fonts = (
        matplotlib.font_manager.FontProperties(family=name, weight=weight) for name in _fonts()
    )
    paths = map(matplotlib.font_manager.findfont, fonts)
    return frozenset().union(*(matplotlib.ft2font.FT2Font(path).get_charmap() for path in paths))


@functools.cache
def _fonts() -> tuple[str, ...]:
    """Returns the fonts that are there; matplotlib looks for each letter in one after the other."""
    there = set(matplotlib.font_manager.get_font_names())
    return (_FONTS[0], *(name for name in _FONTS[1:] if name in there))
