"""``lock``: what to paste into a project, so that its locker takes one patched wheel and keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin

import tomlkit
from packaging.pylock import Package, PackageWheel, Pylock
from packaging.utils import canonicalize_name
from packaging.version import Version

from patchset.dist.artifacts import read
from patchset.errors import PatchsetError
from patchset.sources.settings import settings
from patchset.pins import Wheel
from patchset.dist.index import FOLDERS, compare

_NAME = "peft-kwargs"


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
        PatchsetError: the wheel is damaged or not the released one, its digest is not known, or there is no index.
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
    return Pin(wanted.version, wanted.file, sha256, f"{address.rstrip('/')}/", wanted.tagged)


def _pip(pin: Pin) -> str:
    if pin.tagged:
        # neither pip nor pip-compile can bind a package to an index, and other indexes have files of this version
        return (
            "# requirements.txt; for pip-compile, put all but the hash into requirements.in and add --generate-hashes --allow-unsafe\n"
            f"peft @ {pin.url} \\\n    --hash=sha256:{pin.sha256}\n"
        )
    return (
        "# requirements.txt; for pip-compile, put all but the hash into requirements.in and add --generate-hashes --allow-unsafe\n"
        f"--extra-index-url {pin.index}\n"
        f"peft=={pin.version} \\\n    --hash=sha256:{pin.sha256}\n"
    )


def _uv(pin: Pin) -> str:
    return _toml(
        f"pyproject.toml, then: uv lock --upgrade-package peft. uv.lock must say sha256:{pin.sha256}",
        {
            "project": {"dependencies": [f"peft=={pin.version}"]},
            "tool": {
                "uv": {
                    "sources": {"peft": {"index": _NAME}},
                    "index": [{"name": _NAME, "url": pin.index, "explicit": True}],
                }
            },
        },
    )


def _poetry(pin: Pin) -> str:
    source = [{"name": _NAME, "url": pin.index, "priority": "explicit"}]
    # Poetry asks an API that many indexes do not have, unless another one is its primary source.
    source += [{"name": f"index{i or ''}", "url": url, "priority": "primary"} for i, url in enumerate(_configured())]
    return _toml(
        f"pyproject.toml, then: poetry update --lock peft. poetry.lock must say sha256:{pin.sha256}",
        {
            "project": {"dependencies": [f"peft=={pin.version}"]},
            "tool": {"poetry": {"dependencies": {"peft": {"source": _NAME}}, "source": source}},
        },
    )


def _pdm(pin: Pin) -> str:
    return _toml(
        f"pyproject.toml, then: pdm lock --update-reuse. pdm.lock must say sha256:{pin.sha256}",
        {
            "project": {"dependencies": [f"peft=={pin.version}"]},
            "tool": {"pdm": {"source": [{"name": _NAME, "url": pin.index, "include_packages": ["peft"]}]}},
        },
    )


def _pylock(pin: Pin) -> str:
    package = Package(
        name=canonicalize_name("peft"),
        version=Version(pin.version),
        index=pin.index,
        wheels=[PackageWheel(name=pin.file, url=pin.url, hashes={"sha256": pin.sha256})],
    )
    lock = Pylock(lock_version=Version("1.0"), created_by="peft-patchset", packages=[package])
    return _toml("pylock.peft.toml, or its [[packages]] table in place of peft's in a pylock.toml", lock.to_dict())


# --for
WRITERS: dict[str, Callable[[Pin], str]] = {"pip": _pip, "uv": _uv, "poetry": _poetry, "pdm": _pdm, "pylock": _pylock}


def _configured() -> list[str]:
    """Indexes that pip or uv is configured for here; folders are none for Poetry, and passwords are for nobody."""
    return [url for url in settings().indexes if url.startswith("http") and "@" not in url]


def _toml(comment: str, content: object) -> str:
    return f"# {comment}\n{tomlkit.dumps(content)}"  # type: ignore[arg-type]
