"""Upstream's sdists: found on disk or downloaded, and never handed on unless they match their pin."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import platformdirs

from patchset.errors import PatchsetError
from patchset.pins import VENDOR, Release
from patchset.sources.settings import find_links_folders

OFFLINE = (
    "To build without a network, put that file into vendor/ or name it, or a folder that holds it, with "
    "`-C sdist=PATH` or PEFT_SDIST=PATH"
)


def cache_dir() -> Path:
    """Folder of the verified sdists, in the user's cache directory or ``PATCHSET_CACHE``."""
    given = os.environ.get("PATCHSET_CACHE")
    return Path(given) if given else platformdirs.user_cache_path("peft-patchset", appauthor=False)


def check(data: bytes, release: Release, source: str) -> bytes:
    """Return the data if they are the pinned sdist's.

    Raises:
        PatchsetError: size or SHA-256 differ; the message gives the pinned and the found ones.
    """
    found = hashlib.sha256(data).hexdigest()
    if len(data) != release.size or found != release.sha256:
        raise PatchsetError(
            f"{source} is not the pinned {release.sdist}: expected {release.size} bytes with sha256 "
            f"{release.sha256}, got {len(data)} bytes with sha256 {found}. Nothing was unpacked or cached; "
            "get the file from a source you trust"
        )
    return data


def on_disk(release: Release, given: str | None = None) -> Path | None:
    """Where the sdist lies: the given file or folder, ``vendor/``, the cache, or find-links. Not verified yet.

    Raises:
        PatchsetError: a file or folder was given and the sdist is not there.
    """
    if given:
        path = Path(given).expanduser()
        path = path / release.sdist if path.is_dir() else path
        if not path.is_file():
            raise PatchsetError(f"no such sdist: {path}; give {release.sdist} or a folder that holds it")
        return path
    for folder in (VENDOR, cache_dir(), *find_links_folders()):
        if (folder / release.sdist).is_file():
            return folder / release.sdist
    return None


def missing(release: Release, why: str) -> str:
    """The message for an sdist that is not here and cannot be downloaded."""
    return f"{release.sdist} is neither in {VENDOR} nor in {cache_dir()}, and {why}. {OFFLINE}"


def obtain(release: Release, given: str | None = None) -> bytes:
    """The verified bytes of a release's sdist, from disk or else from the configured index, which fills the cache.

    Args:
        release: the pin to satisfy.
        given: a file, or a folder of sdists, to use instead of everything else.

    Raises:
        PatchsetError: not the pinned bytes, or nowhere to be found.
    """
    path = on_disk(release, given)
    if path is not None:
        data = path.read_bytes()
        if path.parent != cache_dir() or _matches(data, release):
            return check(data, release, str(path))
        # A damaged cache entry is ours to throw away.
        path.unlink(missing_ok=True)
    try:
        from patchset.sources import download as _download  # late: a build that downloads nothing needs no client
    except ModuleNotFoundError as error:
        raise PatchsetError(missing(release, "there is no client to download it with")) from error
    data, source = _download.download(release)
    check(data, release, f"{release.sdist} from {source}")
    _store(release, data)
    return data


def _matches(data: bytes, release: Release) -> bool:
    return hashlib.sha256(data).hexdigest() == release.sha256


def _store(release: Release, data: bytes) -> None:
    """Put the sdist into the cache in one step; a cache that cannot be written is no error."""
    target = cache_dir() / release.sdist
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".partial-")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(target)
    except OSError:
        Path(name).unlink(missing_ok=True)
