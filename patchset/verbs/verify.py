"""``verify``: is every patch well-formed, does it apply as its header says, and is the result the locked one?"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from patchset.checks import claims, cyclonedx, other_tools, reproducible
from patchset.commits.write_back import digest as series_digest
from patchset.dist import constraints
from patchset.errors import PatchsetError
from patchset.files import sha256
from patchset.pins import Release, find, load, lock, select
from patchset.series import headers
from patchset.series.digest import tree_digest
from patchset.series.patch import read_series
from patchset.series.tree import patch_tree
from patchset.sources.sdists import Sdists
from patchset.verbs.options import add_json, add_python, add_releases
from patchset.verbs.printing import console, print_json


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


EXAMPLE = "verify --all"


def add_options(parser: argparse.ArgumentParser) -> None:
    add_releases(parser)
    parser.add_argument(
        "--reproducible",
        action="store_true",
        help="also build each wheel under varied conditions and compare the bytes",
    )
    parser.add_argument(
        "--update",
        action="store_true",
        help="write the digests found into vendor/releases.toml, after changing a patch",
    )
    parser.add_argument("--style", action="store_true", help="also run upstream's ruff, as it pins and configures it")
    parser.add_argument(
        "--tests", action="store_true", help="also run each patch's tests without and with it (minutes)"
    )
    add_python(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Check the named releases; exit status 1 if any check of any of them fails."""
    releases = select(options.releases, options.all)
    shown = console(stderr=options.json)
    sdists = Sdists(options.sdist, releases)
    if options.update:
        with shown.status("building the wheels whose digests are locked"):
            _update(releases, sdists, options.sdist)
        releases = _again(releases)
    reports = []
    for release in releases:
        with shown.status(f"verifying {release.version}"):
            report = verify(release, sdists)
            if "zero fuzz" in report.passed:
                _further(report, release, sdists, options)
        reports.append(report)
        mark = "[red]failed[/]" if report.failed else "[green]ok[/]"
        shown.print(f"{release.patched_version}: {mark}  {', '.join(report.passed)}")
        for message in report.failed:
            shown.print(f"  failed  {message}", style="red", markup=False)
        for message in report.skipped:
            shown.print(f"  skipped {message}", style="yellow", markup=False)
    if options.json:
        print_json(reports)
    return int(any(report.failed for report in reports))


def verify(release: Release, sdists: Sdists) -> Report:
    """Run the checks that take seconds on one release."""
    report = Report(release.version)
    report.check("pin", lambda: sdists.obtain(release))
    report.check("build pins", constraints.check)
    report.check("headers", lambda: headers.check(read_series(release.series_dir)))
    report.check("applied upstream", lambda: claims.applied_upstream(release, sdists))
    if report.failed:
        return report  # what follows would only repeat it
    with tempfile.TemporaryDirectory() as scratch:
        ours = Path(scratch)
        # hunks must lie where their headers say in the newest release that the series serves
        newest = [other.version for other in load() if other.series == release.series][-1]
        offsets = release.version != newest
        report.check("zero fuzz", lambda: patch_tree(release, ours, sdists, allow_offsets=offsets))
        if report.failed:
            return report
        digest = tree_digest(ours / release.folder)
        report.check("locked digest", lambda: _compare(release, digest))
        report.check("SBOM", lambda: cyclonedx.check(release))
        for tool in other_tools.TOOLS:
            report.check(tool, lambda tool=tool: other_tools.check(tool, release, digest, sdists))  # type: ignore[misc]
    return report


def _further(report: Report, release: Release, sdists: Sdists, options: argparse.Namespace) -> None:
    """What takes longer, and was asked for."""
    if options.reproducible:
        for wheel in release.wheels:
            name = "tagged wheel reproducible" if wheel.tagged else "reproducible"
            report.check(name, lambda wheel=wheel: reproducible.check(wheel, options.sdist))  # type: ignore[misc]
    if options.style:
        report.check("style", lambda: _style(release, sdists))
    if options.tests:
        report.check("tests", lambda: claims.tests(release, options.python, sdists))


def _style(release: Release, sdists: Sdists) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        tree = patch_tree(release, Path(scratch), sdists)
        claims.style(tree.path, tree.changed)


def _compare(release: Release, digest: str) -> None:
    if digest != release.tree:
        raise PatchsetError(
            f"the tree's is {digest}, locked is {release.tree}; if it was meant to change, add --update"
        )


def _update(releases: list[Release], sdists: Sdists, sdist: str | None) -> None:
    """Lock the digests that the patches give now: the trees', which builds ask for, and then the wheels'."""
    from patchset.dist.build import build_wheels  # late, so that --help is quick

    lock({release.version: {"tree": series_digest(release, release.series, sdists)} for release in releases})
    releases = _again(releases)
    with tempfile.TemporaryDirectory() as scratch:
        for field, tagged in (("wheel", False), ("tagged_wheel", True)):
            wheels = build_wheels(releases, Path(scratch), sdist, tagged=tagged)
            lock({release.version: {field: sha256(wheel)} for release, wheel in zip(releases, wheels, strict=True)})


def _again(releases: list[Release]) -> list[Release]:
    """The same releases, as the pins have them now."""
    return [find(release.version, load()) for release in releases]
