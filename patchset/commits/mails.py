"""Commits as patch files: git's mail format with everything fixed that a git version or a setting could change."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from patchset.commits.git import git
from patchset.errors import PatchsetError

# A patch's name is kept beside its commit, where amending and rebasing carry it along (git-notes, notes.rewriteRef).
NOTES = "refs/notes/patchset"

# Every option that https://git-scm.com/docs/git-format-patch takes from the configuration, at git's default, and what
# would be noise in a diff of diffs: commit ids, git's version, abbreviated blob ids.
_OPTIONS = (
    "--numbered",
    "--zero-commit",
    "--no-signature",
    "--full-index",
    "--subject-prefix=PATCH",
    "--suffix=.patch",
    "--filename-max-length=64",
    "--stat=80",
    "--unified=3",
    "--inter-hunk-context=0",
    "--diff-algorithm=myers",
    "--indent-heuristic",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--no-renames",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-attach",
    "--no-thread",
    "--no-cover-letter",
    "--no-base",
    "--no-notes",
    "--no-relative",
    f"-O{Path('/dev/null')}",
)


@dataclass(frozen=True)
class Commit:
    """One commit of a series.

    Attributes:
        sha: its id.
        subject: the first line of its message.
        slug: the patch's name that is noted beside it, None for a commit that came from no patch.
        mail: the commit in git's mail format.
    """

    sha: str
    subject: str
    slug: str | None
    mail: bytes


def commits(repository: Path, base: str) -> list[Commit]:
    """The commits from a base (not included) to the one that is checked out as mails, oldest first.

    Args:
        repository: a work tree.
        base: the commit that the first patch applies to.

    Raises:
        PatchsetError: HEAD does not descend from the base, or there is a merge or an empty commit between them.
    """
    ids = git(repository, "rev-list", "--reverse", "--topo-order", f"{base}..HEAD").split()
    start = git(repository, "rev-parse", f"{base}^{{commit}}").strip()
    if git(repository, "merge-base", base, "HEAD").strip() != start:
        raise PatchsetError(f"HEAD does not descend from {base}; rebase it onto that")
    if merges := git(repository, "rev-list", "--merges", f"{base}..HEAD").split():
        raise PatchsetError(f"commit {merges[0][:12]} is a merge; a series is a straight line: `git rebase {base}`")
    mails = _format(repository, start, ids[-1]) if ids else []
    if len(mails) != len(ids) or not all(b"\ndiff --git " in mail for mail in mails):
        raise PatchsetError(f"a commit changes no file; drop it: `git rebase --empty=drop {base}`")
    return [
        Commit(sha, git(repository, "show", "-s", "--format=%s", sha).strip(), note(repository, sha), mail)
        for sha, mail in zip(ids, mails, strict=True)
    ]


def note(repository: Path, sha: str) -> str | None:
    """The patch's name noted beside a commit; the first, where commits with several were squashed."""
    noted = git(repository, "for-each-ref", NOTES) and git(repository, "notes", f"--ref={NOTES}", "list")
    if not any(line.split()[1] == sha for line in noted.splitlines()):
        return None
    found = re.match(r"\s*([\w.+][\w.+-]*)\s", git(repository, "notes", f"--ref={NOTES}", "show", sha))
    return found[1] if found else None


def slugs(found: list[Commit], known: dict[str, str]) -> list[str]:
    """Name each commit's patch: by its subject where that is known, by its note, else after its subject.

    Args:
        found: the series' commits.
        known: names by subject, from the patches there are. One idea has one subject and one name in every line.

    Raises:
        PatchsetError: two commits get the same name.
    """
    names = [known.get(commit.subject) for commit in found]
    for number, commit in enumerate(found):
        if names[number] is None:
            # A split commit leaves its note on one of the parts; the subject of another may have kept the name.
            names[number] = commit.slug if commit.slug not in names else None
    given = [name or slugify(commit.subject) for name, commit in zip(names, found, strict=True)]
    if twice := {name for name in given if given.count(name) > 1}:
        raise PatchsetError(f"two commits are named {', '.join(sorted(twice))}; give them different subjects")
    return given


def slugify(subject: str) -> str:
    """A file name from a subject, as git makes one, in lower case and of at most 40 characters."""
    words = re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-")
    return (words if len(words) <= 40 else words[:41].rpartition("-")[0] or words[:40]) or "patch"


def _format(repository: Path, base: str, tip: str) -> list[bytes]:
    """Run ``git format-patch`` on the repository's objects, away from its configuration and attributes; by ids alone."""
    objects = Path(git(repository, "rev-parse", "--git-path", "objects").strip())
    with tempfile.TemporaryDirectory() as scratch:
        bare, output = Path(scratch, "bare"), Path(scratch, "mails")
        git(Path(scratch), "init", "--quiet", "--bare", "--template=", "bare")
        (bare / "objects" / "info").mkdir(exist_ok=True)
        (bare / "objects" / "info" / "alternates").write_text(f"{(repository / objects).resolve().as_posix()}\n")
        git(bare, "format-patch", "--quiet", *_OPTIONS, "-o", str(output), f"{base}..{tip}")
        return [path.read_bytes() for path in sorted(output.iterdir())]
