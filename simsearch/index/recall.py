"""How much of the exact answer an engine's approximate index finds."""

import numpy as np

from simsearch.index.engine import Engine

_SEED = 0


def measure(engine: Engine, *, num_queries: int = 100, k: int = 10) -> float:
    """Returns the share of the k exact nearest that a search finds, for stored images as queries.

    The whole table is read once, a part at a time; an image is no result of its own.

    Args:
        engine: With its table open and its index built.
        num_queries: Images that are asked with, at random.
        k: Neighbours of each.
    """
    ids, queries = _sample(engine, num_queries)
    found = engine.search(queries, top_k=k + 1, where=None)
    exact = _exact(engine, ids, queries, k)
    shares = []
    for own, hits, expected in zip(ids, found, exact, strict=True):
        near = [hit.record.id for hit in hits if hit.record.id != own][:k]
        shares.append(len(set(near) & set(expected)) / max(1, len(expected)))
    return float(np.mean(shares)) if shares else 1.0


def _sample(engine: Engine, num_queries: int) -> tuple[list[str], np.ndarray]:
    """Returns ids and vectors, float32 [Q, D], of some images at random."""
    ids = sorted(record.id for part in engine.scan() for record in part.records)
    rng = np.random.default_rng(_SEED)
    chosen = [ids[i] for i in rng.permutation(len(ids))[:num_queries]]
    batch = engine.get(chosen, vectors=True)
    return [record.id for record in batch.records], batch.vectors


def _exact(engine: Engine, own: list[str], queries: np.ndarray, k: int) -> list[list[str]]:
    """Returns the ids of the k nearest to each query, itself left out."""
    best_scores = np.full((len(queries), 0), -np.inf, np.float32)
    best_ids = np.empty((len(queries), 0), object)
    for part in engine.scan(vectors=True):
        if not part.records:
            continue
        ids = np.array([record.id for record in part.records], object)
        scores = queries @ part.vectors.T
        scores[ids[None] == np.array(own, object)[:, None]] = -np.inf
        scores = np.concatenate([best_scores, scores], axis=1)
        ids = np.concatenate([best_ids, np.broadcast_to(ids, (len(queries), len(ids)))], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best_scores = np.take_along_axis(scores, order, axis=1)
        best_ids = np.take_along_axis(ids, order, axis=1)
    return [
        [id_ for id_, score in zip(row, scores, strict=True) if np.isfinite(score)]
        for row, scores in zip(best_ids, best_scores, strict=True)
    ]
