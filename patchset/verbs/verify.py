"""``verify``: is every patch well-formed, does it apply as its header says, and is the result the locked one?"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import tomlkit
from packaging.version import Version
from rich.console import Console

from patchset.checks import claims, other_tools
from patchset.checks import reproducible as _reproduce
from patchset.dist.build import build_wheels
from patchset.errors import PatchsetError
from patchset.pins import RELEASES, Release, find, load, select
from patchset.series import headers as _headers
from patchset.series.digest import tree_digest
from patchset.series.patch import read_series
from patchset.series.tree import patch_tree
from patchset.sources.sdists import obtain


@dataclass
class Report:
    """What was checked of one release.

    Attributes:
        release: its version.
        passed: names of the checks that passed.
        failed: messages of those that did not.
        skipped: what could not be checked here, and why.
    """

    release: str
    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def check(self, name: str, action: Callable[[], object]) -> None:
        """Run a check, which fails by raising `PatchsetError` and is skipped by raising `other_tools.Missing`."""
        try:
            action()
        except other_tools.Missing as missing:
            self.skipped.append(f"{name}: {missing}")
        except PatchsetError as error:
            self.failed.append(f"{name}: {error}")
        else:
            self.passed.append(name)


def run(options: argparse.Namespace) -> int:
    """Check the named releases; exit status 1 if any check of any of them fails."""
    releases = select(options.releases, options.all)
    console = Console(stderr=options.json)
    if options.update:
        with console.status("building the wheels whose digests are locked"):
            _update(releases, options.sdist)
        releases = _again(releases)
    reports = []
    for release in releases:
        with console.status(f"verifying {release.version}"):
            report = verify(release, options.sdist, reproducible=options.reproducible)
            if options.style and "zero fuzz" in report.passed:
                report.check("style", lambda release=release: _style(release, options.sdist))  # type: ignore[misc]
            if options.tests and "zero fuzz" in report.passed:
                report.check("tests", lambda release=release: claims.tests(release, options.python))  # type: ignore[misc]
        reports.append(report)
        mark = "[red]failed[/]" if report.failed else "[green]ok[/]"
        console.print(
            f"{release.patched_version}: {mark}  {', '.join(report.passed)}", highlight=False, soft_wrap=True
        )
        for message in report.failed:
            console.print(f"  failed  {message}", style="red", highlight=False, markup=False, soft_wrap=True)
        for message in report.skipped:
            console.print(f"  skipped {message}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    if options.json:
        json.dump([vars(report) for report in reports], sys.stdout, indent=2)
        print()
    return int(any(report.failed for report in reports))


def verify(release: Release, sdist: str | None = None, *, reproducible: bool = False) -> Report:
    """Run every check on one release.

    Args:
        release: the pin.
        sdist: upstream's sdist, or a folder of them.
        reproducible: also build the wheel under varied conditions, which takes a while.
    """
    report = Report(release.version)
    report.check("pin", lambda: obtain(release, sdist))
    report.check("headers", lambda: _headers.check(read_series(release.series_dir)))
    report.check("applied upstream", lambda: claims.applied_upstream(release))
    if report.failed:
        return report  # what follows would only repeat it
    with tempfile.TemporaryDirectory() as scratch:
        ours = Path(scratch)
        strict = is_newest_of_series(release)
        report.check("zero fuzz", lambda: patch_tree(release, ours, sdist, allow_offsets=not strict))
        if report.failed:
            return report
        digest = tree_digest(ours / release.folder)
        report.check("locked digest", lambda: _compare(release, digest))
        for tool in other_tools.TOOLS:
            report.check(tool, lambda tool=tool: other_tools.check(tool, release, digest, sdist))  # type: ignore[misc]
    if reproducible:
        for wheel in release.wheels:
            name = "tagged wheel reproducible" if wheel.tagged else "reproducible"
            report.check(name, lambda wheel=wheel: _reproduce.check(wheel, sdist))  # type: ignore[misc]
    return report


def _style(release: Release, sdist: str | None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        tree = patch_tree(release, Path(scratch), sdist)
        claims.style(tree.path, tree.changed)


def is_newest_of_series(release: Release) -> bool:
    """Whether hunks must lie where their headers say: a series says so for the newest release that it serves."""
    versions = [Version(other.version) for other in load() if other.series == release.series]
    return Version(release.version) == max(versions)


def _compare(release: Release, digest: str) -> None:
    if digest != release.tree:
        raise PatchsetError(
            f"the tree's is {digest}, locked is {release.tree}; if it was meant to change, add --update"
        )


def _update(releases: list[Release], sdist: str | None) -> None:
    """Lock the digests that the patches give now: the trees', which builds ask for, and then the wheels'."""
    found = {}
    for release in releases:
        with tempfile.TemporaryDirectory() as scratch:
            found[release.version] = tree_digest(patch_tree(release, Path(scratch), sdist).path)
    _lock("tree", found)
    releases = _again(releases)
    with tempfile.TemporaryDirectory() as scratch:
        for field, tagged in (("wheel", False), ("tagged_wheel", True)):
            wheels = build_wheels(releases, Path(scratch), sdist, tagged=tagged)
            digests = [hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels]
            _lock(field, {release.version: digest for release, digest in zip(releases, digests, strict=True)})


def _lock(field: str, found: dict[str, str]) -> None:
    """Write one field of some releases into the pins; comments and order stay."""
    document = tomlkit.parse(RELEASES.read_text(encoding="utf-8"))
    for entry in document["release"]:
        if entry["version"] in found:
            entry[field] = found[entry["version"]]
    RELEASES.write_text(tomlkit.dumps(document), encoding="utf-8")


def _again(releases: list[Release]) -> list[Release]:
    """The same releases, as the pins have them now."""
    return [find(release.version, load()) for release in releases]
