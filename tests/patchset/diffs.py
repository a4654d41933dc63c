"""Made-up cases for the engine: a small tree and a series of patches for it.

The patches are as git would write them. Then the tree drifts, as from release to release, and lines of the patches are
damaged, one way or another. Lines are few and short, so that a hunk often fits in several places.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hypothesis import strategies as st

NO_NEWLINE = b"\\ No newline at end of file\n"
_NAMES = [
    b"a.py",
    b"pkg/__init__.py",
    b"pkg/b c.txt",
    b"pkg",
    "n\u00e4.txt".encode(),
    b'q"t',
    b"b\\s",
    b"t\tb",
    b"a.py/x",
    b"\xff",
]
_LINES = [
    b"a",
    b"b",
    b"c",
    b"",
    b"a\r",
    b"\xff\xfe",
    b" ",
    b"-x",
    b"+y",
    b"-- ",
    b"@@ -1 +1 @@",
    b"--- a/a.py",
    b"\\ z",
    b"d\0",
]
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


@dataclass(frozen=True)
class Case:
    """A tree, file names to contents, and the diffs to apply; whether these are all as git writes them."""

    tree: dict[bytes, bytes]
    diffs: tuple[bytes, ...]
    intact: bool = False


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """A file: few different lines, so that a hunk often fits in several places."""
    text = b"".join(line + b"\n" for line in draw(st.lists(_line, max_size=draw(st.sampled_from([3, 12, 12, 30])))))
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
def file_diff(draw: st.DrawFn, tree: dict[bytes, bytes], taken: set[bytes]) -> list[bytes]:
    """The diff of a file, as lines; the tree is brought to what it leads to, the name added to those taken."""
    left = sorted(set(tree) - taken)
    other = draw(st.integers(0, 4)) == 0 or not left
    name = draw(_names if other else st.sampled_from(left))
    taken.add(name)
    raw = draw(st.integers(0, 7)) == 0 and not re.search(rb'[\t"\\]', name)  # as with core.quotePath=false
    old, new = (prefix + name if raw else quoted(prefix, name) for prefix in (b"a/", b"b/"))
    tab = b"\t" if b" " in name else b""
    lines = [b"diff --git %s %s\n" % (old, new)]
    context = draw(st.sampled_from([3, 3, 3, 2, 1, 0]))
    content = tree.get(name)
    ops: list[tuple[bytes, bytes]] = []
    if content is None:
        if draw(st.integers(0, 3)):
            ops = draw(edits(b""))
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


def _trimmed(lines: list[bytes], at: int, draw: st.DrawFn) -> list[bytes]:
    """The lines with less context at one end of the hunk whose header is there, if it has any."""
    end = next((n for n in range(at + 1, len(lines)) if lines[n][:1] not in b" +-\\"), len(lines))
    first = draw(st.booleans())
    gone = at + 1 if first else end - 1
    found = re.fullmatch(rb"@@ -(\d+),(\d+) \+(\d+),(\d+) @@\n", lines[at])
    if not found or gone == len(lines) or not lines[gone].startswith(b" "):
        return lines
    old, old_count, new, new_count = map(int, found.groups())
    header = b"@@ -%d,%d +%d,%d @@\n" % (old + first, old_count - 1, new + first, new_count - 1)
    return [*lines[:at], header, *lines[at + 1 : gone], *lines[gone + 1 :]]


_REPLACED = [
    (b"100644", b"100755"),
    (b"100644", b"120000"),
    (b"a.py", b"../a.py"),
    (b"a.py", b"b.py"),
    (b"a/", b"/"),
    (b"a/a.py", b'"a/a.py"'),
    (b"/dev/null", b"a/a.py"),
    (b"1234567", b"0000000"),
    (b"1234567", b"e69de29"),
    (b"0000000", b"1234567"),
]


@st.composite
def damaged(draw: st.DrawFn, lines: list[bytes]) -> list[bytes]:
    """Lines of a patch with one thing changed."""
    kind = draw(st.integers(0, 13))
    headers = [number for number, line in enumerate(lines) if line.startswith(b"@@ -")]
    if kind <= 5 and headers:
        at = draw(st.sampled_from(headers))
        return _trimmed(lines, at, draw) if kind <= 1 else [*lines[:at], _number(lines[at], draw), *lines[at + 1 :]]
    at = draw(st.integers(0, len(lines) - 1))
    before, line, rest = lines[:at], lines[at], lines[at + 1 :]
    if kind == 6:
        return [*before, *rest]
    if kind == 7:
        return [*before, line, line, *rest]
    if kind == 8:
        return [*before, draw(st.sampled_from(_GARBAGE)), line, *rest]
    if kind == 9:
        return [*before, line[:-1] + draw(st.sampled_from([b"\r\n", b"\t\n", b" \n", b"", b"x\n"])), *rest]
    if kind == 10:
        return [*before, draw(st.sampled_from([b" ", b"+", b"-", b""])) + line[1:], *rest]
    if kind == 11:
        return before or lines
    if kind == 12:
        return [*lines, *draw(st.sampled_from(_GARBAGE)).splitlines(keepends=True)]
    old, new = draw(st.sampled_from(_REPLACED))
    return [*before, line.replace(old, new), *rest]


@st.composite
def drifted(draw: st.DrawFn, content: bytes) -> bytes:
    """A file as another release may have it: mostly the same, or more lines somewhere, or some other ones."""
    kind = draw(st.integers(0, 8))
    if kind == 0:
        return after(draw(edits(content)))
    if kind == 1:
        return content + content
    if kind <= 4:
        lines = content.splitlines(keepends=True)
        at = draw(st.integers(0, len(lines)))
        return b"".join([*lines[:at], *(line + b"\n" for line in draw(st.lists(_line, max_size=4))), *lines[at:]])
    return content


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A case; about half of them are damaged or drifted."""
    tree: dict[bytes, bytes] = {}
    for name in draw(st.lists(_names, min_size=1, max_size=3, unique=True)):
        if not any(name.startswith(other + b"/") or other.startswith(name + b"/") for other in tree):
            tree[name] = draw(contents())
    there = dict(tree)
    diffs, intact = [], True
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        lines: list[bytes] = []
        taken: set[bytes] = set()
        for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
            lines += draw(file_diff(there, taken))
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
            lines = draw(damaged(lines))
            intact = False
        diffs.append(b"".join(lines))
    for name, content in tree.items():
        tree[name] = draw(drifted(content))
    return Case(tree, tuple(diffs), intact)
