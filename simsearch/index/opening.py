"""Opens a store with the model that its rows are of."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from simsearch import errors
from simsearch.index import answers, engines, model, takeover
from simsearch.index import engine as engine_lib
from simsearch.retrieval import calibration as calibration_lib
from simsearch.retrieval import embed

Made = TypeVar("Made")


class Opened(NamedTuple):
    """A store and its model.

    Attributes:
        engine: Connected; its table is open after `open_table`.
        embedder: Of the model that the rows are of.
        about: The note about the index.
        stored: The note that was found; None where there was none.
        takeover: Of the place of another model's index; None where there is none.
        judge: Of scores, by the model's calibration where it has one.
    """

    engine: engine_lib.Engine
    embedder: embed.Embedder
    about: model.About
    stored: model.About | None
    takeover: takeover.Takeover | None
    judge: answers.Judge

    def open_table(self, *, create: bool) -> None:
        """Opens the table; makes it, and notes what it holds, where it may."""
        size = self.about.embedding_size
        self.engine.open_table(self.about.table, embedding_size=size, create=create)
        if create and self.takeover is None and self.stored != self.about:
            self.engine.write_about(dataclasses.asdict(self.about))

    def is_replaced(self) -> bool:
        """Returns whether another model's index took the place of this one since."""
        return self.takeover is None and takeover.successor(self.engine, self.about) is not None


def open_as(make: Callable[[Opened], Made], url: str, *, create: bool, **given: Any) -> Made:
    """Returns what is made of the store at a URL; arguments and errors as for `Index.open`."""
    opened = _open_store(url, create=create, **given)
    try:
        opened.open_table(create=create)
        return make(opened)
    except BaseException as error:
        # Perhaps another model's index took this one's place since the note was read.
        try:
            is_replaced = isinstance(error, Exception) and opened.is_replaced()
        finally:
            opened.engine.close()
        if not is_replaced:
            raise
    return open_as(make, url, create=create, **given)


def _open_store(
    url: str,
    *,
    version: int | None,
    workdir: str | os.PathLike,
    embedder: embed.Embedder | None,
    create: bool,
    overrides: Mapping[str, Any] | None,
) -> Opened:
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
        over = takeover.Takeover(url, old, about) if is_other else None
        return Opened(engine, embedder, about, old, over, _judge(about, embedder))
    except BaseException:
        engine.close()
        raise


def _judge(about: model.About, embedder: embed.Embedder) -> answers.Judge:
    if not about.calibration:
        return answers.Judge()
    calibration = calibration_lib.Calibration.from_json(about.calibration)
    rate = embedder.config.eval.false_match_rate
    return answers.Judge(calibration, calibration.threshold(rate), calibration.doubt(rate))
