"""``lock``: what to paste into a project, so that its locker takes one patched wheel and keeps it."""

from __future__ import annotations

import argparse
from pathlib import Path

from patchset.pins import Wheel, select
from patchset.verbs.options import add_json, add_tagged
from patchset.verbs.printing import print_json

FORMATS = ("pip", "uv", "poetry", "pdm", "pylock")
EXAMPLE = "lock 0.18.1 --for uv --index ADDRESS/simple"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("release", metavar="RELEASE")
    parser.add_argument("--for", dest="format", required=True, choices=FORMATS, help="the locker")
    parser.add_argument("--index", metavar="URL", help="where the wheels are served; default: the folder's own")
    parser.add_argument("--dist", default="dist", metavar="FOLDER", help="default: %(default)s")
    add_tagged(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the lines to paste; with ``--json`` the version, file, hash and addresses as well."""
    from patchset.dist.lockers import WRITERS, pinned  # late, so that --help is quick

    release = select([options.release])[0]
    pin = pinned(Wheel(release, options.tagged), Path(options.dist), options.index)
    text = WRITERS[options.format](pin)
    if options.json:
        print_json({**vars(pin), "url": pin.url, "text": text})
    else:
        print(text, end="")
    return 0
