"""The engine on small trees: where hunks may lie, what is refused, and that a refusal changes nothing."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from patchset.errors import PatchsetError
from patchset.pins import Release, Wheel
from patchset.series.apply import added_lines, apply_series, counts, touched
from patchset.series.digest import tree_digest
from patchset.series.patch import Patch, read_patch
from patchset.series.tree import Tree, stamp
from tests.patchset.engine_parity import files
from tests.patchset.tool import environment

ADDITION = (
    "diff --git a/sub/new.py b/sub/new.py\nnew file mode 100644\n--- /dev/null\n+++ b/sub/new.py\n@@ -0,0 +1 @@\n+y\n"
)
REMOVAL = "diff --git a/old.py b/old.py\ndeleted file mode 100644\n--- a/old.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
LINES = [f"line {number}\n" for number in range(1, 31)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a.py").write_text("".join(LINES))
    return folder


def patch(folder: Path, diff: str, name: str = "0001-change.patch") -> Patch:
    path = folder / name
    path.write_text(
        f"From {'0' * 40} Mon Sep 17 00:00:00 2001\nSubject: [PATCH 1/1] Change\n\nWords.\n---\n\n{diff}\n"
    )
    return read_patch(path)


def hunk(start: int, change: str = "line 10", new: str = "LINE 10", context: str = "line 9") -> str:
    return f"@@ -{start},3 +{start},3 @@\n {context}\n-{change}\n+{new}\n line 11\n"


def diff(*hunks: str, name: str = "a.py") -> str:
    return f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n{''.join(hunks)}"


def test_exact_hunk(tree: Path, tmp_path: Path) -> None:
    assert apply_series(tree, [patch(tmp_path, diff(hunk(9)))], allow_offsets=False) == ["a.py"]
    assert (tree / "a.py").read_text() == "".join(LINES).replace("line 10", "LINE 10")


def test_offset_is_refused_or_allowed(tree: Path, tmp_path: Path) -> None:
    moved = patch(tmp_path, diff(hunk(5)))
    with pytest.raises(PatchsetError, match=r"0001-change.patch .*a.py, hunk 1 of 1: stands at line 9, not 5"):
        apply_series(tree, [moved], allow_offsets=False)
    apply_series(tree, [moved], allow_offsets=True)
    assert "LINE 10\n" in (tree / "a.py").read_text()


@pytest.mark.skipif(not shutil.which("patch"), reason="GNU patch is not installed")
def test_nearest_place_wins_as_in_gnu_patch(tmp_path: Path) -> None:
    block = ["same\n", "line 9\n", "line 10\n", "line 11\n"]
    results = []
    for folder in (tmp_path / "ours", tmp_path / "theirs"):
        folder.mkdir()
        (folder / "a.py").write_text("".join(["first\n"] * 5 + block + ["filler\n"] * 9 + block + ["last\n"] * 5))
        change = patch(tmp_path, diff(hunk(18)))
        if folder.name == "ours":
            apply_series(folder, [change], allow_offsets=True)
        else:
            subprocess.run(["patch", "-p1", "-F0", "-s", "-i", change.path], cwd=folder, check=True)
        results.append((folder / "a.py").read_text())
    assert results[0] == results[1]
    assert results[0].index("LINE 10") > results[0].index("filler")


@pytest.mark.parametrize("offsets", [True, False])
def test_fuzz_is_refused(tree: Path, tmp_path: Path, offsets: bool) -> None:
    fuzzy = patch(tmp_path, diff(hunk(9, context="line nine")))
    with pytest.raises(PatchsetError, match=r"hunk 1 of 1 \(at line 9\): its context is not there"):
        apply_series(tree, [fuzzy], allow_offsets=offsets)


def test_all_or_nothing(tree: Path, tmp_path: Path) -> None:
    good = patch(tmp_path, diff(hunk(9)))
    bad = patch(tmp_path, diff(hunk(9, context="line nine")), "0002-bad.patch")
    before = tree_digest(tree)
    with pytest.raises(PatchsetError, match="0002-bad.patch"):
        apply_series(tree, [good, bad], allow_offsets=False)
    assert tree_digest(tree) == before


def test_patches_build_on_each_other(tree: Path, tmp_path: Path) -> None:
    first = patch(tmp_path, diff(hunk(9)))
    second = patch(tmp_path, diff(hunk(9, "LINE 10", "third")), "0002-more.patch")
    apply_series(tree, [first, second], allow_offsets=False)
    assert "third\n" in (tree / "a.py").read_text()


def test_add_and_delete_files(tree: Path, tmp_path: Path) -> None:
    (tree / "old.py").write_text("x\n")
    text = ADDITION + REMOVAL
    assert apply_series(tree, [patch(tmp_path, text)], allow_offsets=False) == ["old.py", "sub/new.py"]
    assert (tree / "sub/new.py").read_text() == "y\n"
    assert not (tree / "old.py").exists()
    with pytest.raises(PatchsetError, match="adds sub/new.py, which tree has already"):
        apply_series(tree, [patch(tmp_path, text)], allow_offsets=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (diff(hunk(9), name="gone.py"), "changes gone.py, which is not in tree"),
        (diff(hunk(9), name="../outside.py"), "outside the tree"),
        (diff("@@ -9,9 +9,9 @@\n line 9\n-line 10\n+LINE 10\n line 11\n"), "is not a well-formed diff"),
        ("diff --git a/a.py b/b.py\nsimilarity index 100%\nrename from a.py\nrename to b.py\n", "renames, copies"),
    ],
)
def test_refused_patches(tree: Path, tmp_path: Path, text: str, message: str) -> None:
    before = tree_digest(tree)
    with pytest.raises(PatchsetError, match=message):
        apply_series(tree, [patch(tmp_path, text)], allow_offsets=True)
    assert tree_digest(tree) == before


def test_end_without_newline(tree: Path, tmp_path: Path) -> None:
    (tree / "a.py").write_text("one\ntwo")
    text = diff("@@ -1,2 +1,2 @@\n one\n-two\n\\ No newline at end of file\n+three\n")
    apply_series(tree, [patch(tmp_path, text)], allow_offsets=False)
    assert (tree / "a.py").read_text() == "one\nthree\n"
    (tree / "a.py").write_text("one\ntwo\n")
    with pytest.raises(PatchsetError, match="its context is not there"):
        apply_series(tree, [patch(tmp_path, text)], allow_offsets=False)
    (tree / "a.py").write_text("one\nTWO")
    text = diff("@@ -1,2 +1,2 @@\n one\n-TWO\n+two\n")
    with pytest.raises(PatchsetError, match="its context is not there"):
        apply_series(tree, [patch(tmp_path, text)], allow_offsets=False)


@pytest.mark.parametrize("link", ["b.py", "d"])
def test_links_in_the_tree_are_refused(tree: Path, tmp_path: Path, link: str) -> None:
    (tree / link).symlink_to("a.py" if link == "b.py" else ".")
    change = patch(tmp_path, diff(hunk(9), name="b.py" if link == "b.py" else "d/a.py"))
    with pytest.raises(PatchsetError, match=f"0001-change.patch does not apply to tree: .*{link} is a link"):
        apply_series(tree, [change], allow_offsets=True)
    assert (tree / "a.py").read_text() == "".join(LINES)


def test_whatever_fails_leaves_nothing_half_made(tmp_path: Path) -> None:
    """A change that deletes, adds, changes, and swaps a folder with a file; each step fails once."""
    removals = REMOVAL + REMOVAL.replace("old.py", "was/folder")
    additions = (
        diff(hunk(9)) + ADDITION + ADDITION.replace("sub/new.py", "old.py/b") + ADDITION.replace("sub/new", "was")
    )
    changes = [patch(tmp_path, removals), patch(tmp_path, additions.replace("was.py", "was"), "0002-more.patch")]
    for fails in range(100):
        tree = tmp_path / str(fails)
        (tree / "was").mkdir(parents=True)
        for name, content in {"a.py": "".join(LINES), "old.py": "x\n", "was/folder": "x\n"}.items():
            (tree / name).write_text(content)
        before = files(tree)
        outcomes = itertools.chain([True] * fails, [False], itertools.repeat(True))

        def call(
            path: Path, real: Callable[..., object], *arguments: object, works: Iterator[bool] = outcomes
        ) -> None:
            if not next(works):
                raise OSError(28, "No space left on device")
            real(path, *arguments)

        with pytest.MonkeyPatch.context() as patched:
            for name in ("write_bytes", "mkdir", "unlink", "chmod"):
                patched.setattr(Path, name, functools.partialmethod(call, getattr(Path, name)))
            try:
                apply_series(tree, changes, allow_offsets=False)
            except PatchsetError as error:
                assert str(error).endswith("No space left on device; nothing of it was changed")
                assert files(tree) == before
                continue
        assert sorted(files(tree)) == [b"a.py", b"old.py", b"old.py/b", b"sub", b"sub/new.py", b"was"]
        break
    assert fails > 8


def test_modes_are_those_of_an_unpacked_sdist(tree: Path, tmp_path: Path) -> None:
    mask = os.umask(0o077)
    try:
        apply_series(tree, [patch(tmp_path, ADDITION)], allow_offsets=False)
    finally:
        os.umask(mask)
    assert [(tree / name).stat().st_mode & 0o777 for name in ("sub", "sub/new.py")] == [0o755, 0o644]


def test_what_a_patch_changes(tmp_path: Path) -> None:
    change = patch(tmp_path, diff("@@ -1,2 +0,0 @@\n-x\n-y\n", "@@ -9 +7,2 @@\n-x\n+y\n+z\n") + ADDITION)
    assert touched(change) == ["a.py", "sub/new.py"]
    assert counts(change) == {"a.py": (2, 3), "sub/new.py": (1, 0)}
    assert added_lines(change) == {"a.py": {7, 8}, "sub/new.py": {1}}


def test_deleted_modules_get_no_notice(tmp_path: Path, release: Release) -> None:
    package = tmp_path / "src" / "peft"
    package.mkdir(parents=True)
    (tmp_path / "setup.py").write_text(f'VERSION = "{release.version}"\n')
    (package / "__init__.py").write_text(f'__version__ = "{release.version}"\n')
    stamp(Tree(tmp_path, [], ["src/peft/__init__.py", "src/peft/gone.py"]), Wheel(release))
    assert "# Changed from peft" in (package / "__init__.py").read_text()
    assert not (package / "gone.py").exists()


def test_digest_is_gits_tree_id(tree: Path) -> None:
    (tree / "a").mkdir()
    (tree / "a" / "z").write_bytes(b"\0\xff")
    (tree / "a-b").write_text("sorts between a and a/")
    (tree / "empty").mkdir()
    digest = tree_digest(tree)
    for arguments in (["init", "-q", "--object-format=sha256"], ["add", "--all", "--force"]):
        subprocess.run(["git", *arguments], cwd=tree, env=environment(), check=True)
    written = subprocess.run(["git", "write-tree"], cwd=tree, capture_output=True, text=True, check=True)
    assert digest == written.stdout.strip()
    assert tree_digest(tree) == digest, "git's own folder does not count"
