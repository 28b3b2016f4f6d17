"""How much of the exact answer an engine's approximate index finds."""

import numpy as np

from simsearch.index.engine import Engine
from simsearch.retrieval import neighbors

_SEED = 0


def measure(engine: Engine, *, num_queries: int = 100, k: int = 10) -> float:
    """Returns the share of the k exact nearest that a search finds, for stored images as queries.

    The whole table is read once, a part at a time; an image is no result of its own.

    Args:
        engine: With its table open and its index built.
        num_queries: Images that are asked with, at random.
        k: Neighbours of each.
    """
    own, queries = _sample(engine, num_queries)
    found = engine.search(queries, top_k=k + 1, where=None)
    shares = []
    for id_, hits, ids in zip(own, found, _exact(engine, queries, k + 1), strict=True):
        near = [hit.record.id for hit in hits if hit.record.id != id_][:k]
        expected = [other for other in ids if other != id_][:k]
        shares.append(len(set(near) & set(expected)) / max(1, len(expected)))
    return float(np.mean(shares)) if shares else 1.0


def _sample(engine: Engine, num_queries: int) -> tuple[list[str], np.ndarray]:
    """Returns ids and vectors, float32 [Q, D], of some images at random."""
    ids = sorted(engine.revisions())
    rng = np.random.default_rng(_SEED)
    chosen = [ids[i] for i in rng.permutation(len(ids))[:num_queries]]
    batch = engine.get(chosen, vectors=True)
    return [record.id for record in batch.records], batch.vectors


def _exact(engine: Engine, queries: np.ndarray, k: int) -> np.ndarray:
    """Returns the ids of the k nearest to each query, str [Q, k]; fewer where fewer are there."""
    scores = [np.empty((len(queries), 0), np.float32)]
    ids = [np.empty((len(queries), 0), object)]
    for part in engine.scan(vectors=True):
        if part.records:
            near = neighbors.top_k(queries, part.vectors, k=min(k, len(part.records)))
            scores.append(near.scores)
            ids.append(np.array([record.id for record in part.records], object)[near.rows])
    order = np.argsort(-np.concatenate(scores, axis=1), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(np.concatenate(ids, axis=1), order, axis=1)
