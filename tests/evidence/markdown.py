"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable


def table(head: Iterable[str], rows: Iterable[Iterable[str]], *, right: int | None = None) -> str:
    """A table, with a line's end after each row.

    Args:
        head: names of the columns.
        rows: as many cells as there are columns.
        right: the first of the columns that are numbers and stand on the right; none where it is None.
    """
    names = list(head)
    rule = ["---" if right is None or index < right else "---:" for index in range(len(names))]
    return "".join(f"| {' | '.join(line)} |\n" for line in (names, rule, *rows))
