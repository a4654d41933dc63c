"""Unpack an sdist, trusting nothing in it: PEP 706's filter, plain files and folders alone, fixed modes."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from patchset._errors import PatchsetError


def unpack(data: bytes, parent: Path, folder: str) -> Path:
    """Unpack a gzipped tar whose members all lie in one folder.

    Args:
        data: the archive.
        parent: an existing folder, outside of which nothing is written.
        folder: the name of the archive's only top-level folder (the sdist format's rule).

    Returns:
        The unpacked folder, ``parent / folder``.

    Raises:
        PatchsetError: not such an archive, or a member would leave its folder, is a link or a device.
    """
    if not hasattr(tarfile, "data_filter"):
        raise PatchsetError("this Python is too old to unpack safely (PEP 706); use 3.10.12, 3.11.4, 3.12 or newer")

    def keep(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
        if not (member.isfile() or member.isdir()):
            raise PatchsetError(f"{folder}: {member.name} is neither a file nor a folder; nothing of it is used")
        if member.name.split("/")[0] != folder:
            raise PatchsetError(f"{folder}: {member.name} lies outside the sdist's folder; nothing of it is used")
        # The owner's umask and the packer's modes must not reach the wheel.
        return tarfile.data_filter(member, path).replace(mode=0o755 if member.isdir() else 0o644, deep=False)

    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            archive.extractall(parent, filter=keep)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise PatchsetError(f"cannot unpack {folder}: {error}") from error
    return parent / folder
