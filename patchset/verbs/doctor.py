"""``doctor``: which peft is installed or asked for, is it affected, and is a patched one as it was released?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from patchset.errors import PatchsetError
from patchset.pins import load
from patchset.verbs.options import add_json
from patchset.verbs.printing import console, print_json

if TYPE_CHECKING:
    from patchset.doctor.findings import Finding

_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


EXAMPLE = "doctor requirements.txt"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="a requirements or lock file, or a pyproject.toml; default: what is installed",
    )
    parser.add_argument("--python", default=sys.executable, metavar="PATH", help="whose environment to look at")
    parser.add_argument(
        "--import",
        dest="imported",
        action="append",
        default=[],
        metavar="MODULE",
        help="also import this there, and see what it replaces in peft; may be repeated",
    )
    parser.add_argument(
        "--verify",
        metavar="SHA256SUMS",
        help="compare with these published digests instead of the locked ones; FILE is a downloaded wheel then",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print what was found, as it is found; exit status 1 where there is something to do."""
    from patchset.doctor import installed, published, requested  # late, so that --help is quick

    if options.file and options.imported:
        raise PatchsetError("--import looks into an environment; leave FILE out")
    found: Iterable[Finding]
    releases, sums = load(), {}
    if options.verify:
        sums = published.read(Path(options.verify))
        releases = published.instead(releases, sums)
    if options.file and options.verify:
        found = published.of_wheel(Path(options.file), sums)
    elif options.file:
        found = requested.examine(Path(options.file), releases)
    else:
        found = installed.examine(options.python, releases, options.imported)
    findings = []
    for finding in found:
        findings.append(finding)
        if not options.json:
            console().print(f"{finding.level}: {finding.text}", style=_COLOURS[finding.level], markup=False)
            sys.stdout.flush()  # what comes next may take a while
    if options.json:
        print_json(findings)
    return int(any(finding.level == "problem" for finding in findings))
