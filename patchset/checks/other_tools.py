"""Do GNU patch, quilt and git lay out the same tree as the engine?"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from patchset.errors import PatchsetError
from patchset.pins import Release
from patchset.series.digest import tree_digest
from patchset.series.patch import read_series
from patchset.sources.sdists import obtain
from patchset.sources.unpack import unpack

TOOLS = ("patch", "quilt", "git am")

# What the tools leave beside the tree.
_LEFTOVERS = (".git", ".pc", ".quiltrc")


class Missing(Exception):
    """The tool is not installed here."""


def check(tool: str, release: Release, digest: str, sdist: str | None = None) -> None:
    """Apply a release's series with another tool and compare the trees.

    Args:
        tool: one of `TOOLS`.
        release: the pin.
        digest: what the engine's tree has.
        sdist: upstream's sdist, or a folder of them.

    Raises:
        Missing: the tool is not installed.
        PatchsetError: it fails, or its tree differs.
    """
    if shutil.which(tool.split()[0]) is None:
        raise Missing(f"{tool.split()[0]} is not installed")
    with tempfile.TemporaryDirectory() as scratch:
        tree = unpack(obtain(release, sdist), Path(scratch), release.folder)
        patches = [patch.path for patch in read_series(release.series_dir)]
        {"patch": _gnu_patch, "quilt": _quilt, "git am": _git_am}[tool](tree, patches, release)
        theirs = tree_digest(tree, ignore=lambda path: path.name in _LEFTOVERS)
    if theirs != digest:
        raise PatchsetError(f"gives a tree with digest {theirs}, the engine's has {digest}")


def _gnu_patch(tree: Path, patches: Sequence[Path], release: Release) -> None:
    for patch in patches:
        _run(tree, "patch", "-p1", "--fuzz=0", "--batch", "--no-backup-if-mismatch", "-i", str(patch))


def _quilt(tree: Path, patches: Sequence[Path], release: Release) -> None:
    if not patches:
        return
    # An empty quiltrc keeps the user's own out of it.
    (tree / ".quiltrc").touch()
    series = {"QUILT_PATCHES": str(release.series_dir), "QUILT_PATCH_OPTS": "--fuzz=0"}
    _run(tree, "quilt", "--quiltrc", ".quiltrc", "push", "-a", **series)


def _git_am(tree: Path, patches: Sequence[Path], release: Release) -> None:
    identity = {f"GIT_{role}_{part}": "patchset" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    # The user's and the system's settings (hooks, signing, line ends) must not matter.
    quiet = {**identity, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for arguments in (["init", "--quiet"], ["add", "--all", "--force"], ["commit", "--quiet", "--message", "stock"]):
        _run(tree, "git", *arguments, **quiet)
    if patches:
        _run(tree, "git", "am", "--quiet", *map(str, patches), **quiet)


def _run(folder: Path, *command: str, **variables: str) -> None:
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C", **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        lines = result.stdout.strip().splitlines()
        raise PatchsetError(f"{' '.join(command[:2])} failed: {lines[-1] if lines else result.returncode}")
