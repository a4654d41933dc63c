"""The pins: upstream releases by sdist name, size and hash, from ``vendor/releases.toml``."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from patchset.errors import PatchsetError
from patchset.files import locked, replace, restore

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PATCHES = ROOT / "patches"
VENDOR = ROOT / "vendor"
RELEASES = VENDOR / "releases.toml"
# Every package that a build takes, by hash; see `patchset.dist.constraints`.
CONSTRAINTS = VENDOR / "build-constraints.txt"
# How our wheels are told from everybody else's.
LOCAL = "kwargs"
# PEP 440's final and post-releases; their numbers alone put them in order, so that a build needs no library for it.
_FINAL = re.compile(r"\d+(\.\d+)*(\.post\d+)?")
# How an index of them is called in a project's file.
INDEX = f"peft-{LOCAL}"


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
        tree: digest of the patched tree, see `patchset.series.digest`.
        wheel: SHA-256 of the wheel; empty while the series is being worked on.
        tagged_wheel: the same of the wheel that keeps upstream's version.
    """

    version: str
    series: str
    revision: int
    sdist: str
    size: int
    sha256: str
    tree: str
    wheel: str = ""
    tagged_wheel: str = ""

    @property
    def line(self) -> str:
        """Upstream's minor version, ``0.18``."""
        return ".".join(self.version.split(".")[:2])

    @property
    def patched_version(self) -> str:
        """The wheel's version: a PEP 440 local version of upstream's."""
        return f"{self.version}+{LOCAL}.{self.revision}"

    @property
    def wheels(self) -> tuple[Wheel, Wheel]:
        """What is built from it."""
        return Wheel(self), Wheel(self, tagged=True)

    @property
    def folder(self) -> str:
        """Name of the single folder that the sdist unpacks to."""
        return self.sdist.removesuffix(".tar.gz")

    @property
    def series_dir(self) -> Path:
        return PATCHES / self.series


@dataclass(frozen=True)
class Wheel:
    """One of the two wheels of a release. They differ in how they are called.

    Attributes:
        release: the release.
        tagged: whether it keeps upstream's version exactly, for programs that compare versions when they start. A build
            tag (PEP 427) names it as ours then, and installers prefer it to a file of that version without one.
    """

    release: Release
    tagged: bool = False

    @property
    def version(self) -> str:
        """Its version: upstream's, or a local version of that."""
        return self.release.version if self.tagged else self.release.patched_version

    @property
    def tag(self) -> str:
        """Its build tag; installers compare the number that it begins with. The rest is as in a local version."""
        return f"{self.release.revision}{LOCAL}{self.release.revision}" if self.tagged else ""

    @property
    def name(self) -> str:
        """What tells it from all other wheels of peft: ``0.18.1+kwargs.1``, ``0.18.1-1kwargs1``."""
        return f"{self.version}-{self.tag}" if self.tagged else self.version

    @property
    def file(self) -> str:
        """Its file name."""
        return f"peft-{self.name}-py3-none-any.whl"

    @property
    def sha256(self) -> str:
        """Its locked digest, or nothing."""
        return self.release.tagged_wheel if self.tagged else self.release.wheel


@dataclass(frozen=True)
class Request:
    """What a build is asked for.

    Attributes:
        release: the release to build.
        sdist: upstream's sdist, or a folder that holds it; None searches vendor/, the cache and the index.
        settings: what is meant for setuptools.
        tagged: see `Wheel`.
    """

    release: Release
    sdist: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    tagged: bool = False

    @property
    def wheel(self) -> Wheel:
        return Wheel(self.release, self.tagged)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        PatchsetError: it cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        raise PatchsetError(f"cannot read {path}: {error}") from error


def load(path: Path = RELEASES) -> list[Release]:
    """Read the pins, oldest release first.

    Raises:
        PatchsetError: the file is missing, is not TOML, or a pin lacks a field or has one of the wrong type.
    """
    restore(PATCHES)
    releases = [_release(entry, path) for entry in read_toml(path).get("release", [])]
    if not releases:
        raise PatchsetError(f"{path} pins no release")
    return sorted(releases, key=lambda release: [int(number) for number in re.findall(r"\d+", release.version)])


def _release(entry: dict[str, Any], path: Path) -> Release:
    fields = {name: entry.get(name) for name in Release.__dataclass_fields__}
    for name in ("wheel", "tagged_wheel"):
        fields[name] = entry.get(name, "")
    for name, value in fields.items():
        wanted = int if name in ("size", "revision") else str
        if not isinstance(value, wanted):
            raise PatchsetError(f"{path}: release {entry.get('version', '?')}: `{name}` must be a {wanted.__name__}")
    release = Release(**fields)  # type: ignore[arg-type]
    if not _FINAL.fullmatch(release.version):
        raise PatchsetError(f"{path}: {release.version!r} is no version of a final release")
    return release


@contextlib.contextmanager
def edited() -> Iterator[Any]:
    """The pins' entries, to be changed in place; in the end the file is replaced in one step, comments and order kept.

    Others that want to write wait meanwhile.
    """
    import tomlkit  # late: no build needs it

    with locked(VENDOR):
        document = tomlkit.parse(RELEASES.read_text(encoding="utf-8"))
        yield document["release"]
        replace(RELEASES, f"{tomlkit.dumps(document).rstrip()}\n")


def lock(digests: Mapping[str, Mapping[str, str]]) -> None:
    """Write digests into the pins: by release those called ``tree``, ``wheel`` or ``tagged_wheel``.

    Another tree gives other wheels: their digests go where only the tree's is given.
    """
    with edited() as entries:
        put_digests(entries, digests)


def put_digests(entries: Any, digests: Mapping[str, Mapping[str, str]]) -> None:
    """Write digests into the pins' entries, as `lock` does."""
    for entry in entries:
        new = digests.get(entry["version"], {})
        if new.get("tree", entry["tree"]) != entry["tree"]:
            entry.pop("wheel", None)
            entry.pop("tagged_wheel", None)
        entry.update(new)


def alone(release: Release) -> str:
    """The pins' text with one release only, so that it is the newest, which is built by default."""
    head, *entries = re.split(r"^(?=\[\[release\]\])", RELEASES.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (own,) = (entry for entry in entries if tomllib.loads(entry)["release"][0]["version"] == release.version)
    return f"{head}{own.rstrip()}\n"


def find(version: str, releases: Iterable[Release]) -> Release:
    """The pinned release of that version; ``0.18.1+kwargs.1`` and ``v0.18.1`` name 0.18.1 too.

    Raises:
        PatchsetError: no such release; the message lists the pinned ones and the nearest.
    """
    known = {release.version: release for release in releases}
    wanted = version.strip().removeprefix("v").partition("+kwargs.")[0]
    if wanted in known:
        return known[wanted]
    # a release of the same line, the newest where several are as close
    line = [name for name in known if name.rpartition(".")[0] == ".".join(wanted.split(".")[:2])]
    near = difflib.get_close_matches(wanted, line[::-1] or known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise PatchsetError(f"release {version!r} is not pinned.{hint} Pinned are {', '.join(known)}")


def select(versions: Iterable[str], everything: bool = False) -> list[Release]:
    """The named releases, all of them, or the newest where none is named.

    Raises:
        PatchsetError: one is not pinned, or all are wanted and some are named.
    """
    releases, versions = load(), list(versions)
    if everything and versions:
        raise PatchsetError(f"say either --all or {' '.join(versions)}")
    if everything:
        return releases
    return [find(version, releases) for version in versions] or releases[-1:]


def tagged(version: object = None) -> bool:
    """Whether a build is to keep upstream's version: the setting, else ``PEFT_VERSION``, says ``upstream``.

    Raises:
        PatchsetError: it is neither ``local`` nor ``upstream``.
    """
    wanted = version or os.environ.get("PEFT_VERSION") or "local"
    if wanted not in ("local", "upstream"):
        raise PatchsetError(
            f"`version` (PEFT_VERSION) is `local` or `upstream`, not {wanted!r}; `upstream` (PEFT_UPSTREAM) names a release"
        )
    return wanted == "upstream"


def chosen(upstream: object = None) -> Release:
    """The release that a build asks for: the given one, else ``PEFT_UPSTREAM``, else the newest pinned.

    Args:
        upstream: the setting as the front end hands it on, a string if it was given once.

    Raises:
        PatchsetError: the release is not pinned, or the setting was given more than once.
    """
    wanted = upstream or os.environ.get("PEFT_UPSTREAM")
    if not wanted:
        return select([])[0]
    if not isinstance(wanted, str):
        raise PatchsetError(f"give `upstream` once; it is {wanted}")
    return select([wanted])[0]
