"""What an index stores of an image, and what its searches and synchronisations return."""

import os
from typing import NamedTuple

import numpy as np

Value = str | float | int | bool | None

# Fields that a filter may name besides the metadata columns.
FIELDS = ("id", "path", "label", "size", "source")


class Record(NamedTuple):
    """A stored image without its vector and thumbnail.

    Attributes:
        id: 32 hexadecimal digits: a hash of the folder and path, or of the content.
        path: Below the indexed folder, or the name that `add` was given.
        label: Class of the image, "" where it has none.
        metadata: Further columns by name.
        source: The indexed folder; "" for an image that was added by itself.
        size: Bytes of the file.
        modified_ns: The file's modification time, nanoseconds.
        content: Hex SHA-256 of the file.
        revision: Another number each time that the image is written.
    """

    id: str
    path: str
    label: str
    metadata: dict[str, Value]
    source: str
    size: int
    modified_ns: int
    content: str
    revision: int


class Row(NamedTuple):
    """A stored image: its record, embedding float32 [D] (L2-normalised) and JPEG thumbnail."""

    record: Record
    vector: np.ndarray
    thumbnail: bytes


class Found(NamedTuple):
    """A record that an engine found, with its cosine."""

    record: Record
    score: float


class Hit(NamedTuple):
    """One answer to a search.

    Attributes:
        id: Id of the stored image.
        score: Cosine with the query.
        probability: That it is of the query's class; None where the version is not calibrated.
        label: Class of the image, "" where it has none.
        path: Below the indexed folder, or the name that it was added under.
        metadata: Further columns by name.
    """

    id: str
    score: float
    probability: float | None
    label: str
    path: str
    metadata: dict[str, Value]


class Answer(NamedTuple):
    """What a search found.

    Attributes:
        hits: Most similar first.
        is_match: False where even the best score is under the calibrated threshold.
        threshold: That cosine; None where the version is not calibrated.
        doubt: Why that threshold, or the probabilities too, are not to be trusted; None where they
            are.
    """

    hits: list[Hit]
    is_match: bool
    threshold: float | None
    doubt: str | None = None

    @property
    def is_rough(self) -> bool:
        """Whether it was calibrated on too few pairs for that threshold."""
        return self.doubt is not None


class Info(NamedTuple):
    """What an index is.

    Attributes:
        url: Where it is, without credentials.
        engine: The engine's name.
        version: Number of the model's version; None where it came from no version folder.
        fingerprint: Hex SHA-256 of the model's variables.
        backbone: Name of the model's backbone.
        embedding_size: Dimensions of a vector.
        is_exact: Whether every vector is compared, or an approximate index asked.
        replaces: The model, in words, whose index this one takes the place of when `sync` has
            finished; None: there is none.
    """

    url: str
    engine: str
    version: int | None
    fingerprint: str
    backbone: str
    embedding_size: int
    is_exact: bool
    replaces: str | None = None


class SyncReport(NamedTuple):
    """What a synchronisation changed.

    Attributes:
        added: New images.
        replaced: Images whose content or metadata changed.
        deleted: Images whose files are gone or no longer readable.
        untouched: Images whose content and metadata are what they were.
        unreadable: Path and reason of each file that is no image, or that the disk did not give: an
            image of the latter stays as it was, and is in no other count.
        images_per_second: Embedded images over the whole time.
    """

    added: int
    replaced: int
    deleted: int
    untouched: int
    unreadable: list[tuple[str, str]]
    images_per_second: float


def field(record: Record | Hit, name: str) -> Value:
    """Returns what a filter sees under a name; None where the image has no such value.

    A hit has fewer fields than a record.
    """
    if name == "label":
        return record.label or None
    return getattr(record, name, None) if name in FIELDS else record.metadata.get(name)


def new_revision() -> int:
    """Returns a number that no earlier write of any process had."""
    return int.from_bytes(os.urandom(8)) >> 1
