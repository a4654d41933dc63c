"""Does git make the same commits again of patch files that were made from commits?

``git am`` reads mails that people write: it cuts the message at ``---`` and at what looks like a diff, takes author, date
and subject from lines of the message's first paragraph, ``Re:`` off the subject and carriage returns out of all lines.
"""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from patchset.commits.git import git
from patchset.commits.mails import Commit
from patchset.commits.worktree import STOCK, apply, lay_out
from patchset.errors import PatchsetError
from patchset.pins import Release
from patchset.sources.sdists import Sdists

# A line at which a file of mails is split.
_MAIL = re.compile(r"^From .*\d\d:\d\d.*$", re.MULTILINE)


@dataclass(frozen=True)
class _Read:
    """What counts of a commit: who made it and when, its message, and the id of its tree."""

    author: str
    date: str
    message: str
    tree: str

    @property
    def subject(self) -> str:
        return self.message.partition("\n")[0]


def read_back(release: Release, tree: Path, found: Sequence[Commit], files: Sequence[Path], sdists: Sdists) -> None:
    """Make commits of patch files in a scratch work tree, and compare them with those that they were made from.

    Args:
        release: whose stock the series starts from.
        tree: the work tree with the commits.
        found: the commits, in order.
        files: their patch files.
        sdists: where to take upstream's from.

    Raises:
        PatchsetError: the first commit that does not come back, and what of it does not.
    """
    with tempfile.TemporaryDirectory() as scratch:
        again = Path(scratch, release.folder)
        lay_out(release, again, sdists, patched=False)
        if git(again, "rev-parse", f"{STOCK}^{{tree}}") != git(tree, "rev-parse", f"{STOCK}^{{tree}}"):
            raise PatchsetError(f"the tag {STOCK} in {tree} is not upstream's {release.version}; put it back")
        for commit, path in zip(found, files, strict=True):
            wanted = _read(tree, commit.sha)
            try:
                apply(again, path)
                complaint = _complaint(wanted, _read(again, "HEAD"), commit.mail)
            except PatchsetError as error:
                complaint = _culprit(wanted.message, commit.mail) or str(error)
            if complaint:
                raise PatchsetError(
                    f"commit {commit.sha[:12]}: git am would not make the same commit of its patch again: {complaint}; "
                    "amend it"
                )


def _read(repository: Path, commit: str) -> _Read:
    shown = git(
        repository,
        "show",
        "--no-patch",
        "--no-show-signature",
        "--encoding=UTF-8",
        "--date=raw",
        "--format=%an <%ae>%n%ad%n%T%n%B",
        commit,
    )
    author, date, tree, message = shown.split("\n", 3)
    return _Read(author, date, message.rstrip("\n"), tree)


def _complaint(wanted: _Read, made: _Read, mail: bytes) -> str | None:
    """What is different, in words; None where nothing is."""
    for name in ("subject", "author", "date"):
        before, after = getattr(wanted, name), getattr(made, name)
        if before != after:
            return f"its {name} would be {after!r}, not {before!r}"
    if wanted.message != made.message:
        lines, others = wanted.message.split("\n"), made.message.split("\n")
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(lines, others, strict=False)))
        line = next((line for line in lines[same:] if line), "")
        return f"its message would change at the line {line!r}"
    if wanted.tree != made.tree:
        return _culprit("", mail) or "its files would be others"
    return None


def _culprit(message: str, mail: bytes) -> str | None:
    """What ``git am`` stumbles over, if it is known."""
    if line := _MAIL.search(message):
        return f"another mail would begin at the line {line[0]!r}"
    names = re.findall(rb"^diff --git a/(.*?) b/", mail[: mail.find(b"\r\n")], re.MULTILINE) if b"\r\n" in mail else ()
    return f"it takes the carriage returns out of {names[-1].decode(errors='replace')}" if names else None
