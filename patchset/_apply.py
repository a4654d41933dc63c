"""The engine: apply a series to a tree with zero fuzz, all of it or nothing.

dulwich parses the diffs and applies the hunks. It applies a hunk only where its header says; finding the place at an
offset, which older releases of a line need, is done here first.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from dulwich.patch import FilePatch, PatchHunk, apply_patch_hunks, parse_unified_diff

from patchset._errors import PatchsetError
from patchset._series import Patch


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
    return sorted(
        {_name(patch, path) for change in _parse(patch) for path in (change.old_path, change.new_path) if path}
    )


def _parse(patch: Patch) -> list[FilePatch]:
    changes = parse_unified_diff(patch.diff)
    for change in changes:
        if change.binary or change.rename_from or change.copy_from or not change.hunks:
            raise PatchsetError(f"{patch.path.name} renames, copies or holds binary data; write it as a plain diff")
    return changes


def _name(patch: Patch, path: bytes) -> str:
    """The path below the tree, as -p1 strips it."""
    name = PurePosixPath(path.decode()).relative_to(PurePosixPath(path.decode()).parts[0])
    if ".." in name.parts or name.is_absolute() or not name.parts:
        raise PatchsetError(f"{patch.path.name} changes {path.decode()}, which lies outside the tree")
    return str(name)


def _apply_file(
    tree: Path, files: dict[str, bytes | None], patch: Patch, change: FilePatch, allow_offsets: bool
) -> None:
    old = _name(patch, change.old_path) if change.old_path else None
    new = _name(patch, change.new_path) if change.new_path else None
    name = old or new
    assert name is not None  # git's diffs name at least one side
    if name not in files:
        files[name] = (tree / name).read_bytes() if (tree / name).is_file() else None
    content = files[name]
    if old and content is None:
        raise PatchsetError(f"{patch.path.name} changes {name}, which is not in {tree.name}")
    if not old and content is not None:
        raise PatchsetError(f"{patch.path.name} adds {name}, which {tree.name} has already")
    lines = io.BytesIO(content or b"").readlines()
    complaint = f"{patch.path.name} does not apply to {tree.name}: {name}"
    _place(lines, change.hunks, complaint, allow_offsets)
    result = apply_patch_hunks(change, lines)
    if result is None:
        raise PatchsetError(f"{complaint}: the end of the file differs")
    files[name] = b"".join(result) if new else None


def _place(lines: list[bytes], hunks: list[PatchHunk], complaint: str, allow_offsets: bool) -> None:
    """Set each hunk's first old line to where its old text stands, at or after the last hunk's end."""
    end = shift = 0
    for number, hunk in enumerate(hunks, 1):
        where = f"{complaint}, hunk {number} of {len(hunks)}"
        old = [line[1:] + b"\n" for line in hunk.lines if line[:1] in b" -"]
        added = sum(line[:1] == b"+" for line in hunk.lines)
        context = sum(line[:1] == b" " for line in hunk.lines)
        if len(old) != hunk.old_count or added + context != hunk.new_count:
            raise PatchsetError(f"{where}: its length is not what its header says")
        if any(line[:1] == b"\\" for line in hunk.lines) or hunk.old_count == 0:
            # A new file, or the end of one without a newline: dulwich checks these exactly.
            continue
        expected = hunk.old_start - 1
        places = [at for at in range(end, len(lines) - len(old) + 1) if lines[at : at + len(old)] == old]
        if not places:
            raise PatchsetError(f"{where} (at line {hunk.old_start}): its context is not there")
        at = min(places, key=lambda place: abs(place - expected - shift))
        if at != expected and not allow_offsets:
            raise PatchsetError(f"{where}: stands at line {at + 1}, not {hunk.old_start}; refresh the patch")
        shift, end = at - expected, at + len(old)
        hunk.old_start = at + 1
