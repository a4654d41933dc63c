"""The patched trees below ``vendor/`` that editable installs point at. Edits made there are never overwritten."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from patchset.files import staged
from patchset.pins import VENDOR, Wheel
from patchset.series.digest import tree_digest

# What builds and imports leave in a tree does not count as an edit.
_IGNORED = ("__pycache__", "build", ".ruff_cache", ".pytest_cache")


def keep(tree: Path, wheel: Wheel) -> Path:
    """Copy a patched tree to ``vendor/peft-<version>`` and return that path; a tagged one's name has its tag, too.

    A tree that lies there already is replaced if nobody has edited it since it was laid out, else it stays as it is
    and a line on standard error says so.

    Args:
        tree: the patched and stamped tree.
        wheel: whose tree it is.
    """
    target = VENDOR / f"peft-{wheel.name}"
    record = VENDOR / f".{target.name}.digest"
    fresh = _digest(tree)
    if target.is_dir():
        found = _digest(target)
        if found == fresh:
            return target
        if not record.is_file() or found != record.read_text().strip():
            print(f"{target} was edited; it stays as it is. Remove it to start afresh", file=sys.stderr)
            return target
        shutil.rmtree(target)
    with staged(VENDOR) as scratch:
        copy = scratch / target.name
        shutil.copytree(tree, copy)
        try:
            copy.rename(target)
        except OSError:
            # another build was faster; its tree is the same
            if not target.is_dir():
                raise
    record.write_text(f"{fresh}\n")
    return target


def _digest(tree: Path) -> str:
    return tree_digest(tree, ignore=lambda path: path.name in _IGNORED or path.name.endswith(".egg-info"))
