"""What a synchronisation has to do: the files of a folder beside the rows of an index."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from simsearch import errors
from simsearch.data.sources import folder as folder_lib
from simsearch.data.sources import layout
from simsearch.index.record import Record


class File(NamedTuple):
    """An image file: its row's id, its path below the root with slashes, its size and time.

    `on_disk` is where to open it: a name that is no Unicode is written differently in `path`.
    `label` is its class folder; "" where it is in none.
    """

    id: str
    path: str
    size: int
    modified_ns: int
    on_disk: str
    label: str


class Plan(NamedTuple):
    """The files of a folder by what has to be done with them.

    Attributes:
        new: Files that no row is stored of.
        suspects: File and row of those with another size or time than the row: their content
            decides.
        untouched: Rows of the files that are as they were.
        vanished: Ids of the rows whose files are gone.
    """

    new: list[File]
    suspects: list[tuple[File, Record]]
    untouched: list[Record]
    vanished: list[str]


def root_of(images_dir: str | os.PathLike) -> str:
    """Returns a folder as the index names it.

    Raises:
        UsageError: Where it is no folder.
    """
    root = os.path.realpath(os.path.expanduser(images_dir))
    if not os.path.isdir(root):
        came = "is a file" if os.path.exists(root) else "does not exist"
        raise errors.UsageError(f"--images={images_dir} must be a folder of images, and it {came}")
    return root


def check(root: str) -> None:
    """Raises what `find` would, without going through the whole folder."""
    if next(_images_below(root), None) is None:
        raise _none_below(root)


def find(root: str) -> list[File]:
    """Returns the images below a folder, sorted by path; none is opened.

    Raises:
        RunError: Where a folder cannot be listed.
        UsageError: Where there is no image: more likely a disk that is not there than the wish
            to empty an index.
    """
    left_out: list[str] = []
    found = sorted(_images_below(root, left_out))
    if not found:
        raise _none_below(root)
    folder_lib.warn_left_out(left_out, root, read="ends in")
    names = [storable(os.path.relpath(path, root).replace(os.sep, "/")) for path, _ in found]
    return [
        File(file_id(root, name), name, size, modified_ns, path, label)
        for name, label, (path, (size, modified_ns)) in zip(
            names, layout.class_folders(names), found, strict=True
        )
    ]


def _images_below(
    root: str, left_out: list[str] | None = None
) -> Iterator[tuple[str, tuple[int, int]]]:
    with folder_lib.listing(root):
        yield from folder_lib.images_below(root, left_out=left_out)


def _none_below(root: str) -> errors.UsageError:
    extensions = folder_lib.listed_extensions()
    return errors.UsageError(f"expected images below {root}, found none ({extensions})")


def storable(text: str) -> str:
    """Returns a text with what is no Unicode escaped: it could be neither stored nor shown."""
    try:
        return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    except UnicodeEncodeError:  # Half a pair that stands for no byte of a file's name.
        return text.encode(errors="backslashreplace").decode()


def file_id(root: str, path: str) -> str:
    """Returns the id of an image file by its folder and its path in there."""
    text = f"{root}\0{path}"
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:32]


def content_id(encoded: bytes) -> str:
    """Returns the id of an image that came without a folder."""
    return content_hash(encoded)[:32]


def content_hash(encoded: bytes) -> str:
    """Returns the hex SHA-256 of a file's content."""
    return hashlib.sha256(encoded).hexdigest()


def plan(files: Sequence[File], stored: Mapping[str, Record]) -> Plan:
    """Returns what has to be done.

    Args:
        files: Every image file of the folder.
        stored: The rows that came from this folder, by id.
    """
    new, suspects, untouched = [], [], []
    for file in files:
        record = stored.get(file.id)
        if record is None:
            new.append(file)
        elif (file.size, file.modified_ns) == (record.size, record.modified_ns):
            untouched.append(record)
        else:
            suspects.append((file, record))
    vanished = sorted(stored.keys() - {file.id for file in files})
    return Plan(new, suspects, untouched, vanished)
