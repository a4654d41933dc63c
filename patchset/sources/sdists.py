"""Upstream's sdists: found on disk or downloaded, and never handed on unless they match their pin."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from patchset.errors import PatchsetError, Unavailable
from patchset.files import replace
from patchset.pins import VENDOR, Release
from patchset.sources.settings import OFFLINE, find_links_folders
from patchset.sources.unpack import unpack

_NAME = "peft-patchset"


class Sdists:
    """Where a command takes sdists from; one object goes all the way down, and each sdist is read once.

    Args:
        given: a file or a folder that the user named.
        asked: the releases that the user asked for: these must come from what was given. Others, which are needed to
            check or to carry over the patches of these, are looked for there and then wherever sdists lie.
    """

    def __init__(self, given: str | None = None, asked: Iterable[Release] = ()) -> None:
        self._given = Path(given).expanduser() if given else None
        self._asked = {release.version for release in asked}
        self._read: dict[str, bytes] = {}

    def obtain(self, release: Release) -> bytes:
        """The verified bytes of a release's sdist, from disk or else from the configured index, which fills the cache.

        Raises:
            PatchsetError: not the pinned bytes.
            Unavailable: nowhere to be found.
        """
        data = self.on_disk(release)
        if data is None:
            from patchset.sources.download import download  # late: most builds need none

            data = download(release)
            self.keep(release, _checked(data, release, f"{release.sdist} as downloaded"))
        return data

    def on_disk(self, release: Release) -> bytes | None:
        """The same where no download is needed, else None; a damaged entry of the cache is thrown away.

        Raises:
            PatchsetError: not the pinned bytes, or the given file or folder does not have what was asked for.
        """
        if release.sha256 not in self._read:
            path = self.find(release)
            if path is None:
                return None
            data = path.read_bytes()
            if path.parent == cache_dir() and not _matches(data, release):
                path.unlink(missing_ok=True)
                return None
            self._read[release.sha256] = _checked(data, release, str(path))
        return self._read[release.sha256]

    def find(self, release: Release) -> Path | None:
        """Where the sdist lies: what was given, ``vendor/``, the cache, or find-links.

        Raises:
            PatchsetError: the given file or folder does not have what was asked for.
        """
        given = self._given
        if given:
            path = given / release.sdist if given.is_dir() else given
            if release.version in self._asked:
                if not path.is_file():
                    raise PatchsetError(f"no such sdist: {path}; give {release.sdist} or a folder that holds it")
                return path
            if path.is_file() and path.name == release.sdist:
                return path
        for folder in (VENDOR, cache_dir()):
            if (folder / release.sdist).is_file():
                return folder / release.sdist
        for folder in find_links_folders():
            path = folder / release.sdist
            # a wrong one there does not stand before the right one elsewhere
            if path.is_file() and (not release.sha256 or _matches(path.read_bytes(), release)):
                return path
        return None

    def keep(self, release: Release, data: bytes) -> None:
        """Take a verified sdist over, and put it into the cache; a cache that cannot be written is no error."""
        self._read[release.sha256] = data
        with contextlib.suppress(OSError):
            replace(cache_dir() / release.sdist, data)

    def unpack(self, release: Release, parent: Path) -> Path:
        """Unpack a release's sdist into a folder and return upstream's tree, the caller's own."""
        return unpack(self.obtain(release), parent, release.folder)


def cache_dir() -> Path:
    """Folder of the verified sdists, in the user's cache directory or ``PATCHSET_CACHE``."""
    if given := os.environ.get("PATCHSET_CACHE"):
        return Path(given)
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local", _NAME, "Cache")
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / _NAME
    # an empty or relative one does not count (XDG Base Directory Specification)
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~")
    return (base if base.is_absolute() else home / ".cache") / _NAME


def missing(release: Release, why: str) -> Unavailable:
    """The error for an sdist that is not here and cannot be downloaded."""
    return Unavailable(f"{release.sdist} is neither in {VENDOR} nor in {cache_dir()}, and {why}. {OFFLINE}")


def _matches(data: bytes, release: Release) -> bool:
    return len(data) == release.size and hashlib.sha256(data).hexdigest() == release.sha256


def _checked(data: bytes, release: Release, source: str) -> bytes:
    if not _matches(data, release):
        raise PatchsetError(
            f"{source} is not the pinned {release.sdist}: expected {release.size} bytes with sha256 {release.sha256}, "
            f"got {len(data)} bytes with sha256 {hashlib.sha256(data).hexdigest()}. Nothing was unpacked or cached; "
            "get the file from a source you trust"
        )
    return data
