"""Image similarity search: train an embedding network, evaluate it, search with it.

config = simsearch.load_config("train", {"data.source": "folder", "data.path": "images"})
version = simsearch.train(config)
result = simsearch.evaluate(version.number)
embedder = simsearch.Embedder.from_version(version.number)
embeddings = embedder.embed_files(["a.jpg", "b.jpg"])
"""

import importlib
from typing import Any

# Imported when first asked for: what only searches must not wait for what only trains.
_HOMES = {
    "load_config": "simsearch.config.files",
    "train": "simsearch.commands.training",
    "resume": "simsearch.commands.training",
    "evaluate": "simsearch.commands.evaluation",
    "download": "simsearch.commands.download",
    "preview": "simsearch.commands.preview",
    "load_sweep": "simsearch.sweeps.plan",
    "sweep": "simsearch.commands.sweep",
    "compare": "simsearch.commands.compare",
    "average": "simsearch.commands.average",
    "ensemble": "simsearch.commands.ensemble",
    "Embedder": "simsearch.retrieval.embed",
    "Index": "simsearch.index",
    "UsageError": "simsearch.errors",
    "RunError": "simsearch.errors",
    "CorruptImage": "simsearch.errors",
}

__all__ = [*_HOMES, "progress"]


def __getattr__(name: str) -> Any:
    if name == "progress":
        return importlib.import_module("simsearch.progress")
    if name not in _HOMES:
        raise AttributeError(f"module 'simsearch' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
