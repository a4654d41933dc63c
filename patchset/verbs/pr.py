"""``pr``: what a human needs to send a patch upstream, one folder per idea, smallest first. Nothing is sent."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from patchset.checks.claims import style
from patchset.checks.other_tools import Missing
from patchset.checks.patch_tests import Outcome, interpreter, prove
from patchset.commits.git import GitError, git
from patchset.commits.mails import commits, slugify
from patchset.commits.worktree import apply, lay_out
from patchset.commits.write_back import Change
from patchset.errors import PatchsetError
from patchset.pins import PATCHES, Release, load
from patchset.series.apply import counts
from patchset.series.patch import Patch, read_series
from patchset.upstream import pull_request


def run(options: argparse.Namespace) -> int:
    """Write the kit; exit status 1 where a patch does not fit upstream as it is in the clone."""
    release = load()[-1]
    output = Path(options.output)
    if output.exists() and any(output.iterdir()):
        raise PatchsetError(f"{output} is not empty; name another folder with -o")
    clone = Path(options.clone)
    if not (clone / ".git").exists():
        raise PatchsetError(f"{clone} is no clone of upstream's repository")
    python = interpreter(release.version, options.python) if options.tests or options.python else None
    console = Console(stderr=True)
    written: list[Change] = []
    stage = Path(tempfile.mkdtemp(prefix="patchset-pr-"))
    try:
        for number, patch in enumerate(to_send(release), 1):
            with console.status(f"{number}: {patch.slug}"):
                request = _request(patch, release, clone, stage, python)
                folder = stage / "kit" / f"{number:02}-{patch.slug}"
                pull_request.write(folder, request)
            on = f"on top of {', '.join(request.needs)}" if request.needs else "by itself"
            written.append(Change(folder.name, f"{request.size} lines, {on}; {_tests(request)}"))
        if not written:
            raise PatchsetError(f"upstream has everything that patches/{release.series} has")
        shutil.copytree(stage / "kit", output, dirs_exist_ok=True)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    if options.json:
        json.dump(written, sys.stdout, indent=2, default=dataclasses.asdict)
        print()
        return 0
    for change in written:
        print(f"{output / change.name}: {change.kind}")
    print("nothing was sent; checklist.md in each folder says what is left for the human who submits it")
    return 0


def to_send(release: Release) -> list[Patch]:
    """The patches that upstream has not got and that were not sent yet, smallest first."""
    patches = [
        patch
        for patch in read_series(PATCHES / release.series)
        if patch.field("Forwarded") == "no" and patch.field("Applied-Upstream") is None
    ]
    return sorted(patches, key=_size)


def _size(patch: Patch) -> int:
    return sum(sum(lines) for lines in counts(patch).values())


def _request(patch: Patch, release: Release, clone: Path, stage: Path, python: Path | None) -> pull_request.Request:
    """Try the patch alone on upstream; where it does not apply, or its tests fail so, on top of those before it."""
    series = read_series(PATCHES / release.series)
    before = series[: [other.slug for other in series].index(patch.slug)]
    complaints = []
    for needed in ([], before) if before else ([],):
        tree = Path(tempfile.mkdtemp(dir=stage)) / "peft"
        try:
            return _tried(patch, needed, release, clone, tree, python)
        except PatchsetError as error:
            complaints.append(str(error))
    raise PatchsetError(f"{patch.slug} does not fit upstream: {complaints[-1]}; adopt upstream's next release first")


def _tried(
    patch: Patch, needed: Sequence[Patch], release: Release, clone: Path, tree: Path, python: Path | None
) -> pull_request.Request:
    git(tree.parent, "clone", "--quiet", "--shared", "--template=", str(clone.resolve()), str(tree))
    base = git(tree, "rev-parse", "HEAD").strip()
    # The files that the patches were made from, for three-way merges.
    ours = tree.parent / "ours"
    lay_out(release, ours, [(other.slug, other.path) for other in read_series(PATCHES / release.series)])
    git(tree, "fetch", "--quiet", "--no-tags", str(ours), "HEAD")
    for other in [*needed, patch]:
        mail = tree.parent / other.path.name
        mail.write_bytes(pull_request.without_fields(other.path.read_bytes()))
        try:
            apply(tree, other.slug, mail, "--3way")
        except GitError as error:
            raise PatchsetError(f"{other.slug} conflicts with upstream") from error
    git(tree, "config", "patchset.release", release.version)
    made = commits(tree, base)
    outcomes: tuple[Outcome, Outcome] | None = None
    if python is not None:
        outcomes = prove(python, tree, patch, "HEAD")
    try:
        ruff = style(tree, git(tree, "diff", "--name-only", "HEAD^", "HEAD").splitlines())
    except Missing as missing:
        ruff = f"not run: {missing}"
    return pull_request.Request(
        patch=patch,
        needs=[other.title for other in needed],
        mails={f"{n:04}-{slugify(commit.subject)}.patch": commit.mail for n, commit in enumerate(made, 1)},
        base=git(tree, "log", "-1", "--format=%h %s", base).strip(),
        outcomes=outcomes,
        ruff=ruff,
        files=git(tree, "diff", "--name-only", "HEAD^", "HEAD").splitlines(),
        size=_size(patch),
    )


def _tests(request: pull_request.Request) -> str:
    if request.outcomes is None:
        return "tests not run"
    before, after = request.outcomes
    return f"tests without it: {before.summary}, with it: {after.summary}"
