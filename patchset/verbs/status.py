"""``status``: what is pinned, what its wheel is called, what is patched and where upstream stands."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from packaging.version import Version

from patchset.pins import Release, load
from patchset.series.patch import Patch, read_series
from patchset.sources.sdists import Sdists
from patchset.verbs.options import add_json
from patchset.verbs.printing import console, print_json, print_table

EXAMPLE = "status"


def add_options(parser: argparse.ArgumentParser) -> None:
    add_json(parser)
    parser.add_argument("--check-index", action="store_true", help="name releases that are not pinned yet")


def run(options: argparse.Namespace) -> int:
    """Print the table, or with ``--json`` a list with one object per release."""
    releases = load()
    series = {release.series: read_series(release.series_dir) for release in releases}
    fixed = {patch.slug: version for patches in series.values() for patch in patches if (version := patch.fixed_in)}
    rows = [_row(release, series[release.series], fixed) for release in releases]
    missing = _unpinned(releases) if options.check_index else []
    if options.json:
        rows += [{"release": version, "pinned": False} for version in missing]
        print_json(rows)
        return 0
    print_table(
        console(),
        ("release", "line", "affected", "wheel version", "tagged", "patch", "upstream"),
        *(line for row in rows for line in _lines(row)),
    )
    for version in missing:
        print(f"not pinned yet: {version}; `python -m patchset adopt {version}`")
    return 0


def _lines(row: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """A release's lines of the table: one for each patch, and an empty one."""
    affected = "yes" if row["affected"] else "no"
    release: tuple[str, ...] = row["release"], row["line"], affected, row["wheel_version"], row["tagged"]
    for patch in (*row["patches"], *row["retired"]):
        yield (*release, patch["name"], patch["upstream"])
        release = ("",) * len(release)
    yield (*release, "", "")


def _unpinned(releases: list[Release]) -> list[str]:
    """The releases on the index that are not pinned, but for those older than the oldest pin, which have no bug."""
    from patchset.sources.download import available  # late: the client is needed here alone

    pinned = {Version(release.version) for release in releases}
    return [version for version in available() if Version(version) not in pinned and Version(version) > min(pinned)]


def _row(release: Release, patches: list[Patch], fixed: dict[str, str]) -> dict[str, Any]:
    own = {patch.slug for patch in patches}
    _, tagged = release.wheels
    return {
        "release": release.version,
        "line": release.line,
        # A release is affected by what its series mends.
        "affected": bool(patches),
        "wheel_version": release.patched_version,
        "tagged": tagged.name,
        "tagged_wheel": tagged.file,
        "series": release.series,
        "patches": [{"name": patch.slug, "upstream": _upstream(patch)} for patch in patches],
        "retired": [
            {"name": slug, "upstream": f"retired, in {version}"}
            for slug, version in fixed.items()
            if slug not in own and Version(version) <= Version(release.version)
        ],
        "on_disk": Sdists().find(release) is not None,
    }


def _upstream(patch: Patch) -> str:
    """What became of the patch upstream, from its DEP-3 fields."""
    if patch.fixed_in:
        return f"fixed in {patch.fixed_in}"
    forwarded = patch.field("Forwarded") or "no"
    return {"no": "not forwarded", "not-needed": "not needed"}.get(forwarded, f"forwarded: {forwarded}")
