"""A published ``SHA256SUMS``, instead of the digests that are locked here: for a downloaded wheel, or for what is installed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from patchset.doctor.findings import Finding
from patchset.errors import PatchsetError
from patchset.files import sha256
from patchset.pins import Release

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def read(path: Path) -> dict[str, str]:
    """The digests of ``sha256sum``'s format, by file name.

    Raises:
        PatchsetError: it cannot be read, or has other lines.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PatchsetError(f"cannot read {path}: {error}") from error
    found = [_LINE.fullmatch(line) for line in lines if line.strip()]
    if not found or None in found:
        raise PatchsetError(f"{path} is not what sha256sum writes: a digest and a file name in each line")
    return {match[2]: match[1] for match in found if match}


def instead(releases: Sequence[Release], sums: Mapping[str, str]) -> list[Release]:
    """The pins with the published digests of their wheels, and none where there is none."""
    return [
        dataclasses.replace(release, wheel=sums.get(local.file, ""), tagged_wheel=sums.get(tagged.file, ""))
        for release in releases
        for local, tagged in [release.wheels]
    ]


def of_wheel(path: Path, sums: Mapping[str, str]) -> Iterator[Finding]:
    """What to say about a downloaded wheel.

    Raises:
        PatchsetError: it cannot be read.
    """
    try:
        found = sha256(path)
    except OSError as error:
        raise PatchsetError(f"cannot read {path}: {error.strerror or error}") from error
    if path.name not in sums:
        yield Finding("problem", f"{path.name} was not published with these digests")
    elif sums[path.name] != found:
        yield Finding(
            "problem", f"{path.name} is not the published one: sha256 {found}, published is {sums[path.name]}"
        )
    else:
        yield Finding("ok", f"{path.name} is the published one, sha256 {found}")
