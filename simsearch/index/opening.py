"""Opens a store with the model that its rows are of."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from simsearch import errors
from simsearch.index import engine as engine_lib
from simsearch.index import model
from simsearch.retrieval import embed


class Opened(NamedTuple):
    """A store and its model.

    Attributes:
        engine: Connected, its table open.
        embedder: Of the model that the rows are of.
        about: The note about the index.
        replaces: Table of another model that makes room when this one is complete.
        calibration: With `probability` and `threshold`; None: there is none.
    """

    engine: engine_lib.Engine
    embedder: embed.Embedder
    about: model.About
    replaces: str | None
    calibration: Any


def open_store(
    url: str,
    *,
    version: int | None,
    workdir: str | os.PathLike,
    embedder: embed.Embedder | None,
    create: bool,
    overrides: Mapping[str, Any] | None,
) -> Opened:
    """Returns the store at a URL with its model; arguments and errors as for `Index.open`."""
    engine = engine_lib.connect(url)
    try:
        stored = engine.read_about()
        if stored is None and not create:
            raise errors.UsageError(
                f"there is no index at {engine.url}; make one with "
                f"`python main.py --mode=index --images=DIR{model.place(engine.url, workdir)}`"
            )
        old = None if stored is None else model.read(stored, url=engine.url)
        if embedder is None:
            version = old.version if version is None and old is not None else version
            embedder, version = model.load(version, workdir, overrides)
        about = model.describe(embedder, version=version)
        if old is not None and not create:
            model.check(old, about, url=engine.url, workdir=workdir)
        is_other = old is not None and not old.is_same_model(about)
        engine.open_table(about.table, embedding_size=about.embedding_size, create=create)
        if create and not is_other and old != about:
            engine.write_about(dataclasses.asdict(about))
        return Opened(engine, embedder, about, old.table if is_other else None, None)
    except BaseException:
        engine.close()
        raise
