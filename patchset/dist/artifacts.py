"""Built wheels and sdists in a folder: which are ours, are they whole, and what do they say about themselves."""

from __future__ import annotations

import email
import itertools
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from installer.records import parse_record_file
from installer.sources import WheelFile
from packaging.utils import (
    BuildTag,
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from patchset.errors import PatchsetError
from patchset.files import sha256
from patchset.pins import LOCAL


@dataclass(frozen=True)
class Artifact:
    """One of our files.

    Attributes:
        path: where it lies.
        version: its version, ``0.18.1+kwargs.1``, or of a tagged wheel ``0.18.1``.
        metadata: its core metadata, as bytes: METADATA of a wheel, PKG-INFO of an sdist.
        sha256: its SHA-256, in hexadecimal digits.
    """

    path: Path
    version: Version
    metadata: bytes
    sha256: str

    @property
    def tagged(self) -> bool:
        """Whether it is a wheel that keeps upstream's version."""
        return self.version.local is None

    @property
    def is_wheel(self) -> bool:
        return self.path.suffix == ".whl"

    @property
    def requires_python(self) -> str | None:
        """The core metadata's field."""
        return email.message_from_bytes(self.metadata)["Requires-Python"]


def version_of(path: Path) -> Version | None:
    """The version that a patched peft's wheel or sdist has by its name; None for any other file, stock's too."""
    tag: BuildTag = ()
    try:
        if path.suffix == ".whl":
            name, version, tag, _ = parse_wheel_filename(path.name)
        elif path.name.endswith(".tar.gz"):
            name, version = parse_sdist_filename(path.name)
        else:
            return None
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
    if name != "peft":
        return None
    if version.local is None:
        return version if tag and tag[1].startswith(LOCAL) else None
    return version if version.local.startswith(f"{LOCAL}.") else None


def read(path: Path) -> Artifact:
    """Read one of our files, and every byte of it.

    Raises:
        PatchsetError: half-written or changed: not an archive, not what its RECORD says, or of another version or
            build tag than its name says.
    """
    version = version_of(path)
    if version is None:
        raise PatchsetError(f"{path.name} is no patched peft")
    try:
        metadata = _wheel_metadata(path) if path.suffix == ".whl" else _sdist_metadata(path, version)
    except (ValueError, zipfile.BadZipFile, zlib.error, tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise PatchsetError(f"{path} is half-written or was changed ({_said(error)}); build it anew") from error
    found = email.message_from_bytes(metadata)["Version"]
    if found != str(version):
        raise PatchsetError(f"{path} was renamed: its metadata say version {found}")
    if path.suffix == ".whl" and (tag := _build_tag(path)) != _tag_of(path):
        raise PatchsetError(f"{path} was renamed: it has {f'the build tag {tag}' if tag else 'no build tag'} inside")
    return Artifact(path, version, metadata, sha256(path))


def scan(folder: Path) -> tuple[list[Artifact], list[Path]]:
    """Our files in a folder, oldest version first, and those that are not ours.

    Raises:
        PatchsetError: no such folder, one of our files is damaged, or a version has several wheels or sdists.
    """
    if not folder.is_dir():
        raise PatchsetError(f"there is no folder {folder}; `python -m patchset build --all -o {folder}` makes one")
    found = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    ours = sorted((read(path) for path in found if version_of(path)), key=lambda file: (file.version, file.path.name))
    for first, second in itertools.pairwise(ours):
        if first.version == second.version and first.is_wheel == second.is_wheel:
            raise PatchsetError(
                f"{first.path.name} and {second.path.name} have the same version; a version has one wheel, remove one"
            )
    return ours, [path for path in found if not version_of(path)]


def _tag_of(path: Path) -> str:
    """A wheel's build tag by its name."""
    return "".join(map(str, parse_wheel_filename(path.name)[2]))


def _build_tag(path: Path) -> str:
    """A wheel's build tag by what it says of itself (PEP 427)."""
    with WheelFile.open(path) as wheel:
        return str(email.message_from_string(wheel.read_dist_info("WHEEL")).get("Build", ""))


def _said(error: Exception) -> str:
    """What an error says; installer keeps a list of issues."""
    issues = getattr(error, "issues", None)
    return str(issues[0] if issues else error)


def _wheel_metadata(path: Path) -> bytes:
    """METADATA, once every file has been compared with RECORD, and RECORD with the files (PEP 376, PEP 427)."""
    with WheelFile.open(path) as wheel:
        wheel.validate_record()
        recorded = {name for name, _, _ in parse_record_file(wheel.read_dist_info("RECORD").splitlines())}
        if missing := sorted(recorded.difference(zipfile.ZipFile(path).namelist())):
            raise ValueError(f"RECORD names {missing[0]}, which is missing")
        return wheel.read_dist_info("METADATA").encode()


def _sdist_metadata(path: Path, version: Version) -> bytes:
    with tarfile.open(path, mode="r:gz") as archive:
        members = {member.name: member for member in archive.getmembers()}
        while archive.fileobj and archive.fileobj.read(1 << 20):  # to the end, where gzip keeps its checksum
            pass
        file = archive.extractfile(members[f"peft-{version}/PKG-INFO"])
        assert file is not None  # PKG-INFO is a plain file
        return file.read()
