"""How an index of one model takes the place of another's without losing an image."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from simsearch import errors, wording
from simsearch.index import engines, model
from simsearch.index.engine import Engine
from simsearch.index.filters import tree as tree_lib
from simsearch.index.record import Record


class Takeover(NamedTuple):
    """An index that grows beside the one that answers until then.

    Attributes:
        url: Address of the store that holds both, with credentials.
        old: The note about the one that answers.
        new: The note about the one that grows.
    """

    url: str
    old: model.About
    new: model.About

    def check(self, engine: Engine, root: str) -> None:
        """Raises UsageError where the old index holds images that are not of a folder."""
        lost = _strangers(self.url, self.old, root)
        if not lost:
            return
        alone = lost.pop("", 0)
        parts = [f"{wording.counted(lost[name], 'image')} of {name}" for name in sorted(lost)]
        if alone:
            parts.append(f"{wording.counted(alone, 'image')} added without a folder")
        raise errors.UsageError(
            f"{model.named(self.new)} would take the place of {model.named(self.old)} in the index "
            f"{engine.url} and lose {' and '.join(parts)}; keep that index, and index every folder "
            "into a new one with another --index"
        )

    def records(self, root: str) -> dict[str, Record]:
        """Returns what the old index says of a folder's images, by id."""
        of_root = tree_lib.Compare("source", "=", root)
        with _opened(self.url, self.old) as engine:
            return {r.id: r for batch in engine.scan(of_root) for r in batch.records}

    def finish(self, engine: Engine, root: str) -> None:
        """Makes the new index the one that answers; what others left half-grown goes too.

        Raises:
            UsageError: As `check`: others may have added images in the meantime.
        """
        # Nobody adds to the old index between the last look at it and its end, where the engine
        # has a lock to give.
        with engine.writing():
            self.check(engine, root)
            engine.write_about(dataclasses.asdict(self.new))
            for name in engine.table_names():
                if model.is_table(name) and name != self.new.table:
                    engine.drop_table(name)


def successor(engine: Engine, about: model.About) -> model.About | None:
    """Returns the note about the index that took the place of this one; None where none did."""
    stored = engine.read_about()
    if stored is None or stored["table"] == about.table:
        return None
    return model.read(stored, url=engine.url)


@contextlib.contextmanager
def _opened(url: str, about: model.About) -> Iterator[Engine]:
    engine = engines.connect(url)
    try:
        engine.open_table(about.table, embedding_size=about.embedding_size, create=False)
        yield engine
    finally:
        engine.close()


def _strangers(url: str, about: model.About, root: str) -> Counter[str]:
    """Returns how many images an index holds from each folder but one."""
    elsewhere = tree_lib.Compare("source", "!=", root)
    with _opened(url, about) as engine:
        return Counter(r.source for batch in engine.scan(elsewhere) for r in batch.records)
