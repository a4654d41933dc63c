"""The pins: upstream releases by sdist name, size and hash, from ``vendor/releases.toml``."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from packaging.version import InvalidVersion, Version
from tomlkit.exceptions import ParseError

from patchset._errors import PatchsetError

ROOT = Path(__file__).resolve().parent.parent
PATCHES = ROOT / "patches"
VENDOR = ROOT / "vendor"
RELEASES = VENDOR / "releases.toml"


@dataclass(frozen=True)
class Release:
    """One pinned upstream release.

    Attributes:
        version: upstream's version, ``0.18.1``.
        series: the folder of ``patches/`` that holds its patches, ``0.18``.
        revision: the patch set's own number, the ``N`` of ``0.18.1+kwargs.N``.
        sdist: file name of upstream's source package.
        size: its size in bytes.
        sha256: its SHA-256, 64 hexadecimal digits.
        tree: digest of the patched tree, see `patchset._digest`.
    """

    version: str
    series: str
    revision: int
    sdist: str
    size: int
    sha256: str
    tree: str

    @property
    def line(self) -> str:
        """Upstream's minor version, ``0.18``."""
        return ".".join(self.version.split(".")[:2])

    @property
    def patched_version(self) -> str:
        """The wheel's version: a PEP 440 local version of upstream's."""
        return f"{self.version}+kwargs.{self.revision}"

    @property
    def folder(self) -> str:
        """Name of the single folder that the sdist unpacks to."""
        return self.sdist.removesuffix(".tar.gz")

    @property
    def series_dir(self) -> Path:
        return PATCHES / self.series


def load(path: Path = RELEASES) -> list[Release]:
    """Read the pins, oldest release first.

    Raises:
        PatchsetError: the file is missing, is not TOML, or a pin lacks a field or has one of the wrong type.
    """
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8")).unwrap()
    except (OSError, ParseError) as error:
        raise PatchsetError(f"cannot read the pins in {path}: {error}") from error
    releases = [_release(entry, path) for entry in document.get("release", [])]
    if not releases:
        raise PatchsetError(f"{path} pins no release")
    return sorted(releases, key=lambda release: Version(release.version))


def _release(entry: dict[str, Any], path: Path) -> Release:
    fields = {name: entry.get(name) for name in Release.__dataclass_fields__}
    for name, value in fields.items():
        wanted = int if name in ("size", "revision") else str
        if not isinstance(value, wanted):
            raise PatchsetError(f"{path}: release {entry.get('version', '?')}: `{name}` must be a {wanted.__name__}")
    release = Release(**fields)  # type: ignore[arg-type]
    try:
        Version(release.version)
    except InvalidVersion as error:
        raise PatchsetError(f"{path}: {error}") from error
    return release


def find(version: str, releases: Iterable[Release]) -> Release:
    """The pinned release of that version; ``0.18.1+kwargs.1`` and ``v0.18.1`` name 0.18.1 too.

    Raises:
        PatchsetError: no such release; the message lists the pinned ones and the nearest.
    """
    known = {release.version: release for release in releases}
    wanted = version.strip().removeprefix("v").partition("+kwargs.")[0]
    if wanted in known:
        return known[wanted]
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise PatchsetError(f"release {version!r} is not pinned.{hint} Pinned are {', '.join(known)}")


def select(versions: Iterable[str], everything: bool = False) -> list[Release]:
    """The named releases, all of them, or the newest where none is named."""
    releases = load()
    if everything:
        return releases
    return [find(version, releases) for version in versions] or releases[-1:]


def chosen(config_settings: dict[str, Any] | None) -> Release:
    """The release that a build asks for: ``-C upstream=``, else ``PEFT_UPSTREAM``, else the newest pinned.

    Raises:
        PatchsetError: the release is not pinned, or ``upstream`` was given more than once.
    """
    wanted = (config_settings or {}).get("upstream") or os.environ.get("PEFT_UPSTREAM")
    if isinstance(wanted, list):
        raise PatchsetError(f"give one `upstream`, not {len(wanted)}: {', '.join(wanted)}")
    return select([wanted] if wanted else [])[0]
