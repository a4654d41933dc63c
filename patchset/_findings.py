"""What `doctor` finds, and what it says about a version of peft."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from patchset._pins import LOCAL, Release, Wheel


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        level: ``ok``, ``note`` or ``problem``.
        text: what, and what to do.
    """

    level: str
    text: str


def advice(release: Release, tagged: bool = False) -> str:
    """How to get a release's wheel."""
    wheel = Wheel(release, tagged)
    what = f"the tagged wheel {wheel.name}" if tagged else f"peft=={wheel.version}"
    option = " --tagged" if tagged else ""
    return f"use {what} (`python -m patchset lock {release.version}{option} --for ...` says how)"


def of_tagged(file: str, releases: Sequence[Release]) -> tuple[Finding, Wheel | None]:
    """What to say about a tagged wheel, by its file name; and which it is, if it can be built here."""
    version, _, rest = file.removeprefix("peft-").partition("-")
    name = f"{version}-{rest.partition('-')[0]}"
    release = next((pin for pin in releases if pin.version == version), None)
    if release is None:
        return Finding(
            "note", f"peft {name} is patched, but not from a pinned release; nothing is known about it"
        ), None
    wheel = Wheel(release, tagged=True)
    if file != wheel.file:
        text = f"peft {version} is patched, of another revision, {name}; {advice(release, tagged=True)}"
        return Finding("note", text), None
    return Finding("ok", f"peft {version} is patched: it is {name}"), wheel


def of_version(found: str, releases: Sequence[Release]) -> Finding:
    """What to say about a version of peft, stock or patched."""
    try:
        version = Version(found)
    except InvalidVersion:
        return Finding("problem", f"peft {found} is no version")
    release = next((pin for pin in releases if pin.version == version.public), None)
    if release is None:
        known = f"{releases[0].version} to {releases[-1].version}"
        return Finding("note", f"peft {version} is not among the pinned releases, {known}; nothing is known about it")
    if version.local is None:
        return Finding("problem", f"peft {version} is stock, and affected; {advice(release)}")
    if found == release.patched_version:
        return Finding("ok", f"peft {version} is patched")
    if version.local.startswith(f"{LOCAL}."):
        return Finding("note", f"peft {version} is patched, of another revision; {advice(release)}")
    return Finding("problem", f"peft {version} is somebody else's; {advice(release)}")
