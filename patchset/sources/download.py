"""Download an sdist from the configured package index, through unearth, PDM's client."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from packaging.version import Version
from unearth.auth import MultiDomainBasicAuth
from unearth.fetchers.sync import PyPIClient
from unearth.finder import PackageFinder

from patchset.errors import PatchsetError, Unavailable
from patchset.pins import Release
from patchset.sources.settings import DEFAULT, OFFLINE, IndexSettings, redacted, settings


def download(release: Release) -> tuple[bytes, str]:
    """Ask each configured source in turn.

    Returns:
        The file's bytes, not verified, at most one chunk more than pinned; and the source's name for messages.

    Raises:
        PatchsetError: no source gives the file; the message says what was tried and how to do without.
    """
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
            return data, name
        tried.append(f"{name} ({'; '.join(complaints.messages) or f'has no {release.sdist}'})")
    asked = "; ".join(tried) or "nothing, as no-index is set"
    raise Unavailable(f"cannot get {release.sdist}; tried {asked}. {OFFLINE}")


def available() -> list[str]:
    """The releases whose sdists the configured sources list, oldest first; pre-releases left out.

    Raises:
        PatchsetError: no source answers.
    """
    config = settings()
    found, tried = set(), []
    sources = [("find_links", url) for url in config.find_links]
    if not config.no_index:
        sources += [("index_urls", url) for url in config.indexes or [DEFAULT]]
    for kind, url in sources:
        try:
            with _finder(kind, [url] if url else [], config) as finder:
                found |= {str(package.version) for package in finder.find_all_packages("peft")}
        except Exception as error:  # noqa: BLE001 - as in `download`
            tried.append(f"{redacted(url) or 'the default index'} ({redacted(str(error)) or type(error).__name__})")
    if not found:
        raise PatchsetError(f"no source lists a release of peft; tried {'; '.join(tried) or 'nothing'}")
    versions = sorted(Version(version) for version in found)
    return [str(version) for version in versions if not version.is_prerelease]


class _Complaints(logging.Handler):
    """Keeps what the client library only logs: that it could not read an index page, and why."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(redacted(record.getMessage()))


@contextmanager
def _finder(kind: str, urls: list[str], config: IndexSettings) -> Iterator[PackageFinder]:
    """unearth's finder for peft's sdists in one kind of source, with its client open."""
    with PyPIClient(
        trusted_hosts=config.trusted_hosts, verify=config.verify, proxy=config.proxy, follow_redirects=True
    ) as client:
        indexes, find_links = (urls, []) if kind == "index_urls" else ([], urls)
        client.auth = MultiDomainBasicAuth(prompting=False, index_urls=indexes)
        yield PackageFinder(
            client,  # type: ignore[arg-type]  # unearth's own client, typed more narrowly than its protocol
            index_urls=indexes,
            find_links=find_links,
            ignore_compatibility=True,
            no_binary=["peft"],
        )


def _read(kind: str, urls: list[str], config: IndexSettings, release: Release) -> bytes | None:
    """The file's bytes, at most one chunk more than pinned; None where this source does not list it."""
    with _finder(kind, urls, config) as finder:
        packages = finder.find_all_packages("peft", allow_yanked=True)
        link = next((package.link for package in packages if package.link.filename == release.sdist), None)
        if link is None:
            return None
        print(f"fetching {link.redacted}", file=sys.stderr)
        data = bytearray()
        with finder.session.get_stream(link.normalized) as response:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > release.size:
                    break
    return bytes(data)
