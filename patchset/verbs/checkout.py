"""``checkout``: a release's series as commits in a git work tree."""

from __future__ import annotations

import argparse
from pathlib import Path

from patchset.commits.worktree import default_folder, lay_out
from patchset.pins import find, load
from patchset.series.patch import series_files
from patchset.sources.sdists import Sdists
from patchset.verbs.options import add_folder, add_sdist
from patchset.verbs.printing import console

EXAMPLE = "checkout 0.18.1"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("release", metavar="RELEASE")
    add_folder(parser)
    add_sdist(parser)


def run(options: argparse.Namespace) -> int:
    """Make the work tree and print its path."""
    release = find(options.release, load())
    folder = Path(options.folder) if options.folder else default_folder(release)
    patches = series_files(release.series_dir)
    named = (release.version, options.folder)
    shown = console(stderr=True)
    with shown.status(f"checking out {release.version}"):
        lay_out(release, folder, Sdists(options.sdist, [release]))
    shown.print(
        f"peft {release.version} with {len(patches)} patches, one commit each on the tag `stock`. Amend, rebase, add or "
        f"drop commits there; then `python -m patchset export {' '.join(filter(None, named))}`",
    )
    print(folder)
    return 0
