"""Opens a store with the model that its rows are of."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from simsearch import errors
from simsearch.index import answers, engines, model
from simsearch.index import engine as engine_lib
from simsearch.index import rows as rows_lib
from simsearch.index import takeover as takeover_lib
from simsearch.retrieval import calibration as calibration_lib
from simsearch.retrieval import embed


class Opened(NamedTuple):
    """What an index is made of.

    Attributes:
        rows: With the table open.
        embedder: The model that embedded the rows.
        about: The note about the index.
        takeover: Where this index takes the place of another model's; None: it does not.
        judge: Says what scores mean, by the model's calibration where it has one.
    """

    rows: rows_lib.Rows
    embedder: embed.Embedder
    about: model.About
    takeover: takeover_lib.Takeover | None
    judge: answers.Judge


class _Store(NamedTuple):
    """A store that is connected to, and the model that its rows are of."""

    engine: engine_lib.Engine
    embedder: embed.Embedder
    about: model.About
    stored: model.About | None  # The note that was found.
    takeover: takeover_lib.Takeover | None

    def open_rows(self, *, create: bool) -> rows_lib.Rows:
        """Opens the table; makes it, and notes what it holds, where it may."""
        size = self.about.embedding_size
        self.engine.open_table(self.about.table, embedding_size=size, create=create)
        if create and self.takeover is None and self.stored != self.about:
            self.engine.write_about(dataclasses.asdict(self.about))
        return rows_lib.Rows(self.engine, embedding_size=size, config=self.embedder.config)

    def is_replaced(self) -> bool:
        """Returns whether another model's index took the place of this one since."""
        return self.takeover is None and takeover_lib.successor(self.engine, self.about) is not None


def open_rows(url: str, *, create: bool, **given: Any) -> Opened:
    """Returns what an index at a URL is made of; arguments and errors as for `Index.open`."""
    while True:
        store = _connect(url, create=create, **given)
        try:
            rows = store.open_rows(create=create)
            judge = _judge(store.about, store.embedder)
            return Opened(rows, store.embedder, store.about, store.takeover, judge)
        except BaseException as error:
            # Perhaps another model's index took this one's place since the note was read.
            try:
                is_replaced = isinstance(error, Exception) and store.is_replaced()
            finally:
                store.engine.close()
            if not is_replaced:
                raise


def _connect(
    url: str,
    *,
    version: int | None,
    workdir: str | os.PathLike,
    embedder: embed.Embedder | None,
    create: bool,
    overrides: Mapping[str, Any] | None,
) -> _Store:
    """Returns the store at a URL with its model, its table not yet open."""
    engine = engines.connect(url)
    try:
        stored = engine.read_about()
        if stored is None and not create:
            raise errors.UsageError(
                f"there is no index at {engine.url}; make one with "
                f"`python main.py --mode=index --images=DIR{model.place(engine.url, workdir)}`"
            )
        old = None if stored is None else model.read(stored, url=engine.url)
        calibration = ""
        is_named = version is not None or embedder is not None
        if embedder is None:
            if old is not None and not is_named:
                version = model.own_version(old, url=engine.url, workdir=workdir)
            embedder, version, calibration = model.load(version, workdir, overrides)
        about = model.describe(embedder, version=version, calibration=calibration)
        # Another model takes the place of an index's own only where it is asked for.
        if old is not None and not (create and is_named):
            model.check(old, about, url=engine.url, workdir=workdir)
        is_other = old is not None and not old.is_same_model(about)
        if old is not None and not is_other:
            # An embedder of a program's own knows neither.
            about = dataclasses.replace(
                about,
                version=old.version if about.version is None else about.version,
                calibration=about.calibration or old.calibration,
            )
        over = takeover_lib.Takeover(url, old, about) if is_other else None
        return _Store(engine, embedder, about, old, over)
    except BaseException:
        engine.close()
        raise


def _judge(about: model.About, embedder: embed.Embedder) -> answers.Judge:
    if not about.calibration:
        return answers.Judge()
    calibration = calibration_lib.Calibration.from_json(about.calibration)
    rate = embedder.config.eval.false_match_rate
    return answers.Judge(calibration, calibration.threshold(rate), calibration.doubt(rate))
