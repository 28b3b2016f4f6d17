"""Fisher's discriminant: a last layer that is fitted to the train images when training is over.

Training leaves classes that look alike in directions that are alike, and what they share makes any
two of their images similar. A layer that is fitted in closed form sets the classes as far apart as
can be: the least squares solution from what the last layer sees to targets of one per class, which
spans Fisher's discriminants. With a share of the trained layer, by which images of one class are
told apart, it takes that layer's place, so that it costs nothing to search with.

References:
    Fisher, The Use of Multiple Measurements in Taxonomic Problems, 1936.
    Hastie, Buja and Tibshirani, Penalized Discriminant Analysis, 1995: with a ridge.
    Ye, Least Squares Linear Discriminant Analysis, 2007.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from simsearch import runs
from simsearch.retrieval import neighbors

# In images: as if there were so much of one in each direction, of no class.
_RIDGE = 1.0
# Of the embeddings' mean squared length, the trained layer's part for each one of the discriminant.
# Images of one class would lie at one point without it where there are few classes.
_SHARE = 0.03
# Images whose products are summed in one go, in float64.
_BLOCK = 4096


class Discriminant(NamedTuple):
    """The last layer of a checkpoint.

    Attributes:
        projection: Features are multiplied by it and L2-normalised, float32 [H, D].
        class_vectors: The classes' directions then, L2-normalised float32 [C, D]; zeros for a class
            without images.
        step: Of the checkpoint whose features it was fitted to.
    """

    projection: np.ndarray
    class_vectors: np.ndarray
    step: int


def fit(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    trained: np.ndarray,
    num_classes: int,
    step: int,
) -> Discriminant:
    """Returns the discriminant of training images.

    Every class counts alike, however many images it has. Of more classes than dimensions, the
    directions are kept in which they differ most.

    Args:
        features: What the last layer sees, L2-normalised, float32 [N, H].
        labels: Classes, int [N].
        trained: The layer that it takes the place of, [H, D]. A share of it stays, all of it where
            nothing tells the classes apart.
        num_classes: C.
        step: Of their checkpoint.
    """
    present, labels_present = np.unique(labels, return_inverse=True)
    counts = np.bincount(labels_present)
    gram = _gram(features, weights=1 / counts[labels_present])
    means = _sums(features, labels_present, len(present)) / counts[:, None]
    # What all classes have in common tells none of them from another.
    means -= means.mean(0)
    solution = _solution(gram, means, num_images=len(features))[:, : trained.shape[1]]
    projection = _with_share(solution, trained, gram).astype(np.float32)
    class_vectors = np.zeros((num_classes, projection.shape[1]), np.float32)
    embeddings = neighbors.unit_rows(features @ projection)
    class_vectors[present] = neighbors.unit_rows(_sums(embeddings, labels_present, len(present)))
    return Discriminant(projection, class_vectors, step)


def features_of(variables: Any) -> tuple[Any, np.ndarray]:
    """Returns a network's variables whose embeddings are what its last layer sees, and that layer.

    Args:
        variables: Of a network with a head.

    Returns:
        The variables, of a network of H dimensions, and the layer's kernel [H, D].
    """
    trained = np.asarray(variables["params"]["head"]["projection"]["kernel"])
    return _with_projection(variables, np.eye(len(trained), dtype=np.float32)), trained


def into_head(variables: Any, discriminant: Discriminant) -> Any:
    """Returns a network's variables with the discriminant in place of the last layer.

    Args:
        variables: Of a network with a head.
        discriminant: Of the same network.
    """
    return _with_projection(variables, discriminant.projection)


def save(version: runs.Version, discriminant: Discriminant) -> None:
    """Stores the discriminant with a version."""
    runs.write_arrays(version.discriminant_file, **discriminant._asdict())


def load(version: runs.Version, *, step: int) -> Discriminant | None:
    """Returns a version's discriminant, None where it has none of that step's checkpoint.

    Raises:
        RunError: Where its file is damaged.
    """
    stored = runs.read_arrays(
        version.discriminant_file,
        Discriminant._fields,
        advice=f"delete it, and `python main.py --mode=train {version.flags}` fits it anew",
    )
    if stored is None or stored["step"] != step:
        return None
    return Discriminant(stored["projection"], stored["class_vectors"], step)


def _with_projection(variables: Any, projection: np.ndarray) -> Any:
    """Returns variables whose head ends with a linear map without bias."""
    params: Mapping[str, Any] = variables["params"]
    last = {"kernel": projection, "bias": np.zeros(projection.shape[1], np.float32)}
    return {**variables, "params": {**params, "head": {**params["head"], "projection": last}}}


def _gram(x: np.ndarray, *, weights: np.ndarray) -> np.ndarray:
    """Returns the weighted sum of the products of each row of x [N, H] with itself, [H, H]."""
    gram = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), _BLOCK):
        block = slice(start, start + _BLOCK)
        rows = x[block].astype(np.float64)
        gram += rows.T @ (weights[block, None] * rows)
    return gram


def _solution(gram: np.ndarray, means: np.ndarray, *, num_images: int) -> np.ndarray:
    """Returns the ridge solution [H, C], turned so that its columns fall in length."""
    # Of features that are all zero there is none but zero.
    ridge = max(_RIDGE * np.trace(gram) / num_images, np.finfo(np.float64).tiny)
    solution = np.linalg.solve(gram + ridge * np.eye(len(gram)), means.T)
    directions, stretch, _ = np.linalg.svd(solution, full_matrices=False)
    return directions * stretch


def _with_share(solution: np.ndarray, trained: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """Returns a solution [H, K] with its share of the trained layer, [H, D]."""
    # Cosines do not depend on how the solution is turned: as near to the trained layer as can be.
    left, _, right = np.linalg.svd(solution.T @ trained, full_matrices=False)
    turned = solution @ (left @ right)
    lengths = [np.sqrt(np.sum(layer * (gram @ layer))) for layer in (turned, trained)]
    if not lengths[0]:
        return trained
    return turned / lengths[0] + np.sqrt(_SHARE) * trained / max(lengths[1], 1e-12)


def _sums(x: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns the sum of each class's rows, float64 [C, H]."""
    sums = np.zeros((num_classes, x.shape[1]))
    np.add.at(sums, labels, x)
    return sums
