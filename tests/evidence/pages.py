"""``python -m tests.evidence.pages``: write the tables of docs/ from the results; with `--check`, say which page has others.

A table stands between ``<!-- begin of the table -->`` and ``<!-- end of the table -->``; a page with several has names in these
comments, as in ``<!-- begin of the table of the tower -->``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import build_profile, build_speed
from tests.distributed import table as distributed_table
from tests.evidence import frameworks_table, tables

DOCS = Path(__file__).parents[2] / "docs"

# What makes a page's texts, by the names of its tables; a page's only one has the name "".
PAGES: Mapping[str, Callable[[], Mapping[str, str]]] = {
    "building": lambda: {
        "": build_speed.text(tables.read("build_speed.json", tables.BENCHMARKS)[0]),
        "the profile": build_profile.text(tables.read("build_profile.json", tables.BENCHMARKS)[0]),
    },
    "cost": lambda: {"": tables.cost()},
    "distributed": lambda: {
        "the tower": tables.tower(),
        "the runs": distributed_table.text(tables.read("*.json", tables.DISTRIBUTED)),
    },
    "frameworks": lambda: {"": frameworks_table.text(tables.read("frameworks/*.json"))},
    "oracle": lambda: {"": tables.oracle()},
    "upstream-tests": lambda: {"": tables.upstream()},
    "zoo": lambda: {"": tables.zoo()},
}


def replaced(page: str, texts: Mapping[str, str]) -> str:
    """The page with these texts between the comments.

    Args:
        page: what is on it now.
        texts: what is to stand there, by the names of the tables.

    Raises:
        ValueError: it has not both comments of one of them.
    """
    for name, text in texts.items():
        of = f" of {name}" if name else ""
        begin, end = f"<!-- begin of the table{of} -->\n", f"<!-- end of the table{of} -->\n"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"the page has no place for the table{of}")
        page = f"{before}{begin}{text}{end}{after}"
    return page


def main() -> int:
    """Write, or compare; exit status 1 if a page that is compared has other tables."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.evidence.pages", description="Write the tables of docs/ from the results."
    )
    parser.add_argument("--check", action="store_true", help="only say which page has other tables")
    check, status = parser.parse_args().check, 0
    for name, make in PAGES.items():
        path = DOCS / f"{name}.md"
        old = path.read_text("utf-8")
        new = replaced(old, make())
        if old == new:
            continue
        if check:
            print(f"error: docs/{name}.md has other tables; run `python -m tests.evidence.pages`", file=sys.stderr)
            status = 1
        else:
            path.write_text(new, encoding="utf-8")
            print(f"docs/{name}.md")
    return status


if __name__ == "__main__":
    sys.exit(main())
