"""Carry a series over to another release, patch by patch, with git's three-way merges; resumable at every patch."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import tempfile
from pathlib import Path

from packaging.version import Version

from patchset.checks.claims import source_only
from patchset.checks.other_tools import Missing
from patchset.checks.patch_tests import interpreter, pass_on
from patchset.commits.git import GitError, git, succeeds
from patchset.commits.worktree import STOCK, apply, busy, lay_out, remember, start
from patchset.errors import PatchsetError
from patchset.files import replace, staged
from patchset.pins import Release, find, load
from patchset.series.patch import Patch, read_series
from patchset.sources.sdists import Sdists

APPLIES = "applies"
CHANGED = "applies with changes"
UPSTREAM = "is already upstream"
CONFLICT = "conflicts"
# The old release with its patches, whose files the three-way merges need.
BASE = "refs/patchset/base"


@dataclasses.dataclass
class Result:
    """What became of a patch: one of the words above, and why."""

    name: str
    state: str
    note: str = ""


@dataclasses.dataclass
class Port:
    """A series on its way to another release. It is kept in the work tree's ``.git`` after every step.

    Attributes:
        release: the pin to be; its ``tree`` is not known yet.
        base: the release whose series is carried over.
        results: what became of the patches so far, in order.
        head: the work tree's last commit after the last result.
        through: whether all patches are.
    """

    release: Release
    base: str
    results: list[Result]
    head: str = ""
    through: bool = False

    @property
    def patches(self) -> list[Patch]:
        return read_series(find(self.base, load()).series_dir)

    @property
    def retired(self) -> list[Patch]:
        names = {result.name for result in self.results if result.state == UPSTREAM}
        return [patch for patch in self.patches if patch.slug in names]

    @property
    def waits(self) -> bool:
        """Whether a human has to resolve a conflict, or has done so."""
        return bool(self.results) and self.results[-1].state == CONFLICT

    def save(self, tree: Path) -> None:
        self.head = git(tree, "rev-parse", "HEAD").strip()
        replace(_state(tree), json.dumps(dataclasses.asdict(self), indent=2))

    def finish(self, tree: Path) -> None:
        """Forget the port; the work tree is one as `checkout` makes it then."""
        _state(tree).unlink()
        kept_sdist(tree, self.release).unlink(missing_ok=True)


def _state(tree: Path) -> Path:
    return tree / ".git" / "patchset-adopt.json"


def kept_sdist(tree: Path, release: Release) -> Path:
    """The new release's sdist, which may be nowhere else when the port goes on."""
    return tree / ".git" / release.sdist


def saved(tree: Path) -> Port:
    """The port that a work tree is in the middle of.

    Raises:
        PatchsetError: there is none.
    """
    if not _state(tree).is_file():
        raise PatchsetError(f"nothing to go on with in {tree}; `adopt` has not been started or is finished")
    try:
        found = json.loads(_state(tree).read_text("utf-8"))
        results = [Result(**result) for result in found["results"]]
        return Port(Release(**found["release"]), found["base"], results, found["head"], found["through"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PatchsetError(
            f"{_state(tree)} is not as `adopt` writes it: {error!r}; begin anew with --abort"
        ) from error


def begin(release: Release, base: Release, tree: Path, sdists: Sdists) -> Port:
    """Lay out the new release's stock, with the old release and its patches in the same repository.

    Raises:
        PatchsetError: the folder exists, or the old series does not apply to its own release.
    """
    if tree.exists():
        raise PatchsetError(
            f"{tree} exists; go on with `adopt {release.version} --continue`, drop it with --abort, or export it"
        )
    with staged(tree.parent) as scratch:
        lay_out(base, scratch / "base", sdists)
        new = sdists.unpack(release, scratch)
        start(new, release)
        git(new, "fetch", "--quiet", "--no-tags", str(scratch / "base"), f"HEAD:{BASE}")
        kept_sdist(new, release).write_bytes(sdists.obtain(release))
        port = Port(release, base.version, [])
        port.save(new)
        new.rename(tree)
    return port


def go_on(port: Port, tree: Path, sdists: Sdists, python: str | None, use_tests: bool) -> bool:
    """Carry over the patches that are left, up to the first conflict.

    Args:
        port: where it stands; it is saved after every patch.
        tree: its work tree.
        sdists: where to take the old release from, if tests are run.
        python: an interpreter to run tests with, see `patchset.checks.patch_tests.interpreter`.
        use_tests: whether a patch's tests may show that upstream has mended what it mends.

    Returns:
        Whether all patches are through.

    Raises:
        PatchsetError: git is in the middle of something, or a patch is not well-formed.
    """
    if port.through:
        return True
    if not port.waits:
        _undo_half(port, tree)
    if busy(tree):
        raise PatchsetError(
            f"git am is under way in {tree}: resolve the conflicts, `git add` them, `git am --continue` (or "
            "`git am --skip` if upstream has it), and then again"
        )
    _settle(port, tree)
    for patch in port.patches[len(port.results) :]:
        result = _carry(port, patch, tree, sdists, python, use_tests)
        port.results.append(result)
        port.save(tree)
        if result.state == CONFLICT:
            return False
    port.through = True
    port.save(tree)
    return True


def _undo_half(port: Port, tree: Path) -> None:
    """Go back to the last patch that is through, if a run died at the next one; what lies there is put aside."""
    others = git(tree, "ls-files", "-z", "--others", "--exclude-standard").split("\0")[:-1]
    same = git(tree, "rev-parse", "HEAD").strip() == port.head and not busy(tree)
    if same and not others and not git(tree, "status", "--porcelain", "--untracked-files=no"):
        return
    # git leaves its own lock where it dies; who holds the tree's knows that none is still at work
    (tree / ".git" / "index.lock").unlink(missing_ok=True)
    git(tree, "update-ref", "refs/patchset/left", (not busy(tree) and git(tree, "stash", "create").strip()) or "HEAD")
    shutil.rmtree(tree / ".git" / "rebase-apply", ignore_errors=True)
    git(tree, "reset", "--quiet", "--hard", port.head)
    for name in git(tree, "ls-files", "-z", "--others", "--exclude-standard").split("\0")[:-1]:
        aside = tree / ".git" / "left" / name
        aside.parent.mkdir(parents=True, exist_ok=True)
        (tree / name).replace(aside)
    print(
        f"going back to where a run died; what lay there: refs/patchset/left and .git/left in {tree}", file=sys.stderr
    )


def _settle(port: Port, tree: Path) -> None:
    """Take over what was done by hand about the conflict that the last run stopped at."""
    if not port.waits:
        return
    last = port.results[-1]
    if git(tree, "rev-parse", "HEAD").strip() == port.head:
        port.results[-1] = Result(last.name, UPSTREAM, "skipped by hand")
    else:
        remember(tree, last.name)
        port.results[-1] = Result(last.name, CHANGED, "resolved by hand")
    port.save(tree)


def _carry(port: Port, patch: Patch, tree: Path, sdists: Sdists, python: str | None, use_tests: bool) -> Result:
    """Carry over one patch; on a conflict git's own state and markers stay."""
    if _reverse_applies(patch, tree):
        return Result(patch.slug, UPSTREAM, "its change is there as it is")
    fits = succeeds(tree, "apply", "--check", str(patch.path))
    if use_tests and not fits and (told := _by_tests(port, patch, tree, sdists, python)):
        return Result(patch.slug, UPSTREAM, told)
    fixed = patch.fixed_in
    if fixed and Version(fixed) <= Version(port.release.version) and not fits and not use_tests:
        return Result(patch.slug, UPSTREAM, f"as its Applied-Upstream says ({fixed}); see with --tests")
    if fits:
        apply(tree, patch.path)
        return Result(patch.slug, APPLIES)
    before = git(tree, "rev-parse", "HEAD")
    try:
        apply(tree, patch.path, "--3way")
    except GitError:
        files = git(tree, "diff", "--name-only", "--diff-filter=U").split()
        if not busy(tree) or not files:
            raise
        return Result(patch.slug, CONFLICT, ", ".join(files))
    if git(tree, "rev-parse", "HEAD") == before:
        return Result(patch.slug, UPSTREAM, "nothing of it is left after the merge")
    return Result(patch.slug, CHANGED, "merged three-way")


def _reverse_applies(patch: Patch, tree: Path) -> bool:
    """Whether the fix, its tests aside, can be taken out of the tree: then it is in there."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "source.patch")
        file.write_bytes(source_only(patch).diff)
        return succeeds(tree, "apply", "--reverse", "--check", str(file))


def _by_tests(port: Port, patch: Patch, tree: Path, sdists: Sdists, python: str | None) -> str | None:
    """What the patch's tests give on the new release with what was carried over so far, if all pass.

    Raises:
        PatchsetError: there is no environment, or pytest does not run there.
    """
    try:
        runner = interpreter(port.release.version, python)
    except Missing as missing:
        raise PatchsetError(f"--tests: {missing}") from missing
    base = find(port.base, load())
    with tempfile.TemporaryDirectory() as scratch:
        old = Path(scratch, "old")
        lay_out(base, old, sdists)
        commits = git(old, "rev-list", "--reverse", f"{STOCK}..HEAD").split()
        commit = commits[[other.slug for other in port.patches].index(patch.slug)]
        new = Path(scratch, "new")
        git(tree, "worktree", "add", "--quiet", "--detach", str(new), "HEAD")
        try:
            outcome = pass_on(runner, old, patch, commit, new)
        finally:
            git(tree, "worktree", "remove", "--force", str(new))
    return f"its tests pass without it: {outcome.summary}" if outcome.passed and not outcome.failed else None
