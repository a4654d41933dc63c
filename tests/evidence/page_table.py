"""Tables in docs/ that a program makes of results: put between two comments of a page, or compared with what stands there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

BEGIN, END = "<!-- begin of the table -->\n", "<!-- end of the table -->\n"


def main(program: str, page: Path, make: Callable[[], str]) -> int:
    """The command line of such a program: write, or with `--check` only compare.

    Args:
        program: the module's name.
        page: the page.
        make: makes the text between the comments.

    Returns:
        The exit status; 1 if the page has another text.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=f"Write the tables of {page.name}.")
    parser.add_argument("--check", action="store_true", help="only say whether the page has what the results give")
    return put(program, page, make(), check=parser.parse_args().check)


def put(program: str, page: Path, text: str, *, check: bool) -> int:
    """Write the text between the two comments of a page, or only compare it.

    Args:
        program: the module that writes it, with its options.
        page: the page.
        text: what is to stand there.
        check: whether to compare only.

    Returns:
        The exit status; 1 if a page that is compared has another text.
    """
    old = page.read_text("utf-8")
    new = replaced(old, text)
    if not check:
        page.write_text(new, encoding="utf-8")
    elif old != new:
        print(f"error: docs/{page.name} has another table; run `python -m {program}`", file=sys.stderr)
        return 1
    return 0


def replaced(page: str, text: str) -> str:
    """The page with another text between the two comments.

    Raises:
        ValueError: it has not both comments.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for the table")
    return f"{before}{begin}{text}{end}{after}"
