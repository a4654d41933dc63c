"""Lock files: pylock.toml (PEP 751), uv's, Poetry's and PDM's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from packaging.pylock import (
    Package,
    PackageSdist,
    PackageWheel,
    Pylock,
    PylockUnsupportedVersionError,
    PylockValidationError,
)
from packaging.utils import canonicalize_name

from patchset.doctor.asks import HASH, Document, Locked, Node
from patchset.doctor.origins import Origin
from patchset.errors import PatchsetError
from patchset.pins import read_toml


def read(path: Path) -> Document:
    """Read a lock file.

    Raises:
        PatchsetError: it cannot be read, or is of no known kind.
    """
    content = read_toml(path)
    root = Node(content, path)
    if "lock-version" in content and "package" not in content:
        return Document(locker="pylock", locked=list(_of_pylock(content, path)))
    # uv writes `version = 1`; Poetry's and PDM's have [metadata], theirs with its own fields
    metadata = root["metadata"] if isinstance(content.get("metadata"), dict) else Node({}, path)
    if "version" in content:
        locker, one = "uv", _of_uv
    elif metadata["lock_version"]:
        locker, one = "pdm", _of_pdm
    elif metadata["lock-version"] or metadata["content-hash"]:
        locker, one = "poetry", _of_poetry
    else:
        raise PatchsetError(f"cannot read {path}: it is no lock file of uv, Poetry or PDM, and no pylock.toml")
    document = Document(locker=locker)
    for entry in root["package"]:
        if canonicalize_name(entry["name"].text) == "peft":
            document.locked.append(one(entry))
    # Poetry before 1.5 keeps all files there
    old = frozenset(HASH.findall(str(metadata["files"]["peft"].value)))
    if old:
        document.locked = [Locked(item.version, old, str(metadata.value)) for item in document.locked]
    return document


def _of_pylock(content: dict[str, object], path: Path) -> Iterator[Locked]:
    try:
        lock = Pylock.from_dict(content)
    except (PylockValidationError, PylockUnsupportedVersionError) as error:
        raise PatchsetError(f"cannot read {path}: {error}") from error
    for package in lock.packages:
        if package.name == "peft":
            yield _of_package(package)


def _of_package(package: Package) -> Locked:
    files: list[PackageWheel | PackageSdist] = [*(package.wheels or []), *filter(None, [package.sdist])]
    archive, vcs, directory = package.archive, package.vcs, package.directory
    hashes = [file.hashes.get("sha256", "") for file in (*files, *filter(None, [archive]))]
    names = [str(file.name or file.url or file.path) for file in files]
    origin = ""
    if vcs:
        origin = f"{vcs.type}+{vcs.url or vcs.path}@{vcs.commit_id}"
    elif archive:
        names.append(str(archive.url or archive.path))
    elif directory:
        origin = directory.path
    return Locked(
        str(package.version or next(filter(None, map(_version_of, names)), "")),
        frozenset(filter(None, hashes)),
        " ".join(names),
        origin,
        str(package.marker or ""),
    )


def _version_of(file: str) -> str:
    return Origin.of(file.rpartition("/")[2]).version


def _of_uv(entry: Node) -> Locked:
    source = entry["source"]
    markers = " or ".join(marker.text for marker in entry["resolution-markers"])
    origin = next((source[kind].text for kind in ("directory", "editable", "virtual", "path") if source[kind]), "")
    if origin.endswith(".whl"):
        origin = ""
    if source["git"]:
        address, _, commit = source["git"].text.partition("#")
        origin = f"git+{address.partition('?')[0]}@{commit}"
    return _locked(entry, origin, markers)


def _of_poetry(entry: Node) -> Locked:
    source, markers = entry["source"], entry["markers"]
    origin = ""
    if source["type"].text == "git":
        origin = f"git+{source['url'].text}@{source['resolved_reference'].text}"
    elif source["type"].text == "directory":
        origin = source["url"].text
    shown = (
        markers.value if isinstance(markers.value, str) else " or ".join(str(item.value) for item in markers.values())
    )
    return _locked(entry, origin, shown)


def _of_pdm(entry: Node) -> Locked:
    origin = f"git+{entry['git'].text}@{entry['revision'].text}" if entry["git"] else ""
    if (path := entry["path"].text) and not path.endswith(".whl"):
        origin = path
    return _locked(entry, origin, entry["marker"].text)


def _locked(entry: Node, origin: str, marker: str) -> Locked:
    text = str(entry.value)
    return Locked(entry["version"].text, frozenset(HASH.findall(text)), text, origin, marker)
