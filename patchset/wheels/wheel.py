"""From setuptools' wheel to ours: change notice and SBOM inside, and the same bytes wherever it is built.

Entries are sorted, have one date and one mode, and are stored without compression, since the bytes that zlib makes
differ between the builds of zlib that Pythons link.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import stat
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from patchset.pins import Wheel
from patchset.series.tree import Tree
from patchset.wheels.fork import fork
from patchset.wheels.sbom import SBOM, sbom

# the first date that a zip file can hold
_DATE = (1980, 1, 1, 0, 0, 0)


def notice(wheel: Wheel, tree: Tree) -> str:
    """The text that tells a wheel's readers what was changed (Apache-2.0, section 4(b))."""
    release = wheel.release
    if wheel.tagged:
        name = f"peft {wheel.version}, build {wheel.tag}"
        version = (
            "It keeps upstream's version, for programs that compare versions when they start; a wheel's file name and\n"
            "its WHEEL file tell it from upstream's by the build tag.\n"
        )
    else:
        name = f"peft {wheel.version}"
        version = "The version was also changed in setup.py and src/peft/__init__.py.\n"
    changes = "\n".join(f"  {file}" for file in tree.changed)
    patches = "\n".join(f"  {patch.path.name}: {patch.title}" for patch in tree.patches)
    return (
        f"{name}\n\n"
        f"This is PEFT {release.version}, Copyright The HuggingFace Team, licensed under the Apache License,\n"
        "Version 2.0, with changes. It is not made, endorsed or supported by Hugging Face.\n\n"
        f"{fork().notice}\n"
        f"Made from {release.sdist}\n  sha256 {release.sha256}\n\n"
        f"Patches, in the order in which they were applied:\n{patches}\n\n"
        f"Changed files:\n{changes}\n"
        f"{version}"
    )


def extend_metadata(metadata: bytes) -> bytes:
    """Core metadata that lists our NOTICE as well (PEP 639: each file below ``licenses/`` has its field), and says whose it is."""
    lines = metadata.splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if line.startswith(b"License-File: "))
    return b"".join([*lines[: last + 1], b"License-File: NOTICE\n", fork().metadata, *lines[last + 1 :]])


def extended(content: dict[str, bytes], wheel: Wheel, tree: Tree) -> dict[str, bytes]:
    """setuptools' files of a wheel, with the change notice and the SBOM (PEP 770) in its ``.dist-info``."""
    dist_info = f"peft-{wheel.version}.dist-info"
    return {
        **content,
        f"{dist_info}/METADATA": extend_metadata(content[f"{dist_info}/METADATA"]),
        f"{dist_info}/licenses/NOTICE": notice(wheel, tree).encode(),
        f"{dist_info}/{SBOM}": sbom(wheel, tree.patches),
    }


def read(wheel: Path) -> dict[str, bytes]:
    """A wheel's files by name, without RECORD."""
    record = f"{_dist_info(wheel)}/RECORD"
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != record}


def write(target: Path, content: dict[str, bytes]) -> None:
    """Write a wheel from its files, without RECORD, which is made anew; the same files give the same bytes."""
    dist_info = _dist_info(target)
    # PEP 427 recommends that .dist-info comes last.
    names = sorted(content, key=lambda name: (name.startswith(f"{dist_info}/"), name))
    record = f"{dist_info}/RECORD"
    lines = [(name, record_digest(content[name]), len(content[name])) for name in names]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([*lines, (record, "", "")])
    with ZipFile(target, "w", ZIP_STORED) as new:
        for name in [*names, record]:
            entry = ZipInfo(name, _DATE)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.create_system = 3  # Unix, on Windows too: the modes are read by it
            new.writestr(entry, text.getvalue() if name == record else content[name])


def _dist_info(wheel: Path) -> str:
    """The name of a wheel's ``.dist-info`` folder."""
    return f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"


def record_digest(data: bytes) -> str:
    """A file's digest as RECORD has it (the wheel format): base64 without the equals signs in the end."""
    return f"sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')}"
