"""The engine: apply a series to a tree with zero fuzz, all of it or nothing.

unidiff parses the diffs and checks the hunks' lengths; finding a hunk's place and putting it in is done here, since no
kept library for Python does it as strictly: at its line, or at an offset where that is allowed, with its whole context.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk, PatchedFile, PatchSet

from patchset.errors import PatchsetError
from patchset.series.patch import Patch


def apply_series(tree: Path, patches: Sequence[Patch], *, allow_offsets: bool) -> list[str]:
    """Apply the patches in order; the tree changes only if all of them apply.

    Args:
        tree: the root of the unpacked sdist.
        patches: the series.
        allow_offsets: whether a hunk may lie elsewhere than its header says. Its context must match fully
            either way.

    Returns:
        The changed files' paths relative to the tree, sorted, with forward slashes.

    Raises:
        PatchsetError: a patch does not apply; the message names patch, file and hunk.
    """
    files: dict[str, bytes | None] = {}
    for patch in patches:
        for change in _parse(patch):
            _apply_file(tree, files, patch, change, allow_offsets)
    for name, content in files.items():
        path = tree / name
        if content is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return sorted(files)


def touched(patch: Patch) -> list[str]:
    """The files that a patch changes, adds or deletes, sorted."""
    return sorted({_name(patch, change) for change in _parse(patch)})


def added_lines(patch: Patch) -> dict[str, set[int]]:
    """The numbers of the lines that a patch adds or changes, by file, as they are with the patch."""
    return {
        _name(patch, change): {line.target_line_no or 0 for hunk in change for line in hunk if line.is_added}
        for change in _parse(patch)
    }


def counts(patch: Patch) -> dict[str, tuple[int, int]]:
    """How many lines a patch adds to and removes from each file."""
    return {_name(patch, change): (change.added, change.removed) for change in _parse(patch)}


def _parse(patch: Patch) -> PatchSet:
    try:
        changes = PatchSet.from_string(patch.diff.decode())
    except (UnidiffParseError, UnicodeDecodeError) as error:
        raise PatchsetError(f"{patch.path.name} is not a well-formed diff: {str(error).strip()}") from error
    if any(change.is_binary_file or change.is_rename or not change for change in changes):
        raise PatchsetError(f"{patch.path.name} renames, copies or holds binary data; write it as a plain diff")
    return changes


def _name(patch: Patch, change: PatchedFile) -> str:
    """The path below the tree, as -p1 strips it."""
    path = PurePosixPath(change.target_file if change.is_added_file else change.source_file)
    name = PurePosixPath(*path.parts[1:])
    if path.is_absolute() or ".." in name.parts or not name.parts:
        raise PatchsetError(f"{patch.path.name} changes {path}, which lies outside the tree")
    return str(name)


def _apply_file(
    tree: Path, files: dict[str, bytes | None], patch: Patch, change: PatchedFile, allow_offsets: bool
) -> None:
    name = _name(patch, change)
    if name not in files:
        files[name] = (tree / name).read_bytes() if (tree / name).is_file() else None
    content = files[name]
    if content is None and not change.is_added_file:
        raise PatchsetError(f"{patch.path.name} changes {name}, which is not in {tree.name}")
    if content is not None and change.is_added_file:
        raise PatchsetError(f"{patch.path.name} adds {name}, which {tree.name} has already")
    complaint = f"{patch.path.name} does not apply to {tree.name}: {name}"
    lines = (content or b"").decode().split("\n")
    result = _apply_hunks(lines, change, complaint, allow_offsets)
    files[name] = None if change.is_removed_file else "\n".join(result).encode()


def _apply_hunks(lines: list[str], hunks: Sequence[Hunk], complaint: str, allow_offsets: bool) -> list[str]:
    """Return the changed lines. The last line is what follows the last newline: empty in a file that ends with one."""
    result: list[str] = []
    end = shift = 0
    for number, hunk in enumerate(hunks, 1):
        where = f"{complaint}, hunk {number} of {len(hunks)}"
        old, new = _side(hunk, "-"), _side(hunk, "+")
        # A hunk without old lines stands after the line that its header names.
        expected = hunk.source_start - bool(hunk.source_length)
        # Only a hunk that says so holds the file's end.
        last = len(lines) - len(old)
        tries = [last] if _holds_end(hunk) else range(end, last)
        places = [at for at in tries if at >= end and lines[at : at + len(old)] == old]
        if not places:
            raise PatchsetError(f"{where} (at line {hunk.source_start}): its context is not there")
        # like GNU patch, the place nearest to where the last hunk's offset leads
        at = min(places, key=lambda place: abs(place - expected - shift))
        if at != expected and not allow_offsets:
            raise PatchsetError(f"{where}: stands at line {at + 1}, not {hunk.source_start}; refresh the patch")
        result += lines[end:at] + new
        shift, end = at - expected, at + len(old)
    return result + lines[end:]


def _side(hunk: Hunk, sign: str) -> list[str]:
    """The hunk's lines before (``-``) or after (``+``), and an empty one where it holds the end of the file."""
    side: list[str] = []
    previous = ""
    for line in hunk:
        if line.line_type == "\\" and previous in (" ", sign):
            return side  # the file ends here without a newline, so that nothing follows
        if line.line_type in (" ", sign):
            side.append(line.value.removesuffix("\n"))
        previous = line.line_type
    return [*side, ""] if _holds_end(hunk) else side


def _holds_end(hunk: Hunk) -> bool:
    """Whether a side of the hunk is marked to end without a newline."""
    return any(line.line_type == "\\" for line in hunk)
