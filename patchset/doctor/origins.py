"""Files and repositories that are named in place of a version: which package is it, and which peft?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from patchset.doctor.findings import Finding, of_tagged, of_version
from patchset.pins import LOCAL, Release, Wheel, find
from patchset.sources.settings import redacted
from patchset.wheels.fork import fork

# A tagged wheel's file name.
TAGGED = re.compile(rf"peft-\d[^-/+]*-\d+{LOCAL}\d+-py3-none-any\.whl")
_ARCHIVE = re.compile(r"/archive/(?:refs/(?:tags|heads)/)?(.+?)\.(?:zip|tar\.gz)$")
_UPSTREAM = "huggingface/peft"


@dataclass(frozen=True)
class Origin:
    """An address or a path, taken apart.

    Attributes:
        text: it, without passwords.
        file: its last part, where that is a wheel's or an sdist's name.
        repository: its path without ``.git``, where it is a repository's or an archive of one.
        revision: the revision of that.
        egg: the name that its fragment gives it.
    """

    text: str
    file: str
    repository: str
    revision: str
    egg: str

    @classmethod
    def of(cls, text: str) -> Origin:
        """Take an address or a path apart."""
        scp = re.fullmatch(r"(?:git\+)?git@([\w.-]+):(.+)", text)  # as git takes it
        parts = urlsplit(f"git+ssh://git@{scp[1]}/{scp[2]}" if scp else text)
        path = unquote(parts.path)
        egg = re.search(r"(?:^|&)egg=([\w.-]+)", unquote(parts.fragment))
        repository, revision = "", ""
        if found := _ARCHIVE.search(path):
            repository, revision = path[: found.start()], found[1]
        elif "+" in parts.scheme or path.endswith(".git") or ".git@" in path:
            repository, _, revision = path.partition("@")
        name = path.rstrip("/").rpartition("/")[2]
        file = name if not repository and re.search(r"\.(whl|zip|tar\.gz|tgz)$", name) else ""
        return cls(redacted(text), file, repository.strip("/").removesuffix(".git"), revision, egg[1] if egg else "")

    @property
    def name(self) -> str:
        """The package's name, or nothing where a folder would have to be looked into."""
        if self.egg or not self.file:
            return self.egg or self.repository.rpartition("/")[2]
        if parts := self._parsed:
            return parts[0]
        return "peft" if re.match(r"peft\b", self.file, re.IGNORECASE) else self.file

    @property
    def version(self) -> str:
        """The version that its file's name says, or nothing."""
        return str(self._parsed[1]) if self._parsed else ""

    @property
    def _parsed(self) -> tuple[str, Version] | None:
        try:
            wheel = self.file.endswith(".whl")
            return parse_wheel_filename(self.file)[:2] if wheel else parse_sdist_filename(self.file)
        except (InvalidWheelFilename, InvalidSdistFilename):
            return None


def of_origin(text: str, releases: Sequence[Release], upstream: str = "", locker: str = "...") -> Iterator[Finding]:
    """What to say about the file or repository that peft is to come from; its hash aside.

    Args:
        text: its address or path.
        releases: the pins.
        upstream: the release that build settings ask for.
        locker: see `patchset.doctor.asks.Document`.
    """
    origin = Origin.of(text)
    if origin.file:
        yield _of_file(origin, releases, locker)
        return
    at = f" at {origin.revision}" if origin.revision else ""
    if origin.repository.lower() == _UPSTREAM:
        version = re.fullmatch(r"v?(\d+\.\d+\.\d+)", origin.revision)
        if version:
            yield of_version(version[1], releases, locker=locker)
        else:
            yield Finding("problem", f"`{origin.text}` is upstream's repository{at}, stock of no known release")
        return
    ours = fork().source.removesuffix("/").removesuffix(".git")
    if upstream:
        release = find(upstream, releases)
        yield Finding("note", f"peft is built from `{origin.text}` for {release.version}; {_LOOK}")
    elif ours and canonicalize_name(ours.rpartition("://")[2]) in canonicalize_name(origin.text):
        yield Finding("note", f"peft is built from this patch set's repository{at}; {_LOOK}")
    else:
        yield Finding(
            "problem", f"peft comes from `{origin.text}`, and nothing there says whether it is patched; {_LOOK}"
        )


_LOOK = "what that gives shows once it is installed: doctor --python PATH"


def _of_file(origin: Origin, releases: Sequence[Release], locker: str) -> Finding:
    if TAGGED.fullmatch(origin.file):
        return of_tagged(origin.file, releases)[0]
    if not origin.version:
        return Finding("problem", f"`{origin.text}` names a file of peft that says no version; look at what it gives")
    return of_version(origin.version, releases, locker=locker)


def wheel_of(text: str, releases: Sequence[Release]) -> Wheel | None:
    """The wheel of ours that an address or a path names."""
    file = Origin.of(text).file
    return next((wheel for release in releases for wheel in release.wheels if wheel.file == file), None)
