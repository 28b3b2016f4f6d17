"""What an index asks of an engine."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np

from simsearch import errors
from simsearch.index.filters import tree as tree_lib
from simsearch.index.record import Found, Record, Row


class Batch(NamedTuple):
    """Rows of a scan: N records and, where they were asked for, their vectors float32 [N, D]."""

    records: list[Record]
    vectors: np.ndarray | None


class Closed:
    """What is left of what was let go of."""

    def close(self) -> None:
        """Does nothing: closing twice is no mistake."""

    def __getattr__(self, name: str) -> Any:
        raise errors.UsageError("this index is closed; Index.open opens it again")


class Engine(Protocol):
    """Tables of rows with a vector each, and one note about the index, which names its table.

    Every write is there as a whole or not at all, also where the process is killed in it, and has
    been seen by whoever reads after it returned. `open_table` comes before the rows' methods.

    Attributes:
        name: Name of the engine, for people.
        url: Where it keeps the index, without credentials.
    """

    name: str
    url: str

    def read_about(self) -> dict[str, Any] | None:
        """Returns the note about the index; None where there is no index yet."""

    def write_about(self, about: dict[str, Any]) -> None:
        """Replaces the note."""

    def open_table(self, name: str, *, embedding_size: int, create: bool) -> None:
        """Makes a table the one that the other methods mean; makes it first where asked to."""

    def table_names(self) -> list[str]:
        """Returns the names of the tables that are there, also of those that a kill left."""

    def drop_table(self, name: str) -> None:
        """Removes a table, where it is there."""

    def writing(self) -> AbstractContextManager[None]:
        """Keeps all others from writing, where the engine can; this thread's own writes go on."""

    def upsert(self, rows: Sequence[Row]) -> None:
        """Writes rows, in place of those with the same ids.

        Raises:
            RunError: Where the engine finds that the note is of another table by now.
        """

    def delete(self, ids: Sequence[str]) -> int:
        """Deletes rows by id and returns how many there were; errors as for `upsert`."""

    def search(
        self, vectors: np.ndarray, *, top_k: int, where: tree_lib.Filter | None
    ) -> list[list[Found]]:
        """Returns the rows nearest by cosine to each of vectors [Q, D], as its index finds them."""

    def count(self, where: tree_lib.Filter | None = None) -> int:
        """Returns how many rows pass a filter."""

    def get(self, ids: Sequence[str], *, vectors: bool = False) -> Batch:
        """Returns the rows with those ids that are there, in any order."""

    def thumbnails(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Returns the thumbnails of those ids that are there."""

    def scan(
        self, where: tree_lib.Filter | None = None, *, vectors: bool = False
    ) -> Iterator[Batch]:
        """Yields all rows that pass a filter."""

    def revisions(self) -> dict[str, int]:
        """Returns the revision of every row by its id: much less to read than a scan."""

    def labels(self) -> Counter[str]:
        """Returns how many rows there are of each label, and of "", which is none."""

    def version(self) -> Hashable:
        """Returns what is another value after any process changed the table."""

    def own_change(self, before: Hashable) -> Hashable:
        """Returns the version after this process's one last write, or `before`.

        Args:
            before: The version before it; given back where another process wrote in between.
        """

    def index_parts(self, kind: str) -> int:
        """Returns in how many parts the approximate index is, of whatever rows; 0: there is none.

        Args:
            kind: Value of `index.ann`; an engine that has one kind alone does not look at it.
        """

    def build_index(self, kind: str) -> str:
        """Builds the approximate index, waits until it answers, and returns its name."""

    def optimize(self) -> None:
        """Joins what many small writes left in pieces."""

    def is_untidy(self) -> bool:
        """Returns whether so many writes of this process are in pieces that `optimize` is due."""

    def close(self) -> None:
        """Lets go of files and connections."""
