"""Unpack an sdist, trusting nothing in it: plain files and folders alone, in its own folder, with fixed modes."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from patchset.errors import PatchsetError


def unpack(data: bytes, parent: Path, folder: str) -> Path:
    """Unpack a gzipped tar whose members all lie in one folder.

    Each member is written by its name and contents alone, so that this is as safe on Pythons without the filters of
    PEP 706 (before 3.10.12 and 3.11.4).

    Args:
        data: the archive.
        parent: an existing folder, outside of which nothing is written.
        folder: the name of the archive's only top-level folder (the sdist format's rule).

    Returns:
        The unpacked folder, ``parent / folder``.

    Raises:
        PatchsetError: not such an archive, or a member would leave its folder, is a link or a device.
    """
    root = (parent / folder).resolve()
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for member in archive:
                target = parent / member.name
                if not (member.isfile() or member.isdir()):
                    raise PatchsetError(
                        f"{folder}: {member.name} is neither a file nor a folder; nothing of it is used"
                    )
                if ".." in target.parts or not target.resolve().is_relative_to(root):
                    raise PatchsetError(
                        f"{folder}: {member.name} lies outside the sdist's folder; nothing of it is used"
                    )
                made = target if member.isdir() else target.parent
                made.mkdir(parents=True, exist_ok=True)
                # The owner's umask and the packer's modes must not reach the wheel.
                made.chmod(0o755)
                if content := archive.extractfile(member):
                    target.write_bytes(content.read())
                    target.chmod(0o644)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise PatchsetError(f"cannot unpack {folder}: {error}") from error
    return parent / folder
