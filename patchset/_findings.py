"""What `doctor` finds, and what it says about a version of peft."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from patchset._pins import Release


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        level: ``ok``, ``note`` or ``problem``.
        text: what, and what to do.
    """

    level: str
    text: str


def advice(release: Release) -> str:
    """How to get a release's wheel."""
    return f"use peft=={release.patched_version} (`python -m patchset lock {release.version} --for ...` says how)"


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
    if version.local.startswith("kwargs."):
        return Finding("note", f"peft {version} is patched, of another revision; {advice(release)}")
    return Finding("problem", f"peft {version} is somebody else's; {advice(release)}")
