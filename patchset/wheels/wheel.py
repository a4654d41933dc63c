"""From setuptools' wheel to ours: change notice and SBOM inside, and the same bytes wherever it is built.

Entries are sorted, have one date and one mode, and are stored without compression, since the bytes that zlib makes
differ between the builds of zlib that Pythons link.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZIP_STORED, ZipInfo

from wheel.wheelfile import WheelFile

from patchset.pins import Wheel
from patchset.series.tree import Tree
from patchset.wheels.sbom import SBOM, sbom

# 1980-01-01, the first date that a zip file can hold
_EPOCH = "315532800"
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
    patches = "\n".join(f"  {patch.path.name}: {patch.subject.partition('] ')[2]}" for patch in tree.patches)
    return (
        f"{name}\n\n"
        f"This is PEFT {release.version}, Copyright The HuggingFace Team, licensed under the Apache License,\n"
        "Version 2.0, with changes. It is not made, endorsed or supported by Hugging Face.\n\n"
        f"Made from {release.sdist}\n  sha256 {release.sha256}\n\n"
        f"Patches, in the order in which they were applied:\n{patches}\n\n"
        f"Changed files:\n{changes}\n"
        f"{version}"
    )


def added_files(wheel: Wheel, tree: Tree) -> dict[str, bytes]:
    """What we add to a wheel's ``.dist-info``, by path below it: the change notice and the SBOM (PEP 770)."""
    return {
        "licenses/NOTICE": notice(wheel, tree).encode(),
        SBOM: sbom(wheel, tree.patches),
    }


def extend_metadata(metadata: bytes) -> bytes:
    """Core metadata that lists our NOTICE as well (PEP 639: each file below ``licenses/`` has its field)."""
    lines = metadata.splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if line.startswith(b"License-File: "))
    return b"".join([*lines[: last + 1], b"License-File: NOTICE\n", *lines[last + 1 :]])


def extend_dist_info(dist_info: Path, files: dict[str, bytes]) -> None:
    """Do to an unpacked ``.dist-info`` folder what `rewrite` does to the one in the wheel."""
    for name, data in files.items():
        (dist_info / name).parent.mkdir(parents=True, exist_ok=True)
        (dist_info / name).write_bytes(data)
    metadata = dist_info / "METADATA"
    metadata.write_bytes(extend_metadata(metadata.read_bytes()))


def rewrite(source: Path, target: Path, files: dict[str, bytes]) -> None:
    """Write a wheel anew with files added to its ``.dist-info``, reproducibly.

    Args:
        source: the wheel that setuptools built; checked against its RECORD while it is read.
        target: the wheel to write, of the same file name in another folder.
        files: what to add, from `added_files`.
    """
    with WheelFile(source) as old:
        content = {name: old.read(name) for name in old.namelist() if name != old.record_path}
        content.update({f"{old.dist_info_path}/{name}": data for name, data in files.items()})
        content[f"{old.dist_info_path}/METADATA"] = extend_metadata(content[f"{old.dist_info_path}/METADATA"])
    write(target, content)


def write(target: Path, content: dict[str, bytes]) -> None:
    """Write a wheel from its files, without RECORD, which is made anew; the same files give the same bytes."""
    with _epoch(), WheelFile(target, "w", ZIP_STORED) as new:
        # PEP 427 recommends that .dist-info comes last.
        for name in sorted(content, key=lambda name: (name.startswith(f"{new.dist_info_path}/"), name)):
            entry = ZipInfo(name, _DATE)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.create_system = 3  # Unix, on Windows too: the modes are read by it
            new.writestr(entry, content[name])


@contextmanager
def _epoch() -> Iterator[None]:
    """The date of RECORD, which WheelFile writes itself and takes from the environment."""
    before = os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = _EPOCH
    try:
        yield
    finally:
        del os.environ["SOURCE_DATE_EPOCH"]
        if before is not None:
            os.environ["SOURCE_DATE_EPOCH"] = before
