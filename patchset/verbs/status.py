"""``status``: what is pinned, what its wheel is called, what is patched and where upstream stands."""

from __future__ import annotations

import argparse
import json
from typing import Any

from packaging.version import Version
from rich import box
from rich.console import Console
from rich.table import Table

from patchset.pins import Release, load
from patchset.series.patch import Patch, read_series
from patchset.sources.sdists import on_disk


def run(options: argparse.Namespace) -> int:
    """Print the table, or with ``--json`` a list with one object per release."""
    releases = load()
    series = {release.series: read_series(release.series_dir) for release in releases}
    fixed = {patch.slug: version for patches in series.values() for patch in patches if (version := _applied(patch))}
    rows = [_row(release, series[release.series], fixed) for release in releases]
    missing = _unpinned(releases) if options.check_index else []
    if options.json:
        rows += [{"release": version, "pinned": False} for version in missing]
        print(json.dumps(rows, indent=2))
        return 0
    table = Table("release", "line", "affected", "wheel version", "tagged", "patch", "upstream", box=box.SIMPLE_HEAD)
    for row in rows:
        for number, patch in enumerate([*row["patches"], *row["retired"]]):
            first = (
                row["release"],
                row["line"],
                "yes" if row["affected"] else "no",
                row["wheel_version"],
                row["tagged"],
            )
            table.add_row(*(("",) * 5 if number else first), patch["name"], patch["upstream"])
        table.add_section()
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)  # a pipe has no width, and nothing may be cut off there
    console.print(table)
    for version in missing:
        print(f"not pinned yet: {version}; `python -m patchset adopt {version}`")
    return 0


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
        "on_disk": on_disk(release) is not None,
    }


def _applied(patch: Patch) -> str | None:
    """The upstream release that has the fix, from ``Applied-Upstream: 0.20.0, https://...``."""
    return (patch.field("Applied-Upstream") or "").partition(",")[0] or None


def _upstream(patch: Patch) -> str:
    """What became of the patch upstream, from its DEP-3 fields."""
    if version := _applied(patch):
        return f"fixed in {version}"
    forwarded = patch.field("Forwarded") or "no"
    return {"no": "not forwarded", "not-needed": "not needed"}.get(forwarded, f"forwarded: {forwarded}")
