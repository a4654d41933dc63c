"""Do GNU patch, quilt and git lay out the same tree as the engine?"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from patchset.commits.git import git
from patchset.commits.worktree import start
from patchset.errors import PatchsetError
from patchset.pins import Release
from patchset.series.digest import tree_digest
from patchset.series.patch import series_files
from patchset.sources.sdists import Sdists

TOOLS = ("patch", "quilt", "git am")

# What the tools leave beside the tree.
_LEFTOVERS = (".git", ".pc", ".quiltrc")


class Missing(Exception):
    """The tool is not installed here."""


def check(tool: str, release: Release, digest: str, sdists: Sdists) -> None:
    """Apply a release's series with another tool and compare the trees.

    Args:
        tool: one of `TOOLS`.
        release: the pin.
        digest: what the engine's tree has.
        sdists: where to take upstream's from.

    Raises:
        Missing: the tool is not installed.
        PatchsetError: it fails, or its tree differs.
    """
    if shutil.which(tool.split()[0]) is None:
        raise Missing(f"{tool.split()[0]} is not installed")
    with tempfile.TemporaryDirectory() as scratch:
        tree = sdists.unpack(release, Path(scratch))
        patches = series_files(release.series_dir)
        {"patch": _gnu_patch, "quilt": _quilt, "git am": _git_am}[tool](tree, patches, release)
        theirs = tree_digest(tree, ignore=lambda path: path.name in _LEFTOVERS)
    if theirs != digest:
        raise PatchsetError(f"gives a tree with digest {theirs}, the engine's has {digest}")


def _gnu_patch(tree: Path, patches: Sequence[Path], release: Release) -> None:
    for patch in patches:
        _run(tree, "patch", "-p1", "--fuzz=0", "--force", "--no-backup-if-mismatch", "-i", str(patch))


def _quilt(tree: Path, patches: Sequence[Path], release: Release) -> None:
    if not patches:
        return
    # An empty quiltrc keeps the user's own out of it.
    (tree / ".quiltrc").touch()
    series = {"QUILT_PATCHES": str(release.series_dir), "QUILT_PATCH_OPTS": "--fuzz=0"}
    _run(tree, "quilt", "--quiltrc", ".quiltrc", "push", "-a", **series)


def _git_am(tree: Path, patches: Sequence[Path], release: Release) -> None:
    start(tree, release)
    if patches:
        git(tree, "am", "--quiet", *map(str, patches))


def _run(folder: Path, *command: str, **variables: str) -> None:
    # The user's own settings of these tools, and what an enclosing quilt has set, must not matter.
    foreign = ("GIT_", "PATCH_", "QUILT_", "POSIXLY_CORRECT", "VERSION_CONTROL", "SIMPLE_BACKUP_SUFFIX")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    result = subprocess.run(
        command,
        cwd=folder,
        env={**kept, "LC_ALL": "C", **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        lines = result.stdout.strip().splitlines()
        raise PatchsetError(f"{' '.join(command[:2])} failed: {lines[-1] if lines else result.returncode}")
