"""A source's images as files in split and class folders, which the folder source reads back."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from simsearch import progress, whole_files
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import splits
from simsearch.data.decoding import formats, images
from simsearch.data.sources import folder
from simsearch.errors import CorruptImage, RunError, UsageError, one_line

_FOLDERS = {"train": "train", "validation": "val", "test": "test"}
_MARKER = ".simsearch-download.json"
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
_LONGEST_NAME = 80
_UNKNOWN_EXTENSION = ".jpg"  # A file that is no image stays a row that turns out to be corrupt.


def download(
    found: Mapping[str, splits.Split],
    output: str,
    *,
    corrupt: corrupt_lib.CorruptLog | None = None,
) -> dict[str, int]:
    """Writes every image as OUTPUT/SPLIT/CLASS/NAME.EXTENSION, the bytes as they are.

    The folder source reads the same rows back in the same order. A download that was interrupted
    goes on where it stopped: a file appears under its name only when it is whole.

    Args:
        found: The splits of a source.
        output: Folder to write to; new, empty, or of the same download.
        corrupt: Log for the images that the source cannot give.

    Returns:
        The number of images "written", "kept" (there from before) and "unreadable".

    Raises:
        UsageError: The folder holds something else.
        RunError: A file cannot be written.
    """
    output = os.path.abspath(os.path.expanduser(output))
    counts = {"written": 0, "kept": 0, "unreadable": 0}
    total = sum(len(split.labels) for split in found.values())
    try:
        _claim(output, found)
        targets = _targets(found, output)
        for split, row, path in progress.track(
            targets, total=total, description="download", unit="image"
        ):
            try:
                counts["written" if _write(split, row, path) else "kept"] += 1
            except CorruptImage as error:
                counts["unreadable"] += 1
                if corrupt is not None:
                    corrupt.add(split.names[row], str(error))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise RunError(
            f"expected to write {total} images below {output}, but {error.strerror or error}"
            f"{where}: check the folder and the free space, then start again to go on"
        ) from error
    return counts


def _claim(output: str, found: Mapping[str, splits.Split]) -> None:
    """Marks the folder as that of these splits, and refuses a folder of anything else."""
    os.makedirs(output, exist_ok=True)
    marker = os.path.join(output, _MARKER)
    fingerprints = {key: split.fingerprint for key, split in found.items()}
    content = json.dumps({"format": 1, "fingerprints": fingerprints})
    try:
        with open(marker, encoding="utf-8") as file:
            is_same = file.read() == content
    except FileNotFoundError:
        is_same = all(name.startswith(".") for name in os.listdir(output))
    if not is_same:
        raise UsageError(
            f"expected {output} to be empty or of the same download, found other files: choose "
            "another folder with --output"
        )
    _write_whole(marker, content.encode())


def _targets(
    found: Mapping[str, splits.Split], output: str
) -> Iterator[tuple[splits.Split, int, str]]:
    """Yields each row with the path of its file, whose extension may still be missing."""
    for key, split in found.items():
        class_folders = _ordered_names(split.class_names)
        for label, rows in splits.rows_by_class(split.labels):
            class_path = os.path.join(output, _FOLDERS[key], class_folders[label])
            os.makedirs(class_path, exist_ok=True)
            names = _ordered_names([split.names[int(row)].split("/")[-1] for row in rows])
            for row, name in zip(rows, names, strict=True):
                yield split, int(row), os.path.join(class_path, name)


def _write(split: splits.Split, row: int, path: str) -> bool:
    """Writes one image unless it is there; returns whether it did."""
    if os.path.splitext(path)[1].lower() in folder.EXTENSIONS:
        if os.path.exists(path):
            return False
        _write_whole(path, _read(split, row))
        return True
    if any(os.path.exists(path + extension) for extension in folder.EXTENSIONS):
        return False
    encoded = _read(split, row)
    kind = formats.sniff(encoded)
    _write_whole(path + (f".{kind}" if kind else _UNKNOWN_EXTENSION), encoded)
    return True


def _read(split: splits.Split, row: int) -> bytes:
    try:
        return split.read(row)
    except OSError as error:  # Not to be taken for one of the folder that is written to.
        reason = one_line(error.strerror or error)
        raise images.UnreadFile(f"cannot be read: {reason}") from error


def _write_whole(path: str, content: bytes) -> None:
    with whole_files.writing(path, syncs=False) as file:
        file.write(content)


def _ordered_names(names: Sequence[str]) -> list[str]:
    """Returns different file names that sort in the order of `names`, close to them."""
    width = max(len(name) for name in names)
    if all(name.isdecimal() for name in names):
        safe = [name.zfill(width) for name in names]
    else:
        safe = [_safe(name) for name in names]
    # Two names that differ in case alone are one file on some systems.
    if safe == sorted(safe) and len({name.casefold() for name in safe}) == len(safe):
        return safe
    digits = len(str(len(names)))
    return [f"{number:0{digits}d}_{name}" for number, name in enumerate(safe)]


def _safe(name: str) -> str:
    # Bytes that are no text are written as such.
    text = name.encode(errors="backslashreplace").decode()
    stem, extension = os.path.splitext(_UNSAFE.sub("_", text))
    if extension.lower() not in folder.EXTENSIONS:
        stem, extension = stem + extension, ""
    short = stem.encode()[:_LONGEST_NAME].decode(errors="ignore")
    return (short.lstrip(".").rstrip(". ") or "_") + extension
