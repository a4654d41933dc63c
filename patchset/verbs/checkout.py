"""``checkout``: a release's series as commits in a git work tree."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from patchset.commits.worktree import default_folder, lay_out
from patchset.pins import find, load
from patchset.series.patch import series_files, slug


def run(options: argparse.Namespace) -> int:
    """Make the work tree and print its path."""
    release = find(options.release, load())
    folder = Path(options.folder) if options.folder else default_folder(release)
    mails = [(slug(path), path) for path in series_files(release.series_dir)]
    console = Console(stderr=True)
    with console.status(f"checking out {release.version}"):
        lay_out(release, folder, mails, options.sdist)
    console.print(
        f"peft {release.version} with {len(mails)} patches, one commit each on the tag `stock`. Amend, rebase, add or "
        f"drop commits there; then `python -m patchset export {release.version}{_named(options.folder)}`",
        highlight=False,
        soft_wrap=True,
    )
    print(folder)
    return 0


def _named(folder: str | None) -> str:
    return f" {folder}" if folder else ""
