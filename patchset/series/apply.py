"""The engine: apply a series to a tree with zero fuzz, all of it or nothing.

It gives what GNU patch (``patch -p1 -F0``) and ``git apply`` both give, and refuses what one of them refuses or does
in another way; `tests.patchset.engine_parity` tries it on made-up patches.

Own code, after a look at what there is (November 2026). Calling git would not do: our source package has to build
where no git is. unipatch (1.0) always allows fuzz, whatthepatch (1.0) and patch-ng (1.19) do not compare line ends,
dulwich (1.2) looks for a hunk at its header's line alone, and pygit2 (1.21) needs a repository, Python 3.11 and a
compiled library.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from patchset.errors import PatchsetError
from patchset.series.diff import Hunk, parse, split
from patchset.series.patch import Patch


def apply_series(tree: Path, patches: Sequence[Patch], *, allow_offsets: bool) -> list[str]:
    """Apply the patches in order; the tree changes only if all of them apply.

    Args:
        tree: the root of the unpacked sdist.
        patches: the series.
        allow_offsets: whether a hunk may lie elsewhere than its header says. Its context must match fully
            either way.

    Returns:
        The paths of the files that are changed, added or deleted, relative to the tree, sorted, with forward slashes.

    Raises:
        PatchsetError: a patch does not apply; the message names patch, file and hunk.
    """
    files = _Files(tree)
    for patch in patches:
        for change in parse(patch):
            complaint = f"{patch.path.name} does not apply to {tree.name}: {change.name}"
            try:
                content = files.read(change.name)
            except (OSError, PatchsetError) as error:
                raise PatchsetError(f"{complaint}: {error}") from error
            if content is None and change.kind != "adds":
                raise PatchsetError(f"{patch.path.name} changes {change.name}, which is not in {tree.name}")
            if content is not None and change.kind == "adds":
                raise PatchsetError(f"{patch.path.name} adds {change.name}, which {tree.name} has already")
            result = _apply_hunks(split(content or b""), change.hunks, complaint, allow_offsets)
            if result and change.kind == "deletes":
                raise PatchsetError(f"{complaint} is to be deleted, but {len(result)} of its lines would be left")
            files.now[change.name] = None if change.kind == "deletes" else b"".join(result)
    return files.write()


def touched(patch: Patch) -> list[str]:
    """The files that a patch changes, adds or deletes, sorted."""
    return sorted(change.name for change in parse(patch))


def added_lines(patch: Patch) -> dict[str, set[int]]:
    """The numbers of the lines that a patch adds or changes, by file, as they are with the patch."""
    added: dict[str, set[int]] = {}
    for change in parse(patch):
        added[change.name] = set()
        for hunk in change.hunks:
            signs = (sign for sign, _ in hunk.lines if sign != b"-")
            added[change.name].update(n for n, sign in enumerate(signs, hunk.new_start) if sign == b"+")
    return added


def counts(patch: Patch) -> dict[str, tuple[int, int]]:
    """How many lines a patch adds to and removes from each file."""
    signs = {change.name: [sign for hunk in change.hunks for sign, _ in hunk.lines] for change in parse(patch)}
    return {name: (found.count(b"+"), found.count(b"-")) for name, found in signs.items()}


class _Files:
    """A tree's files as the patches so far leave them; nothing is written before `write`.

    Attributes:
        before: content of the files that were read, None where there was none.
        now: content of those that were changed, None where there is none any more.
    """

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.before: dict[str, bytes | None] = {}
        self.now: dict[str, bytes | None] = {}

    def read(self, name: str) -> bytes | None:
        """A file's content, None if there is none.

        Raises:
            PatchsetError: a folder or a link is there, or a file in the place of a folder.
        """
        for folder in [path.as_posix() for path in PurePosixPath(name).parents][:-1]:
            if self._is_file(folder):
                raise PatchsetError(f"{folder} is no folder")
        if self._is_folder(name):
            raise PatchsetError("it is a folder")
        if name not in self.now:
            self.before[name] = self.now[name] = (self.tree / name).read_bytes() if self._is_file(name) else None
        return self.now[name]

    def write(self) -> list[str]:
        """Write what was changed and return its names; if that fails, put back what was there."""
        changed = sorted(name for name, content in self.now.items() if content != self.before[name])
        try:
            self._lay_out({name: self.now[name] for name in changed})
        except BaseException as error:
            state = "nothing of it was changed"
            try:
                self._lay_out({name: self.before[name] for name in changed})
            except OSError as again:
                state = f"what was there could not be put back: {again}"
            if isinstance(error, OSError):
                raise PatchsetError(f"cannot write to {self.tree.name}: {error}; {state}") from error
            raise
        return changed

    def _is_file(self, name: str) -> bool:
        path = self.tree / name
        if path.is_symlink():
            raise PatchsetError(f"{name} is a link")
        return self.now[name] is not None if name in self.now else path.is_file()

    def _is_folder(self, name: str) -> bool:
        inside = (path.relative_to(self.tree).as_posix() for path in (self.tree / name).rglob("*") if path.is_file())
        known = (other for other, content in self.now.items() if content is not None)
        return any(other.startswith(f"{name}/") for other in known) or any(other not in self.now for other in inside)

    def _lay_out(self, contents: Mapping[str, bytes | None]) -> None:
        # deletions first: a file may take the place of a folder, and the other way round
        for name, content in sorted(contents.items(), key=lambda item: item[1] is not None):
            path = self.tree / name
            folders = [self.tree / folder for folder in PurePosixPath(name).parents][:-1]
            if content is None:
                if path.is_file():
                    path.unlink()
                with contextlib.suppress(OSError):  # as both tools: the folders go with their last file
                    for folder in folders:
                        folder.rmdir()
                continue
            for folder in reversed(folders):
                if not folder.exists():
                    folder.mkdir()
                    folder.chmod(0o755)
            new = not path.exists()
            path.write_bytes(content)
            if new:
                path.chmod(0o644)  # as unpacked, whatever the umask


def _apply_hunks(lines: list[bytes], hunks: Sequence[Hunk], complaint: str, allow_offsets: bool) -> list[bytes]:
    """Return the changed lines."""
    result: list[bytes] = []
    # The file as git sees it on the way; None where a hunk was put in, which no other may match again.
    image: list[bytes | None] = list(lines)
    end = shift = 0
    for number, hunk in enumerate(hunks, 1):
        where = f"{complaint}, hunk {number} of {len(hunks)}"
        old, new = hunk.old, hunk.new
        grown = len(result) - end
        at, other = _gnu_patchs_place(lines, hunk, end, shift), _gits_place(image, hunk)
        if at is None or other is None:
            raise PatchsetError(f"{where} (at line {hunk.old_start}): its context is not there{_anchored(hunk)}")
        if other != at + grown:
            raise PatchsetError(
                f"{where}: GNU patch puts it at line {at + 1}, git at {other - grown + 1}; refresh the patch"
            )
        if at != _expected(hunk) and not allow_offsets:
            raise PatchsetError(f"{where}: stands at line {at + 1}, not {hunk.old_start}; refresh the patch")
        result += lines[end:at] + new
        image[other : other + len(old)] = [None] * len(new)
        shift = at - _expected(hunk) if old else shift
        end = at + len(old)
        if not all(line.endswith(b"\n") for line in (result + lines[end:])[:-1]):
            raise PatchsetError(f"{where}: a line without a newline is not the file's last one")
    return result + lines[end:]


def _expected(hunk: Hunk) -> int:
    """The place that the header names, from 0. A hunk without old lines stands after the line named there."""
    return hunk.old_start - bool(hunk.old)


def _gnu_patchs_place(lines: list[bytes], hunk: Hunk, end: int, shift: int) -> int | None:
    """Where GNU patch 2.7 puts a hunk (``locate_hunk`` in patch.c), in the file as it was.

    Args:
        lines: the file's.
        hunk: the hunk.
        end: what lies before was used up by the hunks before.
        shift: the last hunk's offset.
    """
    old, guess = hunk.old, _expected(hunk) + shift
    if not old:  # that matches anywhere
        at = min(guess, len(lines))
        return at if at >= end else None
    leading, trailing = hunk.context
    last = len(lines) - len(old)
    tries: Sequence[int] = range(end, last + 1)
    if leading < trailing and hunk.old_start <= 1:
        tries = [0]
    elif trailing < leading:
        tries = [last]
    return _nearest(tries, guess, lambda at: at >= end and lines[at : at + len(old)] == old)


def _gits_place(image: list[bytes | None], hunk: Hunk) -> int | None:
    """Where git puts a hunk (``find_pos`` in apply.c), in the file as the hunks before have left it."""
    old, last = hunk.old, len(image) - len(hunk.old)
    guess = min(max(hunk.new_start - 1, 0), len(image))
    tries: Sequence[int] = range(last + 1)
    at_end = hunk.context[1] == 0
    if at_end:
        tries, guess = [last], last
    if hunk.old_start <= 1:
        tries, guess = [0] if last >= 0 and (last == 0 or not at_end) else [], 0

    def fits(at: int) -> bool:
        if at < 0:
            return False
        found = image[at : at + len(old)]
        if found == old or at_end or not old or old[-1].endswith(b"\n") or found[:-1] != old[:-1]:
            return found == old
        # that the file ends here without a newline is not looked at, nor other white space that follows
        last = found[-1] if found else None
        return last is not None and last.startswith(old[-1]) and not last[len(old[-1]) :].strip(b" \t\r\n")

    return _nearest(tries, guess, fits)


def _nearest(tries: Sequence[int], guess: int, fits: Callable[[int], bool]) -> int | None:
    """The place that fits and is nearest to the guess, the later one of two; both tools search that way."""
    if guess in tries and fits(guess):  # nearly always
        return guess
    return min(filter(fits, tries), key=lambda at: (abs(at - guess), at < guess), default=None)


def _anchored(hunk: Hunk) -> str:
    """Why that may be, for a hunk that may not lie anywhere."""
    leading, trailing = hunk.context
    if trailing and leading >= trailing and hunk.old_start > 1:
        return ""
    return " (with less context on one side it belongs to the file's start or end)"
