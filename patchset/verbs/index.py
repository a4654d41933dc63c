"""``index``: static package indexes beside the wheels."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from patchset.errors import PatchsetError
from patchset.pins import load
from patchset.verbs.options import add_json
from patchset.verbs.printing import print_json

EXAMPLE = "index dist"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dist", nargs="?", default="dist", metavar="FOLDER", help="default: %(default)s")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Write the indexes; exit status 1, and nothing written, where a file is damaged or not the released one."""
    from patchset.dist.artifacts import scan  # late, so that --help is quick
    from patchset.dist.index import OWN, compare, write

    folder = Path(options.dist)
    files, foreign = scan(folder)
    if not any(file.is_wheel for file in files):
        raise PatchsetError(
            f"{folder} holds no patched wheel; `python -m patchset build --all -o {folder}` makes them"
        )
    for path in foreign:
        if path.name not in OWN and not path.name.endswith(".metadata"):
            print(f"left out: {path.name} is no patched peft", file=sys.stderr)
    compare(files, load())
    indexes = [str(path) for path in write(folder, files)]
    if options.json:
        described = [{"file": file.path.name, "sha256": file.sha256} for file in files]
        print_json({"indexes": indexes, "files": described})
    else:
        print("\n".join(indexes))
    return 0
