"""``doctor``: which peft is installed or asked for, is it affected, and is a patched one as it was released?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from patchset.doctor import installed as _installed
from patchset.doctor import requested
from patchset.pins import load

_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


def run(options: argparse.Namespace) -> int:
    """Print what was found; exit status 1 where there is something to do."""
    if options.file:
        findings = requested.examine(Path(options.file), load())
    else:
        findings = _installed.examine(options.python, load())
    if options.json:
        print(json.dumps([vars(finding) for finding in findings], indent=2))
    else:
        console = Console()
        for finding in findings:
            console.print(
                f"{finding.level}: {finding.text}", style=_COLOURS[finding.level], markup=False, soft_wrap=True
            )
    return int(any(finding.level == "problem" for finding in findings))
