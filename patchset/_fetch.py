"""Upstream's sdists: found on disk or downloaded, and never handed on unless they match their pin."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import tempfile
from pathlib import Path

import platformdirs

from patchset._errors import PatchsetError
from patchset._index import DEFAULT, IndexSettings, redacted, settings
from patchset._pins import VENDOR, Release


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
    """Where the sdist lies: the given file or folder, ``vendor/``, or the cache. Not verified yet.

    Raises:
        PatchsetError: a file or folder was given and the sdist is not there.
    """
    if given:
        path = Path(given).expanduser()
        path = path / release.sdist if path.is_dir() else path
        if not path.is_file():
            raise PatchsetError(f"no such sdist: {path}; give {release.sdist} or a folder that holds it")
        return path
    for folder in (VENDOR, cache_dir()):
        if (folder / release.sdist).is_file():
            return folder / release.sdist
    return None


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
    data = check(*_download(release))
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


def _download(release: Release) -> tuple[bytes, Release, str]:
    """Ask each configured source in turn; return the bytes, the release and the source's name for messages."""
    try:
        import unearth  # noqa: F401
    except ModuleNotFoundError as error:
        raise PatchsetError(f"{release.sdist} is neither in {VENDOR} nor in {cache_dir()}. {_OFFLINE}") from error

    config = settings()
    sources = [("find_links", url) for url in config.find_links]
    if not config.no_index:
        sources += [("index_urls", url) for url in config.indexes or [DEFAULT]]
    tried = []
    log = logging.getLogger("unearth")
    for kind, url in sources:
        name = redacted(url) if url else "the default index"
        complaints = _Complaints()
        log.addHandler(complaints)
        try:
            data = _read(kind, [url] if url else [], config, release)
        except Exception as error:  # noqa: BLE001 - whatever the client library raises, this source gives nothing
            tried.append(f"{name} ({redacted(str(error)) or type(error).__name__})")
            continue
        finally:
            log.removeHandler(complaints)
        if data is not None:
            return data, release, f"{release.sdist} from {name}"
        tried.append(f"{name} ({'; '.join(complaints.messages) or f'has no {release.sdist}'})")
    asked = "; ".join(tried) or "nothing, as no-index is set"
    raise PatchsetError(f"cannot get {release.sdist}; tried {asked}. {_OFFLINE}")


class _Complaints(logging.Handler):
    """Keeps what the client library only logs: that it could not read an index page, and why."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(redacted(record.getMessage()))


def _read(kind: str, urls: list[str], config: IndexSettings, release: Release) -> bytes | None:
    """The file's bytes, at most one chunk more than pinned; None where this source does not list it."""
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers.sync import PyPIClient
    from unearth.finder import PackageFinder

    with PyPIClient(
        trusted_hosts=config.trusted_hosts, verify=config.verify, proxy=config.proxy, follow_redirects=True
    ) as client:
        indexes, find_links = (urls, []) if kind == "index_urls" else ([], urls)
        client.auth = MultiDomainBasicAuth(prompting=False, index_urls=indexes)
        finder = PackageFinder(
            client,  # type: ignore[arg-type]  # unearth's own client, typed more narrowly than its protocol
            index_urls=indexes,
            find_links=find_links,
            ignore_compatibility=True,
            no_binary=["peft"],
        )
        packages = finder.find_all_packages("peft", allow_yanked=True)
        link = next((package.link for package in packages if package.link.filename == release.sdist), None)
        if link is None:
            return None
        print(f"fetching {link.redacted}", file=sys.stderr)
        data = bytearray()
        with client.get_stream(link.normalized) as response:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > release.size:
                    break
    return bytes(data)


_OFFLINE = (
    "To build without a network, put that file into vendor/ or name it, or a folder that holds it, with "
    "`-C sdist=PATH` or PEFT_SDIST=PATH"
)
