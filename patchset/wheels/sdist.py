"""Our own source package: the pristine sdist, the pin, the series and the backend. It builds without a network."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from patchset.pins import ROOT, Request, alone
from patchset.sources.sdists import Sdists

_FILES = ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "NOTICE", "vendor/build-constraints.txt")


def write(folder: Path, request: Request, metadata: bytes) -> Path:
    """Write ``peft-<release>+kwargs.<N>.tar.gz`` and return its path.

    Args:
        folder: where to write it.
        request: the only release that the package can build, and where to take upstream's sdist from.
        metadata: the wheel's core metadata, which become PKG-INFO.
    """
    base = f"peft-{request.release.patched_version}"
    target = folder / f"{base}.tar.gz"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in sorted(_contents(request, metadata)):
            entry = tarfile.TarInfo(f"{base}/{name}")
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    target.write_bytes(stored(packed.getvalue()))
    return target


def stored(data: bytes) -> bytes:
    """A gzip file without compression, for the reason that wheels have none: what zlib makes differs between its builds.

    RFC 1952: the header has no file name and no time. RFC 1951, section 3.2.4: blocks that are stored.
    """
    parts = [b"\x1f\x8b\x08\0\0\0\0\0\0\xff"]
    for start in range(0, len(data), 0xFFFF):
        block = data[start : start + 0xFFFF]
        last = start + len(block) == len(data)
        parts += [struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block]
    return b"".join([*parts, struct.pack("<LL", zlib.crc32(data), len(data) & 0xFFFFFFFF)])


def _contents(request: Request, metadata: bytes) -> Iterator[tuple[str, bytes]]:
    release = request.release
    yield "PKG-INFO", metadata
    yield f"vendor/{release.sdist}", Sdists(request.sdist, [release]).obtain(release)
    yield "vendor/releases.toml", alone(release).encode()
    files = [ROOT / name for name in _FILES]
    for path in [*files, *(ROOT / "patchset").rglob("*.py"), *release.series_dir.iterdir()]:
        yield path.relative_to(ROOT).as_posix(), path.read_bytes()
