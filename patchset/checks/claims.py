"""What patch files claim, held against upstream: the fix is in the release they name, and upstream's linter is content."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from packaging.version import Version

from patchset.checks.other_tools import Missing
from patchset.checks.patch_tests import interpreter, pass_on, prove
from patchset.commits.git import git
from patchset.commits.worktree import STOCK, lay_out
from patchset.errors import PatchsetError, Unavailable
from patchset.pins import Release, load
from patchset.series.patch import Patch, read_series
from patchset.series.tree import takes
from patchset.sources.sdists import Sdists


def applied_upstream(release: Release, sdists: Sdists) -> None:
    """Check the series' Applied-Upstream claims, as far as that goes without running anything.

    The named release must be pinned and newer, no series from it on may carry the patch, and the code that the patch
    changes must not be there as it was. That its tests pass there takes torch: `tests`.

    Raises:
        Missing: the sdist of a release that is said to have a fix is not to be had.
        PatchsetError: the first claim that is not true.
    """
    for patch in read_series(release.series_dir):
        claimed = patch.fixed_in
        if claimed is None:
            continue
        fixed = next((other for other in load() if other.version == claimed), None)
        if fixed is None:
            raise PatchsetError(f"{patch.path.name} says that {claimed} has the fix, but no such release is pinned")
        if Version(claimed) <= Version(release.version):
            raise PatchsetError(f"{patch.path.name} says that {claimed} has the fix; retire it from {release.series}")
        for other in (other for other in load() if Version(other.version) >= Version(claimed)):
            if patch.slug in [carried.slug for carried in read_series(other.series_dir)]:
                raise PatchsetError(
                    f"{patch.path.name} says that {claimed} has the fix, but {other.series} carries it"
                )
        try:
            if takes(fixed, [source_only(patch)], sdists):
                raise PatchsetError(f"{patch.path.name} says that {claimed} has the fix, but still applies there")
        except Unavailable as error:
            raise Missing(str(error)) from error


def tests(release: Release, python: str | None, sdists: Sdists) -> str:
    """Run each patch's tests without and with it, and those of a backport on the release that has upstream's fix.

    Args:
        release: the pin.
        python: an interpreter, see `patchset.checks.patch_tests.interpreter`.
        sdists: where to take upstream's from.

    Returns:
        The outcomes, for people.

    Raises:
        Missing: there is no environment to run them in.
        PatchsetError: the first patch whose tests do not tell whether it is there.
    """
    runner = interpreter(release.version, python)
    patches = read_series(release.series_dir)
    said = []
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / release.folder
        lay_out(release, tree, sdists)
        for patch, commit in zip(patches, git(tree, "rev-list", "--reverse", f"{STOCK}..HEAD").split(), strict=True):
            before, after = prove(runner, tree, patch, commit)
            said.append(f"{patch.slug}: without it {before.summary}, with it {after.summary}")
            for fixed in (other for other in load() if other.version == patch.fixed_in):
                with tempfile.TemporaryDirectory(dir=scratch) as folder:
                    said.append(_upstream(patch, commit, tree, fixed, python, sdists.unpack(fixed, Path(folder))))
    return "; ".join(said)


def _upstream(patch: Patch, commit: str, tree: Path, fixed: Release, python: str | None, theirs: Path) -> str:
    """Do the patch's tests pass on the release that is said to have the fix?"""
    try:
        runner = interpreter(fixed.version, python)
    except Missing as missing:
        return f"not tried on {fixed.version}, {missing}"
    outcome = pass_on(runner, tree, patch, commit, theirs)
    if outcome.failed or not outcome.passed:
        found = f"{outcome.summary}: {outcome.first_failure}"
        raise PatchsetError(f"{patch.path.name} says that {fixed.version} has the fix; there, {found}")
    return f"on stock {fixed.version} {outcome.summary}"


def style(tree: Path, changed: Sequence[str]) -> str:
    """Run the ruff that upstream pins for this release, with upstream's configuration, over the changed files.

    Args:
        tree: the patched tree, not stamped.
        changed: the files that the patches change.

    Returns:
        The requirement, as upstream has it.

    Raises:
        Missing: neither uv is here nor the network that it needs.
        PatchsetError: ruff finds something or would write a file otherwise.
    """
    uv = shutil.which("uv")
    if uv is None:
        raise Missing("uv is not installed; it runs the ruff that upstream pins")
    match = re.search(r'"(ruff *[=~<>!][^"]*)"', (tree / "setup.py").read_text("utf-8"))
    if match is None:
        raise Missing("upstream's setup.py pins no ruff")
    requirement = match[1].replace(" ", "")
    files = [name for name in changed if name.endswith(".py") and (tree / name).exists()]
    if not files:  # without a name, ruff takes all files
        return requirement
    for arguments in (["check"], ["format", "--check"]):
        command = [uv, "tool", "run", "--isolated", "--no-progress", "--from", requirement, "ruff", *arguments]
        result = subprocess.run(
            [*command, "--no-cache", *files], cwd=tree, capture_output=True, text=True, check=False
        )
        if result.returncode:
            lines = (result.stdout.strip() or result.stderr.strip()).splitlines()
            raise PatchsetError(f"{requirement} {arguments[0]}: {lines[0] if lines else result.returncode}")
    return requirement


def source_only(patch: Patch) -> Patch:
    """A patch without its tests, to which upstream's own may lie close."""
    parts = re.split(rb"(?m)^(?=diff --git )", patch.diff)
    kept = [part for part in parts if part and not part.startswith(b"diff --git a/tests/")]
    return Patch(patch.path, patch.subject, patch.message, patch.fields, patch.diffstat, b"".join(kept))
