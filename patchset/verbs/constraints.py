"""``constraints``: pin what a build takes, by hash."""

from __future__ import annotations

import argparse

from patchset.pins import CONSTRAINTS, ROOT

EXAMPLE = "constraints"


def add_options(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(options: argparse.Namespace) -> int:
    """Write the file, and print its name."""
    from patchset.dist import constraints  # late, so that --help is quick

    constraints.renew()
    constraints.check()
    print(CONSTRAINTS.relative_to(ROOT))
    return 0
