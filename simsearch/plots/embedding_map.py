"""A 2-D map of the embeddings, with thumbnails where there is room."""

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from simsearch.plots import style

_MOST_POINTS = 2000
_THUMBNAIL = 0.038  # of the map's side
_MOST_NAMED = 30
_KEY = (
    "A framed picture is one of the dots; a dot amid another colour is a likely confusion. "
    "Places have no unit, and how far groups are from each other says nothing."
)
_RANK_SHARE = 0.6
_LEAST_FOR_TSNE = 5
_LEAST_SPREAD = 1e-6  # of embeddings that are not all the same


def draw(
    path: str | os.PathLike,
    embeddings: np.ndarray,
    *,
    labels: np.ndarray,
    class_names: Sequence[str],
    read_image: Callable[[int], np.ndarray],
    seed: int,
) -> pathlib.Path:
    """Draws the map and returns the path of the PNG.

    Args:
        path: Where to.
        embeddings: L2-normalised, float32 [N, D]; of more than 2,000 a sample is drawn.
        labels: Classes, int [N].
        class_names: Name of each class.
        read_image: From a row to its image, uint8 [H, W, 3].
        seed: Of the sample and the layout.

    References:
        van der Maaten and Hinton, Visualizing Data using t-SNE, 2008.
    """
    rng = np.random.default_rng(seed)
    rows = np.arange(len(embeddings))
    if len(rows) > _MOST_POINTS:
        rows = np.sort(rng.choice(rows, _MOST_POINTS, replace=False))
    places = _layout(embeddings[rows], seed)
    colors = list(style.class_colors(len(class_names)))
    with style.Canvas(11.6, 9.6) as canvas:
        axes = canvas.figure.add_axes((0.02, 0.02, 0.795, 0.94))
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[["left", "bottom"]].set_visible(False)  # Places have no unit.
        axes.set_title(
            f"{len(rows)} images, a dot each in the colour of its class, some with their picture; "
            "near each other where they are similar"
            + (" (t-SNE, spread out)" if _has_neighbourhoods(embeddings[rows]) else ""),
            loc="left",
        )
        point_colors = [colors[label] for label in labels[rows]]
        axes.scatter(*places.T, s=14, c=point_colors, linewidths=0, alpha=0.75)
        for i in _apart(places, rng.permutation(len(rows))):
            _thumbnail(axes, places[i], read_image(int(rows[i])), point_colors[i])
        present, counts = np.unique(labels[rows], return_counts=True)
        if len(present) <= _MOST_NAMED:
            _legend(axes, present, class_names, colors)
        else:
            for label in present[np.argsort(-counts, kind="stable")][:_MOST_NAMED]:
                _name(axes, places[labels[rows] == label], class_names[label])
        axes.text(0, -0.012, _KEY, transform=axes.transAxes, va="top", color=style.FAINT)
        return canvas.save(path)


def _layout(embeddings: np.ndarray, seed: int) -> np.ndarray:
    """Returns places in the unit square, float [N, 2]."""
    if not len(embeddings):
        return np.zeros((0, 2))
    # t-SNE starts from two principal axes: a third column of zeros or more changes no distance.
    padded = np.pad(embeddings, ((0, 0), (0, 2)))
    if not _has_neighbourhoods(embeddings):
        places = padded[:, :2].astype(float)
    else:
        import sklearn.manifold
        import threadpoolctl

        tsne = sklearn.manifold.TSNE(
            perplexity=min(30.0, (len(embeddings) - 1) / 3),
            init="pca",
            random_state=seed % 2**32,
            metric="euclidean",
        )
        # The sums of several threads depend on which comes first; one is as fast at this size.
        with threadpoolctl.threadpool_limits(1):
            places = tsne.fit_transform(padded)
    low, high = places.min(axis=0), places.max(axis=0)
    if np.all(high - low < _LEAST_SPREAD):
        return np.full_like(places, 0.5)
    spaced = (places - low) / np.maximum(high - low, 1e-9)
    # Classes that are well apart end as dots in an empty plane; their ranks fill it.
    ranks = np.argsort(np.argsort(places, axis=0), axis=0) / max(len(places) - 1, 1)
    return (1 - _RANK_SHARE) * spaced + _RANK_SHARE * ranks


def _has_neighbourhoods(embeddings: np.ndarray) -> bool:
    """Returns whether there is a map to make: enough rows, and not collapsed into one."""
    return len(embeddings) >= _LEAST_FOR_TSNE and bool(
        np.any(np.ptp(embeddings, axis=0) > _LEAST_SPREAD)
    )


def _apart(places: np.ndarray, order: np.ndarray) -> list[int]:
    """Returns points so far apart that their thumbnails do not overlap."""
    kept: list[int] = []
    for i in order:
        offsets = np.abs(places[kept] - places[i]) if kept else np.ones((1, 2))
        if np.all(offsets.max(axis=1) > 1.12 * _THUMBNAIL):
            kept.append(int(i))
    return kept


def _thumbnail(axes: Any, place: np.ndarray, image: np.ndarray, color: Any) -> None:
    half = _THUMBNAIL / 2
    (x, y), tile = place, style.squared(image)
    axes.imshow(tile, extent=(x - half, x + half, y - half, y + half), aspect="auto", zorder=3)
    outline = (
        [x - half, x + half, x + half, x - half, x - half],
        [y - half, y - half, y + half, y + half, y - half],
    )
    axes.plot(*outline, color=color, linewidth=2, zorder=4)


def _legend(
    axes: Any, present: np.ndarray, class_names: Sequence[str], colors: Sequence[Any]
) -> None:
    if not len(present):
        return
    for label in present:
        axes.scatter(
            [], [], s=30, color=[colors[label]], label=style.shortened(class_names[label], 20)
        )
    axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), frameon=False)


def _name(axes: Any, places: np.ndarray, name: str) -> None:
    """Writes a class's name amid its dots: so many colours cannot be told apart in a legend."""
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.0}
    x, y = np.median(places, axis=0)
    words = style.shortened(name, 20)
    axes.text(x, y, words, ha="center", va="center", fontsize=8, zorder=5, bbox=box)
