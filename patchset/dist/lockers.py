"""``lock``: what to paste into a project, so that its locker takes one patched wheel and keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import tomlkit
from packaging.pylock import Package, PackageWheel, Pylock
from packaging.utils import canonicalize_name
from packaging.version import Version

from patchset.dist.artifacts import read
from patchset.errors import PatchsetError
from patchset.sources.settings import redacted
from patchset.pins import INDEX, Wheel
from patchset.dist.index import FOLDERS, compare


@dataclass(frozen=True)
class Pin:
    """What is pinned, and where it is served.

    Attributes:
        version: the wheel's version.
        file: its file name.
        sha256: its SHA-256, in hexadecimal digits.
        index: address of the index, ending in a slash.
        tagged: whether it is a tagged wheel.
    """

    version: str
    file: str
    sha256: str
    index: str
    tagged: bool

    @property
    def requirement(self) -> str:
        """The version, for a project's dependencies."""
        return f"peft=={self.version}"

    @property
    def url(self) -> str:
        """Where the wheel lies, as `patchset.dist.index` lays it out."""
        return urljoin(self.index, f"../{quote(self.file)}")


def pinned(wanted: Wheel, dist: Path, index: str | None) -> Pin:
    """The pin of a wheel, by the bytes in the folder, or else the digest that the pins lock.

    Args:
        wanted: the wheel.
        dist: the folder where the wheel may lie.
        index: where the index is served; None takes the one in the folder, by its ``file:`` address.

    Raises:
        PatchsetError: the wheel is damaged or not the released one, its digest is not known, there is no index, or its
            address is none, or has a password in it.
    """
    if (dist / wanted.file).is_file():
        wheel = read(dist / wanted.file)
        compare([wheel], [wanted.release])
        sha256 = wheel.sha256
    elif wanted.sha256:
        sha256 = wanted.sha256
    else:
        command = f"python -m patchset build {wanted.release.version}{' --tagged' if wanted.tagged else ''}"
        raise PatchsetError(f"no {wanted.file} in {dist}; build it with `{command}`")
    folder = dist / FOLDERS[wanted.tagged]
    if index is None and not folder.is_dir():
        raise PatchsetError(
            f"say with --index where the wheels are served, or write an index with `python -m patchset index {dist}`"
        )
    address = index or folder.resolve().as_uri()
    return Pin(wanted.version, wanted.file, sha256, _address(address), wanted.tagged)


def _pip(pin: Pin) -> str:
    # by its address: without it, pip and pip-compile would need another index, which they ask for every package
    return (
        "# at the end of requirements.txt, or of pip-compile's and uv's requirements.in; compile with --generate-hashes\n"
        f"peft @ {pin.url}#sha256={pin.sha256}\n"
    )


def _uv(pin: Pin) -> str:
    index = {"name": INDEX, "url": pin.index, "explicit": True}
    return _toml(
        "at the end of pyproject.toml",
        {"tool": {"uv": {"index": [index], "sources": {"peft": {"index": INDEX}}}}},
        f'then: uv add "{pin.requirement}"',
        # not `uv add --index`, whose index is not explicit: a later `uv lock --upgrade` looks elsewhere, stock's version included
        f'or instead of both: uv add "peft @ {pin.url}"',
        f"uv.lock must say sha256:{pin.sha256}",
    )


def _poetry(pin: Pin) -> str:
    if not pin.index.startswith("http"):
        raise PatchsetError("Poetry reads no index from a folder; serve it, and say with --index where")
    source = {"name": INDEX, "url": pin.index, "priority": "explicit"}
    return _toml(
        "at the end of pyproject.toml",
        {"tool": {"poetry": {"source": [source]}}},
        f'then: poetry add --lock --source {INDEX} "{pin.requirement}"',
        f"the table by a command: poetry source add --priority=explicit {INDEX} {pin.index}",
        f"poetry.lock must say sha256:{pin.sha256}",
    )


def _pdm(pin: Pin) -> str:
    return _toml(
        "at the end of pyproject.toml",
        {"tool": {"pdm": {"source": [{"name": INDEX, "url": pin.index, "include_packages": ["peft"]}]}}},
        f'then: pdm add --no-sync "{pin.requirement}"',
        f"pdm.lock must say sha256:{pin.sha256}",
    )


def _pylock(pin: Pin) -> str:
    package = Package(
        name=canonicalize_name("peft"),
        version=Version(pin.version),
        index=pin.index,
        wheels=[PackageWheel(name=pin.file, url=pin.url, hashes={"sha256": pin.sha256})],
    )
    lock = Pylock(lock_version=Version("1.0"), created_by="peft-patchset", packages=[package]).to_dict()
    return _toml("in pylock.toml, in place of peft's [[packages]]", {"packages": lock["packages"]})


# --for
WRITERS: dict[str, Callable[[Pin], str]] = {"pip": _pip, "uv": _uv, "poetry": _poetry, "pdm": _pdm, "pylock": _pylock}


def _address(text: str) -> str:
    """An index's address, as it may stand in a project's files.

    Raises:
        PatchsetError: it is none, or has a user name or a password in it.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https", "file") or not (parts.hostname or parts.scheme == "file" and parts.path):
        raise PatchsetError(f"--index {redacted(text)} is no address; it begins with http://, https:// or file:///")
    if parts.username is not None or parts.password is not None:
        raise PatchsetError(
            f"--index has a user name or a password in it, which would go into the project; say {redacted(text)} and "
            "keep them in a keyring, in .netrc or in the locker's own settings"
        )
    return f"{text.rstrip('/')}/"


def _toml(before: str, content: object, *after: str) -> str:
    notes = "".join(f"# {line}\n" for line in after)
    return f"# {before}\n{tomlkit.dumps(content)}{notes}"  # type: ignore[arg-type]
