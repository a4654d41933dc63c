"""``doctor``: which peft is installed or asked for, is it affected, and is a patched one as it was released?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from patchset.pins import load
from patchset.verbs.options import add_json
from patchset.verbs.printing import console, print_json

_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


EXAMPLE = "doctor requirements.txt"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="a requirements or lock file or a pyproject.toml; default: what is installed",
    )
    parser.add_argument("--python", default=sys.executable, metavar="PATH", help="whose environment to look at")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print what was found; exit status 1 where there is something to do."""
    from patchset.doctor import installed, requested  # late, so that --help is quick

    if options.file:
        findings = requested.examine(Path(options.file), load())
    else:
        findings = installed.examine(options.python, load())
    if options.json:
        print_json([vars(finding) for finding in findings])
    else:
        for finding in findings:
            console().print(f"{finding.level}: {finding.text}", style=_COLOURS[finding.level], markup=False)
    return int(any(finding.level == "problem" for finding in findings))
