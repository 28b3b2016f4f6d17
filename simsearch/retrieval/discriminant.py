"""Fisher's discriminant: embeddings stretched so that the classes that were trained on lie apart.

Training leaves classes that look alike in directions that are alike, and what they share makes any
two of their images similar. A linear map, fitted in closed form when training has ended, makes the
classes' directions perpendicular. It is the least squares solution for targets of one per class,
which spans Fisher's discriminants, and it becomes part of the head, so that it costs nothing to
search with.

References:
    Fisher, The Use of Multiple Measurements in Taxonomic Problems, 1936.
    Hastie, Buja and Tibshirani, Penalized Discriminant Analysis, 1995: with a ridge.
    Ye, Least Squares Linear Discriminant Analysis, 2007.
"""

from typing import Any, NamedTuple

import numpy as np

from simsearch import runs

# Of the mean variance of a dimension. From 0.001 to 0.1 validation figures are the same.
_RIDGE = 0.01


class Discriminant(NamedTuple):
    """The map of a checkpoint.

    Attributes:
        matrix: Embeddings are multiplied by it and L2-normalised again, float32 [D, D], symmetric.
        class_vectors: The classes' directions then, L2-normalised float32 [C, D]; zeros for a class
            without images.
        step: Of the checkpoint whose embeddings it was fitted to.
    """

    matrix: np.ndarray
    class_vectors: np.ndarray
    step: int


def fit(embeddings: np.ndarray, labels: np.ndarray, *, num_classes: int, step: int) -> Discriminant:
    """Returns the discriminant of training images.

    Every class counts alike, however many images it has.

    Args:
        embeddings: L2-normalised, float32 [N, D].
        labels: Classes, int [N].
        num_classes: C.
        step: Of their checkpoint.
    """
    x = np.asarray(embeddings, np.float64)
    weights = 1 / np.bincount(labels)[labels]
    gram = x.T @ (weights[:, None] * x)
    ridge = _RIDGE * np.trace(gram) / len(gram)
    means = _class_means(x, labels, num_classes)
    solution = np.linalg.solve(gram + ridge * np.eye(len(gram)), means.T)
    # Cosines after it are those after the solution itself; this one turns the embeddings least.
    left, stretch, _ = np.linalg.svd(solution, full_matrices=False)
    matrix = (left * (stretch / stretch.max())) @ left.T
    class_vectors = _unit(_class_means(_unit(x @ matrix), labels, num_classes))
    return Discriminant(matrix.astype(np.float32), class_vectors.astype(np.float32), step)


def into_head(variables: Any, discriminant: Discriminant) -> Any:
    """Returns a network's variables whose embeddings are those after the map.

    Args:
        variables: Of a network with a head.
        discriminant: Of the same network.
    """
    params = variables["params"]
    last = params["head"]["projection"]
    mapped = {name: np.asarray(array) @ discriminant.matrix for name, array in last.items()}
    head = {**params["head"], "projection": mapped}
    return {**variables, "params": {**params, "head": head}}


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
    return Discriminant(stored["matrix"], stored["class_vectors"], step)


def _class_means(x: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns the mean of each class's rows, [C, D]; zeros for a class without any."""
    sums = np.zeros((num_classes, x.shape[1]))
    np.add.at(sums, labels, x)
    return sums / np.maximum(np.bincount(labels, minlength=num_classes), 1)[:, None]


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
