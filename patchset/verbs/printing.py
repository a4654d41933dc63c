"""How verbs talk: tables that wrap, bars on a terminal alone, colours unless ``NO_COLOR`` says no, JSON for scripts.

rich is imported by what needs it, so that ``--help`` is quick.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table


def console(*, stderr: bool = False) -> Console:
    """A console for people. With ``NO_COLOR`` (https://no-color.org) it prints no styles at all, bold neither."""
    from rich.console import Console

    color = None if os.environ.get("NO_COLOR") else "auto"
    return Console(stderr=stderr, color_system=color, highlight=False, soft_wrap=True)  # type: ignore[arg-type]


def table(*headers: str) -> Table:
    """An empty table whose cells wrap where the terminal is narrow, rather than being cut."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD)
    for header in headers:
        made.add_column(header, overflow="fold")
    return made


def print_table(shown: Console, headers: Sequence[str], *rows: Sequence[str]) -> None:
    """Print what `table` would give, but quicker where nothing has to be wrapped: rich takes a second for 1,500 rows.

    Only a terminal has a width; elsewhere each row is one line.

    Args:
        shown: where.
        headers: of the columns.
        rows: as many cells as there are headers.
    """
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    line = sum(widths) + 3 * len(widths) - 1
    if shown.is_terminal and line + 2 > shown.width:
        from rich.markup import escape

        wrapped = table(*headers)
        for row in rows:
            wrapped.add_row(*map(escape, row))
        shown.print(wrapped)
        return
    head, *lines = ("  " + "   ".join(map(str.ljust, row, widths)).rstrip() for row in (headers, *rows))
    shown.print(f"\n{head}", style="bold", markup=False)
    print(f" {'─' * line}", *lines, "", sep="\n", file=shown.file)


def progress() -> Progress:
    """A bar on standard error, if that is a terminal; gone when it is done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    shown = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=shown, disable=not shown.is_terminal, transient=True)


def print_json(found: object) -> None:
    """Print JSON; data classes become objects."""
    print(json.dumps(found, indent=2, default=dataclasses.asdict))
