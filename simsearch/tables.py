"""Tables of text."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows, the header first, as lines: names, in the first column, to the left.

    All else is to the right, and so are numbers in the first column.

    Args:
        rows: The cells of each, as many in one as in another.
    """
    is_numbered = all(first.isdigit() for first, *_ in rows[1:])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.rjust(widths[0]) if is_numbered else first.ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
