"""A patch's diff, read as bytes: what `git diff` writes for text files, and nothing else.

GNU patch and git pass over, guess or mend what they do not understand, each in its own way. Here every line is either
understood as git writes it or refused, so that no change is lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from patchset.errors import PatchsetError
from patchset.series.patch import Patch

_MODE = rb"100644"
_INDEX = re.compile(rb"index ([0-9a-f]{4,64})\.\.([0-9a-f]{4,64})(?: (\d+))?\n")
_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(?: [^\r\n]*)?\n")
# git's own, or its version; quilt and editors may leave empty lines
_SIGNATURE = re.compile(rb"\n*(-- \n(\d+\.[^\n]*\n)?)?\n*")
_NO_NEWLINE = re.compile(rb"\\ [^\n]{9,}\n")
_ESCAPE = re.compile(rb'\\([abfnrtv"\\]|[0-3][0-7]{2})')
_ESCAPES = dict(zip(b'abfnrtv"\\', b'\a\b\f\n\r\t\v"\\', strict=True))
# What GNU patch or git take for the start of a diff, wherever it stands in a mail.
_DIFF = re.compile(r"^@@ -|^[ \tX]*(--- .*\n[ \tX]*\+\+\+ |\*\*\* .*\n[ \tX]*--- |diff --git )", re.MULTILINE)


@dataclass(frozen=True)
class Hunk:
    """A hunk.

    Attributes:
        old_start: the line that its header names for the text before, from 1; 0 in an empty file.
        new_start: the same for the text after.
        lines: sign (space, minus, plus) and content of each line, with its newline unless it is marked to have none.
    """

    old_start: int
    new_start: int
    lines: tuple[tuple[bytes, bytes], ...]

    @property
    def old(self) -> list[bytes]:
        return [line for sign, line in self.lines if sign != b"+"]

    @property
    def new(self) -> list[bytes]:
        return [line for sign, line in self.lines if sign != b"-"]

    @property
    def context(self) -> tuple[int, int]:
        """How many lines of context it starts and ends with."""
        changed = [number for number, (sign, _) in enumerate(self.lines) if sign != b" "]
        return changed[0], len(self.lines) - changed[-1] - 1


@dataclass(frozen=True)
class Change:
    """What a patch does to a file: ``kind`` is ``changes``, ``adds`` or ``deletes``."""

    name: str
    kind: str
    hunks: tuple[Hunk, ...]


def split(content: bytes) -> list[bytes]:
    """The lines, each with its newline, the last one maybe without. No other character ends a line."""
    return re.findall(rb"[^\n]*\n|[^\n]+", content)


def parse(patch: Patch) -> list[Change]:
    """Read a patch's diff.

    Raises:
        PatchsetError: it is not what git writes for plain text files of mode 100644, or says two things.
    """
    return _Reader(patch).changes()


class _Reader:
    """Takes the diff's lines one after the other."""

    def __init__(self, patch: Patch) -> None:
        self.patch = patch
        self.lines = split(patch.diff)
        self.at = 0
        self.place = ""  # for messages

    def error(self, what: str) -> PatchsetError:
        return PatchsetError(f"{self.patch.path.name}{self.place}: {what}")

    def malformed(self, what: str) -> PatchsetError:
        return PatchsetError(f"{self.patch.path.name} is not a well-formed diff{self.place}: {what}")

    def next(self) -> bytes:
        return self.lines[self.at] if self.at < len(self.lines) else b""

    def take(self, wanted: bytes) -> bool:
        """Go on to the next line if this is the wanted one."""
        found = self.next() == wanted
        self.at += found
        return found

    def changes(self) -> list[Change]:
        if _DIFF.search(self.patch.message) or _DIFF.search(self.patch.diffstat):
            raise self.malformed("its message holds a diff, which GNU patch and git would apply too")
        changes: list[Change] = []
        while self.next().startswith(b"diff --git "):
            self.place = ""
            change = self.change()
            for other in changes:
                if change.name == other.name:
                    raise self.malformed("the same file twice")
                if f"{change.name}/".startswith(f"{other.name}/") or f"{other.name}/".startswith(f"{change.name}/"):
                    raise self.error(f"{other.name} would be both a file and a folder; write two patches")
            changes.append(change)
        if not _SIGNATURE.fullmatch(b"".join(self.lines[self.at :])):
            raise self.malformed(f"{_shown(self.next())} stands outside of its hunks")
        return changes

    def change(self) -> Change:
        """Read one file's part: git's header lines in git's order, then the hunks."""
        header = self.next()[len(b"diff --git ") : -1]
        middle = len(header) // 2
        # both names are the same but for their first letter, and so equally long
        old, new = header[:middle], header[middle + 1 :]
        name = self.name(header, old, new)
        self.at += 1
        kind = "changes"
        for word, verb in ((b"new file mode ", "adds"), (b"deleted file mode ", "deletes")):
            if self.next().startswith(word):
                kind = verb
                if not self.take(word + _MODE + b"\n"):
                    raise self.error(f"{_shown(self.next())}; only plain files of mode 100644 can be changed")
        self.index(kind)
        if re.match(rb"(old|new|deleted( file)?) mode ", self.next()):
            raise self.error(f"{_shown(self.next())}; modes cannot be changed")
        if re.match(rb"(similarity|dissimilarity|rename|copy|GIT binary|Binary) ", self.next()):
            raise self.error("renames, copies or holds binary data; write it as a plain diff")
        tab = b"\t" if b" " in name.encode() else b""
        if self.next().startswith(b"--- "):
            before = b"/dev/null" if kind == "adds" else old + tab
            after = b"/dev/null" if kind == "deletes" else new + tab
            if not (self.take(b"--- " + before + b"\n") and self.take(b"+++ " + after + b"\n")):
                raise self.malformed(f"{_shown(self.next())} does not fit {_shown(b'diff --git ' + header)}")
            hunks = self.hunks()
        elif kind == "changes" or tab:
            # GNU patch does not find out the name of an empty file if a space is in it
            raise self.malformed(f"{_shown(self.next())} where its hunks should be")
        else:
            hunks = ()
        return Change(name, kind, hunks)

    def name(self, header: bytes, old: bytes, new: bytes) -> str:
        """The path below the tree, as -p1 strips it."""
        names = []
        for token in (old, new):
            if token.startswith(b'"'):
                token = _ESCAPE.sub(lambda found: bytes([_escaped(found[1])]), token[1:-1])
            elif re.search(rb'[\0-\x1f"\\\x7f]', token):
                raise self.malformed(f"git quotes names such as {_shown(token)}")
            names.append(token)
        if names[0][:2] != b"a/" or names[1] != b"b/" + names[0][2:]:
            raise self.error(
                f"renames, copies or names a file otherwise than git does: {_shown(header)}; write it as a plain diff"
            )
        try:
            name = names[0][2:].decode()
        except UnicodeDecodeError:
            raise self.error(f"the name {_shown(old)} is not UTF-8") from None
        parts = name.split("/")
        if {"", ".", ".."}.intersection(parts) or ".git" in map(str.lower, parts) or "\0" in name:
            raise self.error(f"changes {_shown(old)}, which lies outside the tree")
        self.place = f": {name}"
        return name

    def index(self, kind: str) -> None:
        """Take the line of the blobs' ids, if there is one; GNU patch reads out of it which file is not there."""
        found = _INDEX.fullmatch(self.next())
        if not found:
            return
        if found[3] not in (None, _MODE):
            raise self.error(f"{_shown(self.next())}; only plain files of mode 100644 can be changed")
        if [not side.strip(b"0") for side in (found[1], found[2])] != [kind == "adds", kind == "deletes"]:
            raise self.malformed(f"{_shown(self.next())}, but it {kind} the file")
        self.at += 1

    def hunks(self) -> tuple[Hunk, ...]:
        hunks: list[Hunk] = []
        place = self.place
        while found := _HUNK.fullmatch(self.next()):
            self.place = f"{place}, hunk {len(hunks) + 1}"
            self.at += 1
            old, new = (int(count) if count else 1 for count in (found[2], found[4]))
            hunks.append(Hunk(int(found[1]), int(found[3]), self.body(old, new)))
        if not hunks or self.next().startswith(b"@@"):
            raise self.malformed(f"{_shown(self.next())} is no hunk's header")
        self.place = place
        return tuple(hunks)

    def body(self, old: int, new: int) -> tuple[tuple[bytes, bytes], ...]:
        """Read a hunk's lines, as many as its header says for the text before and after."""
        body: list[tuple[bytes, bytes]] = []
        left = {b"-": old, b"+": new}
        ended: set[bytes] = set()  # the sides whose last line was marked to have no newline
        while any(left.values()):
            line = self.next()
            # GNU diff may leave out the space of an empty line
            sign, content = (b" ", line) if line == b"\n" else (line[:1], line[1:])
            sides = [b"-", b"+"] if sign == b" " else [sign]
            if sign not in (b" ", b"-", b"+") or not content.endswith(b"\n") or any(not left[side] for side in sides):
                raise self.malformed(f"{_shown(line)} does not fit the numbers of lines in the header")
            if ended.intersection(sides):
                raise self.malformed(f"{_shown(line)} follows the file's end")
            for side in sides:
                left[side] -= 1
            self.at += 1
            if _NO_NEWLINE.fullmatch(self.next()):
                self.at += 1
                content = content[:-1]
                ended.update(sides)
                if not content:
                    raise self.malformed("an empty line has no newline")
            body.append((sign, content))
        if all(sign == b" " for sign, _ in body):
            raise self.malformed("it changes nothing")
        return tuple(body)


def _escaped(code: bytes) -> int:
    """The character that a backslash and this stand for in a name that git quotes."""
    return int(code, 8) if code.isdigit() else _ESCAPES[code[0]]


def _shown(line: bytes) -> str:
    """A line of the diff for a message: one line, printable, not too long."""
    return repr(line.decode(errors="backslashreplace").rstrip("\n")[:80]) if line else "the end"
