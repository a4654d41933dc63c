"""The engine against GNU patch and git on generated patches: does it give what both give, and refuse all else?

`tests/patchset/test_engine_cases.py` runs a few of them, and

    python -m tests.patchset.engine_cases --cases 100000

many. A case is a small tree and a series of patches for it, as git would write them; then the tree drifts and lines of the patches
are damaged, one way or another. Each tool gets a tree of its own, and

- where both lay out the same tree, the engine lays out that tree too, or refuses for one of the reasons in `EXPLAINED`;
- where one refuses, or they differ, the engine refuses, and its tree is as it was;
- without offsets it gives the same if GNU patch speaks of no offset, and refuses otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from patchset._apply import apply_series
from patchset._errors import PatchsetError
from patchset._series import read_patch

MAIL = b"From 0000 Mon Sep 17 00:00:00 2001\nSubject: [PATCH 1/1] Change\n\nWords.\n---\n\n"
NO_NEWLINE = b"\\ No newline at end of file\n"

# What the engine refuses although both tools agree: a pattern of its message, and why.
EXPLAINED = {
    "a mode": (r"only plain files of mode 100644|modes cannot be changed", "the sdist's files are laid out without modes"),
    "a rename": (r"renames, copies", "the notice of changed files and `export` know none"),
    "outside hunks": (r"stands outside of its hunks|is no hunk's header", "both pass over such lines; a change may be lost"),
    "another order": (r"does not fit 'diff --git|where its hunks should be|but it (adds|deletes|changes) the file", ""),
    "lines after the end": (r"follows the file's end|a line without a newline", ""),
    "the same file twice": (r"the same file twice", ""),
}


@dataclass(frozen=True)
class Case:
    """A tree, file names to contents, and the diffs to apply."""

    tree: dict[bytes, bytes]
    diffs: tuple[bytes, ...]


# ---- generating ------------------------------------------------------------------------------------------------

_NAMES = [b"a.py", b"pkg/__init__.py", b"pkg/b c.txt", b"pkg", "n\u00e4.txt".encode(), b'q"t', b"b\\s", b"t\tb", b"a.py/x", b"\xff"]
_LINES = [b"a", b"b", b"c", b"", b"a\r", b"\xff\xfe", b" ", b"-x", b"+y", b"-- ", b"@@ -1 +1 @@", b"--- a/a.py", b"\\ z", b"d\0"]
_names = st.sampled_from(_NAMES[:2] * 6 + _NAMES)
_line = st.sampled_from(_LINES[:3] * 8 + _LINES)
_GARBAGE = [
    NO_NEWLINE,
    b"\n",
    b"garbage\n",
    b"-- \n2.39.5\n",
    b"@@ -1 +1 @@\n",
    b"+a\n",
    b"-a\n",
    b" a\n",
    b"old mode 100644\nnew mode 100755\n",
    b"new file mode 100644\n",
    b"deleted file mode 100644\n",
    b"rename from a.py\nrename to b.py\n",
    b"--- a/a.py\n+++ b/a.py\n",
    b"diff --git a/a.py b/a.py\n",
    b"--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-a\n+b\n",
    b"Binary files a/a.py and b/a.py differ\n",
]


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """A file: few different lines, so that a hunk often fits in several places."""
    text = b"".join(line + b"\n" for line in draw(st.lists(_line, max_size=12)))
    return text[:-1] if draw(st.integers(0, 5)) == 0 else text


@st.composite
def edits(draw: st.DrawFn, content: bytes) -> list[tuple[bytes, bytes]]:
    """A diff of all lines of a file: sign and line, which may lack its newline at the end."""
    ops: list[tuple[bytes, bytes]] = []
    for line in re.findall(rb"[^\n]*\n|[^\n]+", content):
        kind = draw(st.integers(0, 9))
        if kind == 0:
            ops += [(b"-", line), (b"+", draw(_line) + b"\n")]
        elif kind == 1:
            ops.append((b"-", line))
        elif kind == 2:
            ops += [(b"+", draw(_line) + b"\n"), (b" ", line)]
        else:
            ops.append((b" ", line))
    if draw(st.integers(0, 3)) == 0 or all(sign == b" " for sign, _ in ops):
        if ops and not ops[-1][1].endswith(b"\n"):
            ops[-1:] = [(b"-", ops[-1][1]), (b"+", ops[-1][1] + b"\n")]
        last = draw(_line)
        ops.append((b"+", last + (b"\n" if draw(st.integers(0, 4)) else b"")) if last else (b"+", b"\n"))
    # a line that was the last one gets its newline where others follow
    new = [number for number, (sign, _) in enumerate(ops) if sign != b"-"]
    for number in new[:-1]:
        sign, line = ops[number]
        if not line.endswith(b"\n"):
            ops[number : number + 1] = [(b"-", line), (b"+", line + b"\n")] if sign == b" " else [(sign, line + b"\n")]
            break
    return ops


def after(ops: list[tuple[bytes, bytes]]) -> bytes:
    """The text after an edit."""
    return b"".join(line for sign, line in ops if sign != b"-")


def hunks(ops: list[tuple[bytes, bytes]], context: int) -> list[bytes]:
    """The hunks as lines, with so many lines of context."""
    changed = [number for number, (sign, _) in enumerate(ops) if sign != b" "]
    groups: list[list[int]] = []
    for number in changed:
        if groups and number - groups[-1][1] <= 2 * context + 1:
            groups[-1][1] = number
        else:
            groups.append([number, number])
    lines: list[bytes] = []
    for first, last in groups:
        part = range(max(first - context, 0), min(last + context + 1, len(ops)))
        sides = []
        for skipped in (b"+", b"-"):
            before = sum(sign != skipped for sign, _ in ops[: part.start])
            count = sum(ops[number][0] != skipped for number in part)
            start = before + bool(count)
            sides.append(b"%d" % start if count == 1 else b"%d,%d" % (start, count))
        lines.append(b"@@ -%s +%s @@\n" % (sides[0], sides[1]))
        for number in part:
            sign, line = ops[number]
            lines.append(sign + line if line.endswith(b"\n") else sign + line + b"\n")
            if not line.endswith(b"\n"):
                lines.append(NO_NEWLINE)
    return lines


def quoted(prefix: bytes, name: bytes) -> bytes:
    """A name as git shows it."""
    if not re.search(rb'[\x00-\x1f"\\\x7f-\xff]', name):
        return prefix + name
    shown = b"".join(
        b"\\" + {9: b"t", 34: b'"', 92: b"\\"}[byte]
        if byte in (9, 34, 92)
        else (b"\\%03o" % byte if byte < 32 or byte > 126 else bytes([byte]))
        for byte in name
    )
    return b'"' + prefix + shown + b'"'


@st.composite
def file_diff(draw: st.DrawFn, tree: dict[bytes, bytes]) -> list[bytes]:
    """The diff of one file, as lines, and the tree brought to what it leads to."""
    name = draw(st.sampled_from(sorted(tree)) if tree and draw(st.integers(0, 4)) else _names)
    raw = bool(draw(st.integers(0, 7)) == 0)  # as with core.quotePath=false
    old, new = (prefix + name if raw and b"\t" not in name else quoted(prefix, name) for prefix in (b"a/", b"b/"))
    tab = b"\t" if b" " in name else b""
    lines = [b"diff --git %s %s\n" % (old, new)]
    context = draw(st.sampled_from([3, 3, 3, 2, 1, 0]))
    content = tree.get(name)
    if content is None:
        ops = draw(edits(b"")) if draw(st.integers(0, 3)) else []
        lines += [b"new file mode 100644\n", b"index 0000000..1234567\n"]
        sides = (b"/dev/null", new + tab)
    elif draw(st.integers(0, 4)) == 0:
        ops = [(b"-", line) for line in re.findall(rb"[^\n]*\n|[^\n]+", content)]
        lines += [b"deleted file mode 100644\n", b"index 1234567..0000000\n"]
        sides = (old + tab, b"/dev/null")
    else:
        ops = draw(edits(content))
        lines += [b"index 1234567..89abcde 100644\n"] if draw(st.booleans()) else []
        sides = (old + tab, new + tab)
    if ops:
        lines += [b"--- %s\n" % sides[0], b"+++ %s\n" % sides[1], *hunks(ops, context)]
    if sides[1] == b"/dev/null":
        del tree[name]
    else:
        tree[name] = after(ops)
    return lines


def _number(line: bytes, draw: st.DrawFn) -> bytes:
    """A hunk's header with one of its numbers changed."""
    numbers = list(re.finditer(rb"\d+", line.partition(b"@@ ")[2].partition(b" @@")[0]))
    if not numbers:
        return line
    found = draw(st.sampled_from(numbers))
    changed = max(int(found[0]) + draw(st.integers(-3, 3)), 0)
    return line[: 3 + found.start()] + b"%d" % changed + line[3 + found.end() :]


@st.composite
def damaged(draw: st.DrawFn, lines: list[bytes]) -> list[bytes]:
    """Lines of a patch with one thing changed."""
    at = draw(st.integers(0, len(lines) - 1))
    kind = draw(st.integers(0, 12))
    line = lines[at]
    if kind <= 4:
        headers = [number for number, line in enumerate(lines) if line.startswith(b"@@ -")]
        if headers:
            at = draw(st.sampled_from(headers))
            return [*lines[:at], _number(lines[at], draw), *lines[at + 1 :]]
        return lines
    if kind == 5:
        return lines[:at] + lines[at + 1 :]
    if kind == 6:
        return [*lines[:at], line, *lines[at:]]
    if kind == 7:
        return [*lines[:at], draw(st.sampled_from(_GARBAGE)), *lines[at:]]
    if kind == 8:
        return [*lines[:at], line[:-1] + draw(st.sampled_from([b"\r\n", b"\t\n", b" \n", b"", b"x\n"])), *lines[at + 1 :]]
    if kind == 9:
        return [*lines[:at], draw(st.sampled_from([b" ", b"+", b"-", b""])) + line[1:], *lines[at + 1 :]]
    if kind == 10:
        return lines[:at] or lines
    if kind == 11:
        return lines + draw(st.sampled_from(_GARBAGE)).splitlines(keepends=True)
    old, new = draw(st.sampled_from([(b"100644", b"100755"), (b"100644", b"120000"), (b"a.py", b"../a.py"), (b"a.py", b"b.py"), (b"a/", b"/")]))
    return [*lines[:at], line.replace(old, new), *lines[at + 1 :]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A case; about half of them are damaged or drifted."""
    tree: dict[bytes, bytes] = {}
    for name in draw(st.lists(_names, min_size=1, max_size=3, unique=True)):
        if not any(name.startswith(other + b"/") or other.startswith(name + b"/") for other in tree):
            tree[name] = draw(contents())
    there = dict(tree)
    diffs = []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        lines: list[bytes] = []
        for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
            lines += draw(file_diff(there))
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
            lines = draw(damaged(lines))
        diffs.append(b"".join(lines))
    for name, content in tree.items():
        if draw(st.integers(0, 2)) == 0:
            tree[name] = after(draw(edits(content)))
    return Case(tree, tuple(diffs))


# ---- judging ---------------------------------------------------------------------------------------------------

Files = dict[bytes, tuple[str, bytes]]


@dataclass
class Judge:
    """Runs cases in a folder and counts what came of them.

    Attributes:
        scratch: an empty folder, the caller's to remove.
        gnu_patch: whether there is a GNU patch to compare with.
        figures: numbers of cases.
    """

    scratch: Path
    gnu_patch: bool = field(default_factory=lambda: has_gnu_patch())
    figures: Counter[str] = field(default_factory=Counter)

    def check(self, case: Case) -> None:
        """Compare the engine with the tools on one case.

        Raises:
            AssertionError: a difference that is not explained.
        """
        patches = []
        for number, diff in enumerate(case.diffs, 1):
            path = self.scratch / f"{number:04}-change.patch"
            path.write_bytes(MAIL + diff)
            patches.append(path)
        git, _ = self._run(case, patches, "git", "apply")
        said = ""
        both = git
        if self.gnu_patch:
            gnu, said = self._run(
                case, patches, "patch", "-p1", "-F0", "--force", "--no-backup-if-mismatch", "-i"
            )
            both = git if git == gnu else None
            self.figures["tools differ"] += git != gnu
        ours, message = self._engine(case, patches, allow_offsets=True)
        strict, _ = self._engine(case, patches, allow_offsets=False)
        self.figures["cases"] += 1
        if ours is not None:
            assert ours == both, f"accepted; git: {git}, both: {both}, engine: {ours}"
            self.figures["accepted"] += 1
            if self.gnu_patch:
                assert strict == (None if "offset" in said else ours), f"without offsets: {strict}; patch said {said}"
            assert strict in (ours, None)
            self.figures["accepted without offsets"] += strict is not None
            return
        assert strict is None
        assert message.count("\n") == 0 and message.startswith("0"), message
        if both is None or not self.gnu_patch:
            self.figures["refused as both or either do"] += 1
            return
        reason = next((name for name, (pattern, _) in EXPLAINED.items() if re.search(pattern, message)), None)
        assert reason, f"refused ({message}), but both give {both}"
        self.figures[f"refused, explained: {reason}"] += 1

    def _lay_out(self, case: Case) -> Path:
        tree = self.scratch / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir()
        for name, content in case.tree.items():
            path = tree / os.fsdecode(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tree

    def _run(self, case: Case, patches: list[Path], *command: str) -> tuple[Files | None, str]:
        """The tree as another tool lays it out, None if it refuses, and what it printed."""
        tree = self._lay_out(case)
        said = ""
        for patch in patches:
            result = subprocess.run(
                [*command, str(patch)],
                cwd=tree,
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            said += result.stdout.decode(errors="replace")
            if result.returncode:
                return None, said
        return files(tree), said

    def _engine(self, case: Case, patches: list[Path], *, allow_offsets: bool) -> tuple[Files | None, str]:
        tree = self._lay_out(case)
        before = files(tree)
        try:
            apply_series(tree, [read_patch(path) for path in patches], allow_offsets=allow_offsets)
        except PatchsetError as error:
            assert files(tree) == before, f"refused ({error}), but changed"
            return None, str(error).replace(f"{self.scratch}{os.sep}", "")
        return files(tree), ""


_ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CEILING_DIRECTORIES": tempfile.gettempdir(),
    "LC_ALL": "C",
}


def has_gnu_patch() -> bool:
    """Whether the patch that is found is GNU's: BSD's is another program."""
    if shutil.which("patch") is None:
        return False
    said = subprocess.run(["patch", "--version"], capture_output=True, text=True, check=False).stdout
    return said.startswith("GNU patch")


def files(tree: Path) -> Files:
    """What lies in a tree: kind and content by name."""
    found: Files = {}
    for folder, folders, names in os.walk(os.fsencode(tree)):
        at = os.path.relpath(folder, os.fsencode(tree))
        if not folders and not names:
            found[at] = ("folder", b"")
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                found[os.path.join(at, name)] = ("link", os.readlink(path))
            else:
                kind = "program" if os.stat(path).st_mode & 0o111 else "file"
                with open(path, "rb") as file:
                    found[os.path.join(at, name)] = (kind, file.read())
    return found


def run(judge: Judge, count: int, number: int) -> None:
    """Judge so many cases of one seed.

    Raises:
        AssertionError: the smallest case that differs.
    """

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(cases())
    def check(case: Case) -> None:
        judge.check(case)

    check()


def main() -> int:
    """Run many cases in steps; the exit status is 1 where one differs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the first step's; the others count from there")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        judge = Judge(Path(scratch))
        step = 1000
        for number in range(-(-options.cases // step)):
            run(judge, min(step, options.cases - number * step), options.seed + number)
            print(f"{judge.figures['cases']} of {options.cases}, {time.monotonic() - started:.0f} s", file=sys.stderr)
    print(json.dumps({**judge.figures, "seconds": round(time.monotonic() - started)}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
