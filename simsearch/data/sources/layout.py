"""How folders of images are laid out: which folder on a file's way down is its class."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from simsearch.data import splits


def split_folders(names: Iterable[str], *, has_folders: Callable[[str], bool]) -> dict[str, str]:
    """Returns the split of each folder that stands for one; none where they are all classes.

    "train" is also a thing to take pictures of, and a class may have folders of its own: folders
    named as splits are splits where one for training has class folders, or where no other folder
    stands beside them.

    Args:
        names: The folders at the top.
        has_folders: Whether one of them has folders of its own.
    """
    names = list(names)
    named = {name: split for name in names if (split := splits.standard_name(name))}
    trains = [name for name, split in named.items() if split == "train"]
    return named if len(named) == len(names) or any(map(has_folders, trains)) else {}


def class_folders(paths: Iterable[str]) -> list[str]:
    """Returns the class folder of each image of a folder; "" where it is in none.

    It is the first folder, or the second where the first is a split.

    Args:
        paths: All its images, below the folder, with slashes.
    """
    ways = [path.split("/")[:-1] for path in paths]
    deep = {way[0] for way in ways if len(way) > 1}
    taken = split_folders({way[0] for way in ways if way}, has_folders=deep.__contains__)
    return [next(iter(way[1:] if way and way[0] in taken else way), "") for way in ways]
