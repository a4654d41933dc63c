"""The engine gives what GNU patch and git give, on made-up patches and on those that it once got wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from patchset.errors import PatchsetError
from patchset.series.apply import apply_series
from patchset.series.patch import Patch, read_patch
from tests.patchset.diffs import Case
from tests.patchset.engine_parity import MAIL, SCRATCH, Judge, files, run

ROOT = Path(__file__).parents[2]
END = b"\\ No newline at end of file\n"
ENDS = "x\ry\x0c\x1c\x85\u2028z\n".encode()
NINE = b"".join(b"line %d\n" % number for number in range(1, 10))


@pytest.fixture
def judge() -> Iterator[Judge]:
    with TemporaryDirectory(dir=SCRATCH) as scratch:
        yield Judge(Path(scratch))


@pytest.mark.parametrize("part", range(4))
def test_as_gnu_patch_and_git(judge: Judge, part: int) -> None:
    run(judge, 500, part)
    assert judge.figures["accepted"] > 100
    if not judge.gnu_patch:
        pytest.skip("GNU patch is not installed; compared with git alone")


def test_many_cases_by_command() -> None:
    command = [sys.executable, "-m", "tests.patchset.engine_parity", "--cases", "20", "--seed", "7"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert '"cases": 20' in result.stdout and '"unexplained": 0' in result.stdout, result.stderr
    assert "20 of 20" in result.stderr


def diff(hunks: bytes, name: bytes = b"a.py", tab: bytes = b"") -> bytes:
    quote = b'"' if name.endswith(b'"') else b""
    old, new = (quote + side + name for side in (b"a/", b"b/"))
    return b"diff --git %s %s\n--- %s%s\n+++ %s%s\n%s" % (old, new, old, tab, new, tab, hunks)


def added(content: bytes, name: bytes = b"a.py", mode: bytes = b"100644") -> bytes:
    text = b"diff --git a/%s b/%s\nnew file mode %s\nindex 0000000..1234567\n" % (name, name, mode)
    lines = content.splitlines()
    return (
        text
        + (b"--- /dev/null\n+++ b/%s\n@@ -0,0 +1,%d @@\n" % (name, len(lines)) if lines else b"")
        + b"".join(b"+%s\n" % line for line in lines)
    )


def deleted(content: bytes, name: bytes = b"a.py") -> bytes:
    text = b"diff --git a/%s b/%s\ndeleted file mode 100644\nindex 1234567..0000000\n" % (name, name)
    lines = content.splitlines()
    return (
        text
        + (b"--- a/%s\n+++ /dev/null\n@@ -1,%d +0,0 @@\n" % (name, len(lines)) if lines else b"")
        + b"".join(b"-%s\n" % line for line in lines)
    )


# name: the tree, the patches, and what becomes of the tree
TAKEN: dict[str, tuple[dict[bytes, bytes], tuple[bytes, ...], dict[bytes, bytes]]] = {
    "an emptied file stays": ({b"a.py": b"x\ny\n"}, (diff(b"@@ -1,2 +0,0 @@\n-x\n-y\n"),), {b"a.py": b""}),
    "an empty file is added to": (
        {b"pkg/__init__.py": b""},
        (diff(b"@@ -0,0 +1 @@\n+x\n", b"pkg/__init__.py"),),
        {b"pkg/__init__.py": b"x\n"},
    ),
    "an empty file is added": ({b"b": b"x"}, (added(b"", b"pkg/__init__.py"),), {b"b": b"x", b"pkg/__init__.py": b""}),
    "an empty file is deleted": ({b"b": b"x", b"pkg/a": b""}, (deleted(b"", b"pkg/a"),), {b"b": b"x"}),
    "the only file of a folder is deleted": (
        {b"b": b"x", b"d/e/a": b"y\n"},
        (deleted(b"y\n", b"d/e/a"),),
        {b"b": b"x"},
    ),
    "a file is added and deleted again": ({b"b": b"x"}, (added(b"y\n"), deleted(b"y\n")), {b"b": b"x"}),
    "a file is deleted and added again": ({b"a.py": b"x\n"}, (deleted(b"x\n"), added(b"y\n")), {b"a.py": b"y\n"}),
    "a folder takes a file's place": (
        {b"a": b"x\n"},
        (deleted(b"x\n", b"a"), added(b"y\n", b"a/b")),
        {b"a/b": b"y\n"},
    ),
    "a file takes a folder's place": (
        {b"a/b": b"x\n"},
        (deleted(b"x\n", b"a/b"), added(b"y\n", b"a")),
        {b"a": b"y\n"},
    ),
    "a quoted name": (
        {"n\u00e4.txt".encode(): b"x\n"},
        (diff(b"@@ -1 +1 @@\n-x\n+y\n", b'n\\303\\244.txt"'),),
        {"n\u00e4.txt".encode(): b"y\n"},
    ),
    "a name with a tab, a quote and a backslash": (
        {b'a\tb"c\\d': b"x\n"},
        (diff(b"@@ -1 +1 @@\n-x\n+y\n", b'a\\tb\\"c\\\\d"'),),
        {b'a\tb"c\\d': b"y\n"},
    ),
    "a name with spaces": (
        {b"a b/c d.py": b"x\n"},
        (diff(b"@@ -1 +1 @@\n-x\n+y\n", b"a b/c d.py", b"\t"),),
        {b"a b/c d.py": b"y\n"},
    ),
    "CRLF": ({b"a.py": b"x\r\ny\r\n"}, (diff(b"@@ -1,2 +1,2 @@\n x\r\n-y\r\n+z\r\n"),), {b"a.py": b"x\r\nz\r\n"}),
    "CR, form feed and other ends of lines": (
        {b"a.py": ENDS + b"1\n"},
        (diff(b"@@ -1,2 +1,2 @@\n " + ENDS + b"-1\n+2\n"),),
        {b"a.py": ENDS + b"2\n"},
    ),
    "bytes that are not UTF-8": (
        {b"a.py": b"\xff\n\0\n"},
        (diff(b"@@ -1,2 +1,2 @@\n \xff\n-\0\n+\xfe\n"),),
        {b"a.py": b"\xff\n\xfe\n"},
    ),
    "a newline is added": (
        {b"a.py": b"x\ny"},
        (diff(b"@@ -1,2 +1,2 @@\n x\n-y\n" + END + b"+y\n"),),
        {b"a.py": b"x\ny\n"},
    ),
    "a newline is taken": ({b"a.py": b"x\ny\n"}, (diff(b"@@ -1,2 +1,2 @@\n x\n-y\n+y\n" + END),), {b"a.py": b"x\ny"}),
    "no newline before and after": (
        {b"a.py": b"x\ny"},
        (diff(b"@@ -1,2 +1,2 @@\n-x\n+z\n y\n" + END),),
        {b"a.py": b"z\ny"},
    ),
    "more follows the line without a newline": (
        {b"a.py": b"x"},
        (diff(b"@@ -1 +1,2 @@\n-x\n" + END + b"+x\n+y\n" + END),),
        {b"a.py": b"x\ny"},
    ),
    "the space of empty lines is left out": (
        {b"a.py": b"x\n\ny\n"},
        (diff(b"@@ -1,3 +1,3 @@\n x\n\n-y\n+z\n"),),
        {b"a.py": b"x\n\nz\n"},
    ),
    "lines that look like a diff": (
        {b"a.py": b"-- a/x\n++ b/x\n@@ -1 +1 @@\n"},
        (diff(b"@@ -1,3 +1,3 @@\n--- a/x\n-++ b/x\n+diff --git a/b b/b\n+++ b/x\n @@ -1 +1 @@\n"),),
        {b"a.py": b"diff --git a/b b/b\n++ b/x\n@@ -1 +1 @@\n"},
    ),
    "git's signature": ({b"a.py": b"x\n"}, (diff(b"@@ -1 +1 @@\n-x\n+y\n-- \n2.39.5\n\n"),), {b"a.py": b"y\n"}),
}


@pytest.mark.parametrize("name", TAKEN)
def test_taken(judge: Judge, tmp_path: Path, name: str) -> None:
    """The engine, GNU patch and git agree, and on this."""
    tree, diffs, result = TAKEN[name]
    judge.check(Case(tree, diffs))
    assert judge.figures["accepted without offsets"] == 1
    made = lay_out(tmp_path, tree)
    apply_series(made, series(tmp_path, *diffs), allow_offsets=False)
    assert {name: content for name, (kind, content) in files(made).items() if kind != "folder"} == result


# name: the content of a.py, the patch, and what the message says
REFUSED: dict[str, tuple[bytes, bytes, str]] = {
    "something would be left of a deleted file": (
        b"x\ny\n",
        deleted(b"x\n"),
        r"a.py, hunk 1 of 1 \(at line 1\): its context is not there \(with less context",
    ),
    "something is left of a deleted file": (
        b"x\ny\n",
        deleted(b"x\n").replace(b"@@ -1,1 +0,0 @@\n-x\n", b"@@ -1,2 +1 @@\n-x\n y\n"),
        r"a.py is to be deleted, but 1 of its lines would be left",
    ),
    "a whole file is deleted without its lines": (b"x\n", deleted(b""), "would be left"),
    "lines taken off the start without context": (
        b"x\ny\n",
        diff(b"@@ -1 +0,0 @@\n-x\n"),
        r"hunk 1 of 1 \(at line 1\): its context is not there",
    ),
    "less context after: not at the end": (
        NINE,
        diff(b"@@ -2,4 +2,4 @@\n line 2\n line 3\n line 4\n-line 5\n+five\n"),
        r"hunk 1 of 1 \(at line 2\): .* belongs to the file's start or end",
    ),
    "less context before: not at the start": (
        b"zero\n" + NINE,
        diff(b"@@ -1,4 +1,4 @@\n-line 1\n+one\n line 2\n line 3\n line 4\n"),
        r"hunk 1 of 1 \(at line 1\): .* belongs to the file's start or end",
    ),
    "the tools would put it in different places": (
        NINE + NINE,
        diff(b"@@ -4,3 +12,3 @@\n line 1\n-line 2\n+two\n line 3\n"),
        r"GNU patch puts it at line 1, git at 10; refresh the patch",
    ),
    "a program is added": (b"x\n", added(b"y\n", b"b", b"100755"), r": b: 'new file mode 100755'; only plain files"),
    "a link is added": (b"x\n", added(b"y\n", b"b", b"120000"), r": b: 'new file mode 120000'; only plain files"),
    "a mode is changed": (
        b"x\n",
        diff(b"@@ -1 +1 @@\n-x\n+y\n").replace(b"---", b"old mode 100644\nnew mode 100755\n---", 1),
        "modes cannot be changed",
    ),
    "a program is changed": (
        b"x\n",
        diff(b"@@ -1 +1 @@\n-x\n+y\n").replace(b"---", b"index 1234..5678 100755\n---", 1),
        "only plain files of mode 100644",
    ),
    "a file in a folder's place": (b"x\n", added(b"y\n", b"a.py/b"), "a.py is no folder"),
    "a file and a folder": (
        b"x\n",
        added(b"y\n", b"b") + added(b"y\n", b"b/c"),
        "b would be both a file and a folder",
    ),
    "a file that is there is added": (b"x\n", added(b"y\n"), "adds a.py, which tree has already"),
    "a file twice": (b"x\n", 2 * diff(b"@@ -1 +1 @@\n-x\n+x\n"), "the same file twice"),
    "more lines than the header says": (
        b"x\n",
        diff(b"@@ -1 +1 @@\n-x\n+y\n+z\n"),
        r"not a well-formed diff: a.py: '\+z' stands outside of its hunks",
    ),
    "fewer lines than the header says": (
        b"x\n",
        diff(b"@@ -1,2 +1,2 @@\n-x\n+y\n"),
        r"a.py, hunk 1: the end does not fit",
    ),
    "a second hunk that is none": (
        b"x\n",
        diff(b"@@ -1 +1 @@\n-x\n+y\n@@ -3 @@\n"),
        r"a.py, hunk 1: '@@ -3 @@' is no hunk's header",
    ),
    "lines after the file's end": (
        b"x",
        diff(b"@@ -1 +1,2 @@\n-x\n" + END + b"+x\n" + END + b"+y\n"),
        "hunk 1: '\\+y' follows the file's end",
    ),
    "lines after a line without a newline": (
        b"x",
        diff(b"@@ -2,0 +2 @@\n+y\n"),
        "a line without a newline is not the file's last one",
    ),
    "other names below": (
        b"x\n",
        diff(b"@@ -1 +1 @@\n-x\n+y\n").replace(b"+++ b/a", b"+++ b/b"),
        r"does not fit 'diff",
    ),
    "git's own folder": (b"x\n", added(b"y\n", b".GIT/hooks/b"), "lies outside the tree"),
    "a name with a zero byte": (b"x\n", diff(b"@@ -1 +1 @@\n-x\n+y\n", b'a\\000.py"'), "lies outside the tree"),
    "a name that is too long": (b"x\n", added(b"y\n", 300 * b"b"), "File name too long"),
    "binary data": (
        b"x\n",
        b"diff --git a/a.py b/a.py\nindex 1234..5678 100644\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n\n",
        "a.py: renames, copies or holds binary data",
    ),
    "an empty line without a newline": (
        b"x\n",
        diff(b"@@ -1 +1 @@\n-x\n+\n" + END),
        "a.py, hunk 1: an empty line has no newline",
    ),
    "a name that is not quoted": (b"x\n", added(b"", b'a"b'), "git quotes names such as"),
    "a header line with CR": (b"x\n", diff(b"@@ -1 +1 @@\n-x\n+y\n").replace(b"\n", b"\r\n", 1), "git quotes names"),
    "a plain diff before": (
        b"x\n",
        b"--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x\n+y\n" + added(b"y\n", b"b"),
        "its message holds a diff",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(judge: Judge, tmp_path: Path, name: str) -> None:
    """The engine refuses, says where, and changes nothing, not even what the patch before would."""
    content, text, message = REFUSED[name]
    judge.check(Case({b"a.py": content}, (text,)))
    tree = lay_out(tmp_path, {b"a.py": content})
    before = files(tree)
    with pytest.raises(PatchsetError, match=message) as refusal:
        apply_series(tree, series(tmp_path, added(b"z\n", b"z/z"), text), allow_offsets=True)
    assert re.fullmatch("2.patch.+", str(refusal.value))
    assert files(tree) == before


def lay_out(folder: Path, tree: dict[bytes, bytes]) -> Path:
    root = folder / "tree"
    for name, content in tree.items():
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def series(folder: Path, *diffs: bytes) -> list[Patch]:
    paths = [folder / f"{number}.patch" for number in range(1, len(diffs) + 1)]
    for path, text in zip(paths, diffs, strict=True):
        path.write_bytes(MAIL + text)
    return [read_patch(path) for path in paths]
