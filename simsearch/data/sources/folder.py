"""A folder of class folders, or of train, val and test folders of them, as a source."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

import numpy as np

from simsearch import progress, wording
from simsearch.data import splits
from simsearch.data.decoding import images
from simsearch.data.sources import layout
from simsearch.errors import RunError, UsageError

EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .tif .tiff .ppm .pgm .pbm .pnm".split()
)
# What lies beside images without being one: captions, tables, archives, what a system leaves.
_COMPANIONS = frozenset(
    ".txt .csv .tsv .json .jsonl .xml .yaml .yml .md .html .pdf .log .ini .db .npy .npz .mat .pkl"
    " .parquet .py .zip .tar .gz .tgz .7z".split()
)
_LAYOUT = "expected class folders of images, or train, val and test folders of them"


def load(
    path: str, *, valid_fraction: float, test_fraction: float, split_seed: int
) -> dict[str, splits.Split]:
    """Returns the splits of a folder; no file is opened before it is read.

    Args:
        path: The folder. Hidden files are left out, and, with a warning, images in no class folder
            and files there without an image's extension.
        valid_fraction: Share of each class's train images, where there is no validation folder.
        test_fraction: Share of each class's train images, where there is no test folder.
        split_seed: Chooses those images.

    Raises:
        UsageError: The folder is missing or not laid out so.
        RunError: The folder cannot be listed.
    """
    if not path:
        raise UsageError(f"{_LAYOUT}, but data.path is empty: set it to the folder")
    root = os.path.abspath(os.path.expanduser(path))
    if not os.path.isdir(root):
        came = "is a file" if os.path.exists(root) else "does not exist"
        raise UsageError(f"{_LAYOUT}, but {root} {came}: check data.path")
    with listing(root):
        found = _find(root)
    return splits.standardise(
        found,
        valid_fraction=valid_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        where=root,
        by_name=True,
    )


@contextlib.contextmanager
def listing(root: str) -> Iterator[None]:
    """Raises RunError where the block cannot list what lies below a folder."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"expected to list the images below {root}, but {error.strerror}: {error.filename}; "
            "check its permissions"
        ) from error


def _find(root: str) -> dict[str, splits.Split]:
    split_folders = _split_folders(root)
    class_folders = {name: _folders(folder) for name, folder in split_folders.items()}
    for name, folders in class_folders.items():
        if not folders:
            raise UsageError(
                f"{_LAYOUT}; {split_folders[name]} has no class folders: sort its images into one "
                "folder for each class"
            )
    class_names = tuple(sorted({name for folders in class_folders.values() for name in folders}))
    found = {}
    left_out = [path for folder in {root, *split_folders.values()} for path in _loose(folder)]
    for name, folders in class_folders.items():
        found[name] = _scan(
            root, folders, class_names=class_names, must_fill=name == "train", left_out=left_out
        )
        if not len(found[name].labels):
            raise UsageError(
                f"expected images in the class folders of {split_folders[name]}, found none: add "
                "images or remove the folder"
            )
    warn_left_out(left_out, root, read="lies in a class folder and ends in")
    return found


def warn_left_out(paths: Sequence[str], root: str, *, read: str) -> None:
    """Says how many files below a folder were left out, where there are any.

    Args:
        paths: The files that were left out.
        root: The folder.
        read: What is true of those that are read, up to the extension.
    """
    if paths:
        progress.log.warning(
            "left out: %s below %s, such as %r; what is read %s %s",
            wording.counted(len(paths), "file"),
            root,
            os.path.relpath(min(paths), root),
            read,
            listed_extensions(),
        )


def listed_extensions() -> str:
    """Returns the extensions of what is read, in words."""
    return ", ".join(sorted(EXTENSIONS))


def _loose(folder: str) -> list[str]:
    """Returns the visible images that lie in a folder itself."""
    with os.scandir(folder) as entries:
        return [entry.path for entry in entries if _is_image(entry)]


def _is_image(entry: os.DirEntry) -> bool:
    is_named_so = os.path.splitext(entry.name)[1].lower() in EXTENSIONS
    return is_named_so and not entry.name.startswith(".") and os.path.isfile(entry.path)


def _check_no_splits(root: str, folders: dict[str, str]) -> None:
    """Raises UsageError where folders that would be classes look like splits of other names.

    One is named after training, and they have the same folders: cats and dogs may both have some
    for the front and the side.
    """
    # First of all: to look into the folders takes long where they hold a million images.
    if not any("train" in name.lower() for name in folders):
        return
    inside = [list(_folders(folder)) for folder in folders.values()]
    if len(inside) > 1 and inside[0] and all(names == inside[0] for names in inside):
        raise UsageError(
            f"{_LAYOUT}; {wording.listed(folders)} in {root} have the same folders "
            f"{wording.listed(inside[0])} and look like splits: name them train, val and test, or, "
            "if they are classes, put their images into them without folders"
        )


def _split_folders(root: str) -> dict[str, str]:
    """Returns the folder of each split; the root itself is train where it holds the classes."""
    folders = _folders(root)
    named = layout.split_folders(folders, has_folders=lambda name: bool(_folders(folders[name])))
    if not named:
        _check_no_splits(root, folders)
        return {"train": root}
    if "train" not in named.values():
        raise UsageError(
            f"{_LAYOUT}; {root} has {wording.listed(folders)} but no train folder with "
            "class folders: add one"
        )
    found: dict[str, str] = {}
    for name, split in named.items():
        if split in found:
            raise UsageError(
                f"expected one {split} folder in {root}, found "
                f"{os.path.basename(found[split])!r} and {name!r}: rename or remove one"
            )
        found[split] = folders[name]
    beside = [name for name in folders if name not in named and _has_images(folders[name])]
    if beside:
        progress.log.warning(
            "%s is taken for splits: the images in %s beside %s are not read",
            root,
            wording.listed(beside),
            wording.listed(map(os.path.basename, found.values())),
        )
    return found


def _has_images(folder: str) -> bool:
    return next(iter(images_below(folder)), None) is not None


def _folders(path: str) -> dict[str, str]:
    """Returns the visible folders inside a folder: path by name, sorted by name."""
    with os.scandir(path) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
        by_name = sorted(visible, key=lambda entry: entry.name)
        return {entry.name: entry.path for entry in by_name if os.path.isdir(entry.path)}


def _scan(
    root: str,
    class_folders: dict[str, str],
    *,
    class_names: tuple[str, ...],
    must_fill: bool,
    left_out: list[str],
) -> splits.Split:
    labels: list[int] = []
    paths: list[str] = []
    stamps: list[tuple[int, int]] = []
    numbers = {class_name: number for number, class_name in enumerate(class_names)}
    for class_name, folder in class_folders.items():
        files = sorted(images_below(folder, left_out=left_out))
        if must_fill and not files:
            raise UsageError(
                f"expected images in the class folder {folder}, found none "
                f"({listed_extensions()}): add images or remove the folder"
            )
        labels.extend([numbers[class_name]] * len(files))
        paths.extend(path for path, _ in files)
        stamps.extend(stamp for _, stamp in files)
    names = [os.path.relpath(path, root).replace(os.sep, "/") for path in paths]
    return splits.Split(
        labels=np.asarray(labels, np.int32),
        class_names=class_names,
        names=names,
        read=lambda i: read_file(paths[i]),
        fingerprint=splits.digest(class_names, names, labels, stamps),
        num_bytes=np.asarray([size for size, _ in stamps], np.int64),
    )


def images_below(
    folder: str,
    *,
    seen: set[tuple[int, int]] | None = None,
    left_out: list[str] | None = None,
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yields the path and (bytes, modification time in ns) of every image below a folder.

    Args:
        folder: Hidden files and files without an image's extension are left out.
        seen: Folders, by device and inode, that are not entered; this ends loops of links.
        left_out: List to which the path of every visible file is appended that may be an image by
            another name.
    """
    seen = set() if seen is None else seen
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in sorted(visible, key=lambda entry: entry.name):
        # os.path answers where entry.is_dir() fails: at a link that leads to itself.
        if os.path.isdir(entry.path):
            yield from images_below(entry.path, seen=seen, left_out=left_out)
        elif _is_image(entry):
            status = os.stat(entry.path)
            yield entry.path, (status.st_size, status.st_mtime_ns)
        elif left_out is not None and _may_be_image(entry):
            left_out.append(entry.path)


def _may_be_image(entry: os.DirEntry) -> bool:
    extension = os.path.splitext(entry.name)[1].lower()
    return extension not in EXTENSIONS | _COMPANIONS and os.path.isfile(entry.path)


def read_file(path: str) -> bytes:
    """Returns the content of an image's file; raises UnreadFile where the disk does not give it."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise images.UnreadFile(f"cannot be read: {error.strerror}") from error
