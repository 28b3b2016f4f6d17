"""All pictures of one evaluation: chooses what is shown, reads the images, calls the plots."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simsearch import errors
from simsearch.data import splits
from simsearch.data.decoding import smaller_images
from simsearch.plots import confusion, curves, embedding_map, reliability
from simsearch.plots import neighbors as neighbors_plot
from simsearch.retrieval import calibration as calibration_lib
from simsearch.retrieval import embed, neighbors
from simsearch.retrieval import figures as figures_lib

_PAGE_ROWS = 8


def draw_all(
    directory: pathlib.Path,
    *,
    split: splits.Split,
    embedded: embed.Embedded,
    figures: figures_lib.Figures,
    records: Sequence[Mapping[str, Any]],
    monitor: str,
    num_similar: int,
    query_index: int | None,
    seed: int | None,
    max_pixels: int,
) -> list[pathlib.Path]:
    """Draws the pictures of an evaluation and returns their paths.

    Args:
        directory: Where to.
        split: The images.
        embedded: Their embeddings; images that could not be read are never shown.
        figures: What was measured.
        records: The run's training and validation records.
        monitor: The validation figure that chose the checkpoint.
        num_similar: Similar images for each query.
        query_index: Row of the query that has a picture of its own; None: a random one.
        seed: Of the random queries; None: another choice each time.
        max_pixels: A larger image is not decoded.

    Raises:
        UsageError: Where the image of `query_index` could not be read.
    """
    sheet = _Sheet(
        split,
        embedded,
        nearest=figures.nearest,
        num_similar=num_similar,
        max_pixels=max_pixels,
        calibration=figures.calibrated and figures.calibrated.calibration,
    )
    if query_index is not None and not embedded.valid[query_index]:
        raise errors.UsageError(
            f"--query_index={query_index} must be an image that can be read, and "
            f"{split.names[query_index]} cannot; choose another row"
        )
    rng = np.random.default_rng(seed)
    query = int(rng.choice(sheet.rows)) if query_index is None else query_index
    chosen = rng.permutation(sheet.rows)[:_PAGE_ROWS]
    paths = [
        neighbors_plot.draw(
            directory / f"query_{query}.png",
            sheet.row(query),
            title=f"most similar to image {query} ({split.names[query]})",
        ),
        neighbors_plot.draw_page(
            directory / "random_queries.png",
            [sheet.row(int(row)) for row in chosen],
            title=f"{len(chosen)} queries at random",
        ),
    ]
    worst, mistakes = sheet.worst_mistakes()[:_PAGE_ROWS], directory / "worst_mistakes.png"
    mistakes.unlink(missing_ok=True)
    if worst:
        title = f"the {len(worst)} mistakes furthest from right, of {figures.num_queries} queries"
        rows = [sheet.row(row, is_named=True) for row in worst]
        paths.append(neighbors_plot.draw_page(mistakes, rows, title=title))
    if any(record["split"] == "train" for record in records):  # An average was not trained.
        paths.append(curves.draw(directory / "curves.png", records, monitor=monitor))
    there = np.unique(split.labels)
    counts, names = figures.confusion.among(there), [split.class_names[label] for label in there]
    paths.append(confusion.draw(directory / "confusion.png", counts, class_names=names))
    diagram = directory / "reliability.png"
    diagram.unlink(missing_ok=True)
    if figures.calibrated is not None:
        paths.append(reliability.draw(diagram, figures.calibrated))
    paths.append(
        embedding_map.draw(
            directory / "embedding_map.png",
            embedded.embeddings[sheet.rows],
            labels=split.labels[sheet.rows],
            class_names=split.class_names,
            read_image=lambda i: sheet.image(int(sheet.rows[i])),
            seed=seed or 0,
        )
    )
    return paths


class _Sheet:
    """The readable images of a split with the neighbours of each among the others."""

    def __init__(
        self,
        split: splits.Split,
        embedded: embed.Embedded,
        *,
        nearest: np.ndarray,
        num_similar: int,
        max_pixels: int,
        calibration: calibration_lib.Calibration | None,
    ) -> None:
        self.rows = np.flatnonzero(embedded.valid)
        self._split = split
        self._max_pixels = max_pixels
        self._num_similar = num_similar
        self._calibration = calibration
        self._vectors = embedded.embeddings[self.rows]
        self._nearest = nearest

    def image(self, row: int) -> np.ndarray:
        """Returns an image for the eye, uint8 [H, W, 3]."""
        return smaller_images.display(lambda: self._split.read(row), max_pixels=self._max_pixels)

    def row(self, query: int, *, is_named: bool = False) -> neighbors_plot.Row:
        """Returns a query and its results, for the plots.

        Args:
            query: Row of the image.
            is_named: Whether its file is told, so that one in the wrong folder can be found.
        """
        own = int(np.searchsorted(self.rows, query))
        found = neighbors.top_k(
            self._vectors[own : own + 1],
            self._vectors,
            k=min(self._num_similar, len(self.rows) - 1),
            exclude=np.array([own]),
        )
        results = [
            neighbors_plot.Result(
                image=self.image(row),
                score=float(score),
                caption=self._class_of(row),
                correct=self._split.labels[row] == self._split.labels[query],
                probability=self._calibration
                and float(self._calibration.probability(np.float64(score))),
            )
            for row, score in zip(self.rows[found.rows[0]].tolist(), found.scores[0], strict=True)
        ]
        row = neighbors_plot.Row(self.image(query), self._class_of(query), results)
        return row._replace(name=self._split.names[query].rpartition("/")[2]) if is_named else row

    def worst_mistakes(self) -> list[int]:
        """Returns the queries whose nearest neighbour is of another class, the surest first.

        How sure: by how much the wrong one is nearer than the nearest of the query's own class.
        """
        labels = self._split.labels[self.rows]
        wrong = np.flatnonzero(labels[self._nearest] != labels)
        margins = []
        for i in wrong:
            of_class = labels == labels[i]
            of_class[i] = False
            # An image that is alone in its class is no query: nothing right was to be found.
            best = (self._vectors[of_class] @ self._vectors[i]).max() if of_class.any() else np.inf
            margins.append(self._vectors[self._nearest[i]] @ self._vectors[i] - best)
        order = np.argsort(-np.asarray(margins), kind="stable")
        return [int(self.rows[wrong[i]]) for i in order if np.isfinite(margins[i])]

    def _class_of(self, row: int) -> str:
        return self._split.class_names[self._split.labels[row]]
