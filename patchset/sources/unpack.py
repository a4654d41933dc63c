"""Unpack an sdist, trusting nothing in it: plain files and folders alone, in its own folder, with fixed modes.

Nothing in it may be a git repository either: what git finds in one's configuration it runs, and the tree of an sdist is
made a work tree, in which people call git.
"""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from pathlib import Path

from patchset.errors import PatchsetError

# More than any sdist of upstream's unpacks to (a tenth of it), less than what fills a disk.
_LARGEST = 512 * 2**20  # bytes
# What HFS+ ignores in names; with the dots, spaces and streams that NTFS does, git's list of what may be .git.
_IGNORED = dict.fromkeys((*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF))
# What makes a folder a repository for git, see its setup.c.
_BARE = {"head", "objects", "refs"}


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
        PatchsetError: not such an archive; a member would leave its folder, is a link or a device, or would be a git
            repository; or there is more than an sdist holds.
    """
    root = parent / folder
    left = _LARGEST
    made: set[Path] = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for member in archive:
                _check_name(folder, member)
                target = parent / member.name
                # no links are made, so that names alone decide
                if ".." in target.parts or not target.is_relative_to(root):
                    raise PatchsetError(
                        f"{folder}: {_shown(member.name)} lies outside the sdist's folder; nothing of it is used"
                    )
                left -= member.size
                if left < 0:
                    raise PatchsetError(f"{folder}: unpacks to more than {_LARGEST >> 20} MiB; nothing of it is used")
                # The owner's umask and the packer's modes must not reach the wheel.
                inside = target if member.isdir() else target.parent
                if inside not in made:
                    inside.mkdir(parents=True, exist_ok=True)
                    inside.chmod(0o755)
                    made.add(inside)
                if content := archive.extractfile(member):
                    target.write_bytes(content.read())
                    target.chmod(0o644)
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError) as error:
        raise PatchsetError(f"cannot unpack {folder}: {error}") from error
    if not root.is_dir():
        raise PatchsetError(f"cannot unpack {folder}: it has no such folder")
    _check_bare(root, folder)
    return root


def _check_name(folder: str, member: tarfile.TarInfo) -> None:
    if not (member.isfile() or member.isdir()):
        raise PatchsetError(f"{folder}: {_shown(member.name)} is neither a file nor a folder; nothing of it is used")
    try:
        member.name.encode()
    except UnicodeEncodeError:
        raise PatchsetError(f"{folder}: {_shown(member.name)} is not UTF-8; nothing of it is used") from None
    if any(_is_git(part) for part in re.split(r"[/\\]", member.name)):
        raise PatchsetError(
            f"{folder}: {_shown(member.name)}: git would take it for a repository's; nothing of it is used"
        )


def _is_git(name: str) -> bool:
    """Whether some file system takes a name for ``.git``."""
    plain = name.translate(_IGNORED).casefold().partition(":")[0].rstrip(". ")
    return plain in (".git", "git~1")


def _check_bare(root: Path, folder: str) -> None:
    for found in (root, *(path for path in root.rglob("*") if path.is_dir())):
        if {path.name.casefold() for path in found.iterdir()} >= _BARE:
            raise PatchsetError(
                f"{folder}: {_shown(found.relative_to(root).as_posix())} is a git repository; nothing of it is used"
            )


def _shown(name: str) -> str:
    """A member's name in a message: in one line, whatever is in it."""
    return name.encode("ascii" if not name.isprintable() else "utf-8", "backslashreplace").decode()
