"""Write what a work tree holds back to ``patches/`` and the pins: everything is tried before anything is replaced."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import tomlkit

from patchset.commits.git import git
from patchset.commits.mails import Commit, commits, slugs
from patchset.commits.worktree import STOCK
from patchset.errors import PatchsetError
from patchset.pins import PATCHES, RELEASES, Release
from patchset.series.digest import tree_digest
from patchset.series.patch import Patch, read_series, series_files, slug
from patchset.series.tree import patch_tree


@dataclasses.dataclass(frozen=True)
class Change:
    """What became of a patch file: ``unchanged``, ``changed``, ``new``, ``renamed`` or ``removed``."""

    name: str
    kind: str


def staged(release: Release, tree: Path) -> Path:
    """Write a work tree's commits as a series into a new folder of ``patches/``, and see that it gives the same tree.

    Args:
        release: whose stock the work tree starts from.
        tree: its work tree.

    Returns:
        The folder, the caller's to `swap` in or to remove.

    Raises:
        PatchsetError: the commits make no series that this tool can apply.
    """
    found = commits(tree, STOCK)
    names = slugs(found, _known_names())
    stage = Path(tempfile.mkdtemp(dir=PATCHES, prefix=".stage-"))
    try:
        stage.chmod(0o755)
        _write(stage, found, names)
        with tempfile.TemporaryDirectory() as scratch:
            laid = patch_tree(dataclasses.replace(release, series=stage.name), Path(scratch), allow_offsets=False)
            _compare(tree, laid.path)
    except BaseException:
        shutil.rmtree(stage)
        raise
    return stage


def swap(stage: Path, target: Path) -> list[Change]:
    """Put a staged series in the place of the one there, and tell what changed, file by file."""
    changes = _changes(target, stage)
    old = Path(tempfile.mkdtemp(dir=PATCHES, prefix=".old-"))
    if target.exists():
        # Whatever else lies in the folder stays.
        for path in target.iterdir():
            if path.name != "series" and path.suffix != ".patch":
                shutil.copy2(path, stage / path.name)
        target.rename(old / target.name)
    stage.rename(target)
    shutil.rmtree(old)
    return changes


def digest(release: Release, series: str) -> str:
    """The digest of a release's tree under a series.

    Raises:
        PatchsetError: the series does not apply.
    """
    with tempfile.TemporaryDirectory() as scratch:
        return tree_digest(patch_tree(dataclasses.replace(release, series=series), Path(scratch)).path)


def lock(digests: Mapping[str, str]) -> None:
    """Write trees' digests, by release, into the pins; the wheel of a tree that changed is not locked any more."""
    document = tomlkit.parse(RELEASES.read_text(encoding="utf-8"))
    for entry in document["release"]:
        if entry["version"] in digests and entry["tree"] != digests[entry["version"]]:
            entry["tree"] = digests[entry["version"]]
            # Another tree gives other wheels, which `verify --update` builds and locks.
            entry.pop("wheel", None)
            entry.pop("tagged_wheel", None)
    replace(RELEASES, tomlkit.dumps(document))


def replace(path: Path, text: str) -> None:
    """Replace a file's text in one step."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _known_names() -> dict[str, str]:
    """The patches' names by their titles, of all lines."""
    known = {}
    for folder in sorted(PATCHES.iterdir()):
        if (folder / "series").is_file() and not folder.name.startswith("."):
            for patch in _readable(folder):
                known[patch.title] = patch.slug
    return known


def _readable(folder: Path) -> list[Patch]:
    try:
        return read_series(folder)
    except PatchsetError:
        return []  # what quilt has just refreshed; its commits carry the names


def _write(stage: Path, found: Sequence[Commit], names: Sequence[str]) -> None:
    files = [f"{number:04}-{name}.patch" for number, name in enumerate(names, 1)]
    for name, commit in zip(files, found, strict=True):
        (stage / name).write_bytes(commit.mail)
    (stage / "series").write_text("".join(f"{name}\n" for name in files))


def _compare(tree: Path, laid: Path) -> None:
    """Does the engine lay out what the work tree's last commit holds?"""
    with tempfile.TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch, "index"))}
        git(tree, f"--work-tree={laid}", "add", "--all", "--force", ".", variables=index)
        written = git(tree, "write-tree", variables=index)
    if written != git(tree, "rev-parse", "HEAD^{tree}"):
        raise PatchsetError("the patches do not give the work tree's files; has a file another mode than 644?")


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
