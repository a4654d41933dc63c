"""Files: their digest, and how they and folders appear whole or not at all, whatever ends the process meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl

# What is not whole yet is called so, and lies beside what it is going to be.
PARTIAL = ".partial-"
# What such a folder holds while something new is put in its place is called so, and by its own name.
_OLD = "old-"


def sha256(path: Path) -> str:
    """A file's SHA-256, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def replace(path: Path, content: bytes | str) -> None:
    """Write a file in one step: it has the old content or the new one, never a part.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    data = content.encode() if isinstance(content, str) else content
    with staged(path.parent) as scratch:
        fresh = scratch / path.name
        fresh.write_bytes(data)  # with the mode that the umask gives
        fresh.replace(path)


@contextlib.contextmanager
def staged(parent: Path) -> Iterator[Path]:
    """A folder of one's own for what is to be renamed into `parent` once it is whole.

    It is removed in the end. Those that killed processes left are removed first; who is still at work holds a lock.

    Args:
        parent: made if it is missing.
    """
    parent.mkdir(parents=True, exist_ok=True)
    restore(parent)
    with contextlib.ExitStack() as stack:
        while True:
            scratch = Path(tempfile.mkdtemp(dir=parent, prefix=PARTIAL))
            with contextlib.suppress(FileNotFoundError):
                stack.enter_context(locked(scratch))
            # Before it was locked, another process may have taken it for what a dead one left.
            if scratch.exists():
                break
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        yield scratch


def restore(parent: Path) -> None:
    """Remove what killed processes left in a folder; what they were about to replace is put back."""
    for left in parent.glob(f"{PARTIAL}*"):
        with contextlib.suppress(OSError), locked(left, wait=False):
            for old in left.glob(f"{_OLD}*"):
                if not (target := parent / old.name.removeprefix(_OLD)).exists():
                    old.rename(target)
            shutil.rmtree(left, ignore_errors=True)


def put(fresh: Path, target: Path) -> None:
    """Put a folder in the place of another, or where none is.

    Args:
        fresh: a folder in one that `staged` gave.
        target: a name beside that one.
    """
    if target.exists():
        target.rename(fresh.with_name(f"{_OLD}{target.name}"))
    fresh.rename(target)


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a folder's lock, which the operating system gives back if the process dies; Windows has none for folders.

    A program that inherits it (git does, see `patchset.commits.git`) holds it too, and may outlive the process.

    Args:
        folder: an existing folder.
        wait: for who holds it.

    Raises:
        BlockingIOError: another process holds it, and `wait` is false.
    """
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    os.set_inheritable(handle, True)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
