"""Write what a work tree holds back to ``patches/`` and the pins: everything is tried before anything is replaced."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from patchset.commits.git import git
from patchset.commits.mails import Commit, commits, slugs
from patchset.commits.read_back import read_back
from patchset.commits.worktree import STOCK
from patchset.errors import PatchsetError
from patchset.files import locked, put, staged
from patchset.pins import PATCHES, Release
from patchset.series.digest import tree_digest
from patchset.series.patch import read_series, series_files, slug
from patchset.series.tree import patch_tree
from patchset.sources.sdists import Sdists


@dataclasses.dataclass(frozen=True)
class Change:
    """What became of a patch file: ``unchanged``, ``changed``, ``new``, ``renamed`` or ``removed``."""

    name: str
    kind: str


@contextlib.contextmanager
def written(release: Release, tree: Path, sdists: Sdists) -> Iterator[Path]:
    """A work tree's commits as a series in a new folder of ``patches/``, of which the engine makes the same tree.

    Whoever else wants to write one waits meanwhile.

    Args:
        release: whose stock the work tree starts from.
        tree: its work tree.
        sdists: where to take upstream's from.

    Yields:
        The folder, to be swapped in; it is removed otherwise.

    Raises:
        PatchsetError: the commits make no series that this tool can apply.
    """
    found = commits(tree, STOCK)
    names = slugs(found, _known_names())
    with locked(PATCHES), staged(PATCHES) as stage:
        folder = stage / "series"
        folder.mkdir()
        _write(folder, found, names)
        read_back(release, tree, found, series_files(folder), sdists)
        with tempfile.TemporaryDirectory() as scratch:
            new = dataclasses.replace(release, series=folder.relative_to(PATCHES).as_posix())
            _compare(tree, patch_tree(new, Path(scratch), sdists, allow_offsets=False).path)
        yield folder


def swap(written: Path, target: Path) -> list[Change]:
    """Put a written series in the place of the one there, and tell what changed, file by file."""
    changes = _changes(target, written)
    if target.exists():
        # Whatever else lies in the folder stays.
        for path in target.iterdir():
            if path.name != "series" and path.suffix != ".patch":
                shutil.copy2(path, written / path.name)
    put(written, target)
    return changes


def digest(release: Release, series: str, sdists: Sdists) -> str:
    """The digest of a release's tree under a series.

    Raises:
        PatchsetError: the series does not apply.
    """
    with tempfile.TemporaryDirectory() as scratch:
        return tree_digest(patch_tree(dataclasses.replace(release, series=series), Path(scratch), sdists).path)


def _known_names() -> dict[str, str]:
    """The patches' names by their titles, of all lines."""
    known: dict[str, str] = {}
    for folder in sorted(PATCHES.iterdir()):
        if (folder / "series").is_file() and not folder.name.startswith("."):
            with contextlib.suppress(PatchsetError):  # what quilt has just refreshed; its commits carry the names
                known |= {patch.title: patch.slug for patch in read_series(folder)}
    return known


def _write(folder: Path, found: Sequence[Commit], names: Sequence[str]) -> None:
    files = [f"{number:04}-{name}.patch" for number, name in enumerate(names, 1)]
    for name, commit in zip(files, found, strict=True):
        (folder / name).write_bytes(commit.mail)
    (folder / "series").write_text("".join(f"{name}\n" for name in files))


def _compare(tree: Path, laid: Path) -> None:
    """Does the engine lay out what the work tree's last commit holds?"""
    with tempfile.TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch, "index"))}
        git(tree, f"--work-tree={laid}", "add", "--all", "--force", ".", variables=index)
        written = git(tree, "write-tree", variables=index)
    if written != git(tree, "rev-parse", "HEAD^{tree}"):
        raise PatchsetError("the patches do not give the work tree's files")


def _changes(old: Path, new: Path) -> list[Change]:
    before = {slug(path): path for path in series_files(old)} if (old / "series").exists() else {}
    after = {slug(path): path for path in series_files(new)}
    changes = []
    for name, path in after.items():
        if name not in before:
            kind = "new"
        elif path.read_bytes() != before[name].read_bytes():
            kind = "changed"
        else:
            kind = "unchanged" if path.name == before[name].name else "renamed"
        changes.append(Change(path.name, kind))
    return changes + [Change(path.name, "removed") for name, path in before.items() if name not in after]
