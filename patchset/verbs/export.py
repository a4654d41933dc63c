"""``export``: a work tree's commits back to the patch files of its series, without noise in the diff."""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from patchset.commits.worktree import default_folder, lay_out, opened
from patchset.commits.write_back import Change, digest, swap, written
from patchset.errors import PatchsetError
from patchset.pins import Release, find, load, lock
from patchset.series import headers
from patchset.series.patch import read_series
from patchset.sources.sdists import Sdists
from patchset.verbs.options import add_folder, add_json, add_sdist
from patchset.verbs.printing import console, print_json


@dataclasses.dataclass(frozen=True)
class Fit:
    """Whether a release takes the exported series: with its digest locked, or not, and why."""

    release: str
    applies: bool
    message: str


EXAMPLE = "export 0.18.1 --line"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("release", metavar="RELEASE")
    add_folder(parser)
    add_sdist(parser)
    parser.add_argument("--line", action="store_true", help="try and lock every release that shares the series, too")
    parser.add_argument(
        "--refresh", action="store_true", help="rewrite the patch files from themselves, after `quilt refresh`"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Export; exit status 1 if with ``--line`` a release of the line does not take the series any more."""
    release = find(options.release, load())
    shown = console(stderr=True)
    sdists = Sdists(options.sdist, [release])
    if options.refresh and options.folder:
        raise PatchsetError("--refresh rewrites the patch files from themselves; name no work tree")
    with shown.status(f"exporting {release.version}"), _tree(release, sdists, options) as tree:
        with written(release, tree, sdists) as series:
            changes = swap(series, release.series_dir)
            fits = _fit(release, sdists, options.line)
    if options.json:
        print_json({"series": release.series, "patches": changes, "releases": fits})
    else:
        _print(release, changes, fits)
    try:
        headers.check(read_series(release.series_dir))
    except PatchsetError as error:
        shown.print(f"`verify` will refuse patches/{error}", style="yellow", markup=False)
    return int(any(not fit.applies for fit in fits))


@contextmanager
def _tree(release: Release, sdists: Sdists, options: argparse.Namespace) -> Iterator[Path]:
    """The work tree to export: the one named, the default one, or with ``--refresh`` one made from the files."""
    if not options.refresh:
        yield opened(release, Path(options.folder) if options.folder else default_folder(release))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / release.folder
        lay_out(release, folder, sdists)
        yield folder


def _fit(release: Release, sdists: Sdists, line: bool) -> list[Fit]:
    """Lock the release's digest, with `line` those of all releases that share its series."""
    sharing = [other for other in load() if other.series == release.series]
    digests, fits = {}, []
    for other in sharing if line else [release]:
        try:
            digests[other.version] = digest(other, release.series, sdists)
        except PatchsetError as error:
            fits.append(Fit(other.version, False, str(error)))
        else:
            same = digests[other.version] == other.tree
            fits.append(Fit(other.version, True, "as before" if same else "locked its new digest"))
    lock({version: {"tree": found} for version, found in digests.items()})
    return fits


def _print(release: Release, changes: list[Change], fits: list[Fit]) -> None:
    for change in changes:
        print(f"patches/{release.series}/{change.name}: {change.kind}")
    for fit in fits:
        print(f"{fit.release}: {'applies' if fit.applies else 'no longer applies'}, {fit.message}")
    told = {fit.release for fit in fits}
    sharing = [other.version for other in load() if other.series == release.series]
    if untold := [version for version in sharing if version not in told]:
        print(f"{', '.join(untold)}: same series, not looked at; add --line")
    if sharing[-1] != release.version:
        print(f"line numbers are now those of {release.version}, but must be those of {sharing[-1]}; export that too")
    for fit in fits:
        if not fit.applies:
            print(
                f"give {fit.release} a series of its own, patches/{fit.release}: "
                f"`python -m patchset adopt {fit.release}`"
            )
