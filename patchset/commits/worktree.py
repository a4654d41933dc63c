"""A release's series as a git work tree: stock as the first commit, one commit per patch."""

from __future__ import annotations

from pathlib import Path

from patchset.commits.git import GitError, git, succeeds
from patchset.commits.mails import NOTES
from patchset.errors import PatchsetError
from patchset.files import staged
from patchset.pins import VENDOR, Release
from patchset.series.patch import series_files, slug
from patchset.sources.sdists import Sdists

# The tag of the commit that holds upstream's sdist as it is.
STOCK = "stock"
# What running upstream's tests leaves; the sdist has no ignore file.
_EXCLUDED = "__pycache__/\n.pytest_cache/\n.ruff_cache/\n.coverage*\n*.orig\n*.rej\n"
# Over all that an sdist's or a patch's .gitattributes may ask for: bytes are stored as they are, and no filter runs.
_ATTRIBUTES = (
    "* !text !crlf !eol !ident !working-tree-encoding !filter !diff !merge !whitespace !conflict-marker-size\n"
)
# As the tree's own configuration could not have it; what stands in brackets before a subject stays.
_AM = ("--quiet", "--committer-date-is-author-date", "--keep-non-patch", "--no-keep-cr", "--no-scissors", "--no-3way")
_SETTINGS = {
    # Names of patches follow their commits through amend and rebase.
    "notes.rewriteRef": NOTES,
    "core.autocrlf": "false",
    # git am --3way shows the old code too, which is what a porter compares with.
    "merge.conflictStyle": "diff3",
}


def default_folder(release: Release) -> Path:
    """Where a release's work tree lies unless another folder is named."""
    return VENDOR / f"work-{release.version}"


def lay_out(release: Release, folder: Path, sdists: Sdists, *, patched: bool = True) -> None:
    """Make the work tree, all of it or nothing.

    Args:
        release: the pin.
        folder: where; it must not exist.
        sdists: where to take upstream's from.
        patched: whether the release's series is applied.

    Raises:
        PatchsetError: the folder exists, or the sdist or a patch is not right.
    """
    if folder.exists():
        raise PatchsetError(f"{folder} exists; export or remove it first, or name another folder")
    with staged(folder.parent) as scratch:
        tree = sdists.unpack(release, scratch)
        start(tree, release)
        for path in series_files(release.series_dir) if patched else ():
            apply(tree, path)
        tree.rename(folder)


def start(tree: Path, release: Release) -> None:
    """Make a repository of an unpacked sdist: one commit, tagged `STOCK`, on a branch of the release's name."""
    git(tree, "init", "--quiet", "--template=", f"--initial-branch=peft-{release.version}")
    for name, value in _SETTINGS.items():
        git(tree, "config", name, value)
    git(tree, "config", "patchset.release", release.version)
    (tree / ".git" / "info").mkdir(exist_ok=True)
    (tree / ".git" / "info" / "exclude").write_text(_EXCLUDED)
    (tree / ".git" / "info" / "attributes").write_text(_ATTRIBUTES)
    git(tree, "add", "--all", "--force")
    git(tree, "commit", "--quiet", "--message", f"peft {release.version}, stock")
    git(tree, "tag", STOCK)


def apply(tree: Path, path: Path, *options: str) -> None:
    """Commit a patch with ``git am``, as its author and at its date, and note its name.

    Raises:
        PatchsetError: it does not apply; unless options say otherwise, the tree is as before.
    """
    before = git(tree, "rev-parse", "HEAD")
    try:
        git(tree, "am", *_AM, *options, str(path.resolve()))
    except GitError as error:
        if not options:
            succeeds(tree, "am", "--abort")
            reason = next((line for line in error.output.splitlines() if line.startswith("error: ")), str(error))
            raise PatchsetError(f"git am cannot apply {path.name}: {reason.removeprefix('error: ')}") from error
        raise
    if git(tree, "rev-parse", "HEAD") != before:
        remember(tree, slug(path))


def remember(tree: Path, name: str) -> None:
    """Note a patch's name beside its commit, the last one."""
    git(tree, "notes", f"--ref={NOTES}", "add", "--force", "--message", name, "HEAD")


def opened(release: Release, folder: Path) -> Path:
    """A release's work tree that is ready to be exported.

    Raises:
        PatchsetError: no work tree of that release, something in it is not committed, or git is in the middle of
            something.
    """
    if not (folder / ".git").exists():
        raise PatchsetError(f"no work tree in {folder}; make one with `python -m patchset checkout {release.version}`")
    found = git(folder, "config", "--default=none", "patchset.release").strip()
    if found != release.version or not succeeds(folder, "rev-parse", "--verify", "--quiet", f"{STOCK}^{{commit}}"):
        raise PatchsetError(f"{folder} is not a work tree of {release.version}; its release is {found}")
    if under_way := busy(folder):
        raise PatchsetError(
            f"git {under_way} is under way in {folder}; finish it with --continue or undo with --abort"
        )
    if changed := git(folder, "status", "--porcelain").splitlines():
        raise PatchsetError(
            f"{len(changed)} files in {folder} are not committed ({changed[0].strip()}); commit, amend or stash them"
        )
    return folder


def busy(folder: Path) -> str | None:
    """What git is in the middle of: ``am``, ``rebase``, or nothing."""
    git_dir = folder / git(folder, "rev-parse", "--git-dir").strip()
    if (git_dir / "rebase-apply" / "applying").exists():
        return "am"
    return "rebase" if (git_dir / "rebase-apply").exists() or (git_dir / "rebase-merge").exists() else None
