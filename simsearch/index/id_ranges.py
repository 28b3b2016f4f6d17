"""Parts of a table by id: ids are hashes, so that each part is about as large, and random."""

import itertools

from simsearch.index.filters import tree as tree_lib


def split(count: int, *, most_rows: int) -> list[tree_lib.Filter]:
    """Returns filters that let some rows through each, and all together every row once.

    Args:
        count: Rows that there are.
        most_rows: Rows >= 1 that a part has on average at most.
    """
    digits = 0
    while count / 16**digits > most_rows:
        digits += 1
    edges = ["", *(f"{i:0{digits}x}" for i in range(1, 16**digits))]
    ranges: list[tree_lib.Filter] = []
    for low, high in itertools.zip_longest(edges, edges[1:]):
        at_least = tree_lib.Compare("id", ">=", low)
        below = () if high is None else (tree_lib.Compare("id", "<", high),)
        ranges.append(tree_lib.And((at_least, *below)))
    return ranges
