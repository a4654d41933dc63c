"""One digest for a whole tree: git's tree id, in its SHA-256 object format.

``git init --object-format=sha256``, ``git add --all --force`` and ``git write-tree`` give the same 64 digits, so
that anybody can check the lock without this tool. Empty folders do not count, as in git.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path


def tree_digest(folder: Path, ignore: Callable[[Path], bool] = lambda path: path.name == ".git") -> str:
    """The git tree id of a folder of plain files.

    Args:
        folder: the tree's root.
        ignore: says which files and folders do not count.
    """
    return _tree(folder, ignore).hex()


def _tree(folder: Path, ignore: Callable[[Path], bool]) -> bytes:
    entries = []
    for path in folder.iterdir():
        if ignore(path):
            continue
        if path.is_dir():
            if any(not ignore(child) for child in path.iterdir()):
                # git sorts a folder as if its name ended in a slash
                entries.append((f"{path.name}/", b"40000", path.name, _tree(path, ignore)))
        else:
            entries.append((path.name, b"100644", path.name, _object(b"blob", path.read_bytes())))
    entries.sort(key=lambda entry: entry[0].encode())
    return _object(
        b"tree", b"".join(mode + b" " + name.encode() + b"\0" + digest for _, mode, name, digest in entries)
    )


def _object(kind: bytes, body: bytes) -> bytes:
    return hashlib.sha256(kind + b" " + str(len(body)).encode() + b"\0" + body).digest()
