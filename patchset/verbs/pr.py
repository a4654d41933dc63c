"""``pr``: what a human needs to send a patch upstream, one folder per idea, smallest first. Nothing is sent."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from patchset.checks.claims import source_only, style
from patchset.checks.other_tools import Missing
from patchset.checks.patch_tests import Outcome, interpreter, prove
from patchset.commits.git import GitError, git
from patchset.commits.mails import commits, slugify
from patchset.commits.worktree import apply, lay_out
from patchset.errors import PatchsetError
from patchset.pins import Release, load
from patchset.series.apply import counts
from patchset.series.patch import Patch, read_series
from patchset.sources.sdists import Sdists
from patchset.upstream import pull_request
from patchset.verbs.options import add_json, add_output, add_python, add_sdist
from patchset.verbs.printing import console, print_json

EXAMPLE = "pr ../peft -o pull-requests --tests"


@dataclasses.dataclass(frozen=True)
class Kit:
    """One folder that was written: its name, its patch's lines, the titles that go before, what its tests gave."""

    name: str
    lines: int
    needs: Sequence[str]
    tests: str


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clone", metavar="CLONE", help="a clone of upstream's repository, at its main")
    add_output(parser, "pull-requests")
    parser.add_argument("--tests", action="store_true", help="run each patch's tests without and with it")
    add_python(parser)
    add_sdist(parser)
    add_json(parser)


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
    sdists = Sdists(options.sdist, [release])
    written: list[Kit] = []
    with tempfile.TemporaryDirectory(prefix="patchset-pr-", ignore_cleanup_errors=True) as scratch:
        stage = Path(scratch)
        # The files that the patches were made from, for three-way merges.
        lay_out(release, stage / "ours", sdists)
        for number, patch in enumerate(to_send(release), 1):
            with console(stderr=True).status(f"{number}: {patch.slug}"):
                request = _request(patch, release, clone, stage, python)
                folder = stage / "kit" / f"{number:02}-{patch.slug}"
                pull_request.write(folder, request)
            written.append(Kit(folder.name, request.size, request.needs, _tests(request)))
        if not written:
            raise PatchsetError(f"upstream has everything that patches/{release.series} has")
        shutil.copytree(stage / "kit", output, dirs_exist_ok=True)
    if options.json:
        print_json(written)
        return 0
    for kit in written:
        on = f"on top of {', '.join(kit.needs)}" if kit.needs else "by itself"
        print(f"{output / kit.name}: {kit.lines} lines, {on}; tests {kit.tests}")
    print("nothing was sent; checklist.md in each folder says what is left for the human who submits it")
    return 0


def to_send(release: Release) -> list[Patch]:
    """The patches that upstream has not got and that were not sent yet, smallest first."""
    patches = [
        patch
        for patch in read_series(release.series_dir)
        if patch.field("Forwarded") == "no" and patch.fixed_in is None
    ]
    return sorted(patches, key=_size)


def _size(patch: Patch) -> int:
    return sum(sum(lines) for lines in counts(patch).values())


def _request(patch: Patch, release: Release, clone: Path, stage: Path, python: Path | None) -> pull_request.Request:
    """Try the patch on upstream with those whose names it uses; where that does not do, on top of all before it."""
    series = read_series(release.series_dir)
    before = series[: [other.slug for other in series].index(patch.slug)]
    least, complaint = needs(patch, before), ""
    for needed in (least, before) if least != before else (before,):
        tree = Path(tempfile.mkdtemp(dir=stage)) / "peft"
        try:
            return _tried(patch, needed, release, clone, tree, python)
        except PatchsetError as error:
            complaint = str(error)
    raise PatchsetError(f"{patch.slug} does not fit upstream: {complaint}; adopt upstream's next release first")


def needs(patch: Patch, before: Sequence[Patch]) -> list[Patch]:
    """Of the patches before one, those that bring a function or class that it names, and what these need.

    Whether its tests pass on top of them is only known once they ran.
    """
    words = set(re.findall(rb"\w+", patch.diff))
    found: list[Patch] = []
    for place, other in reversed(list(enumerate(before))):
        if words & _brought(other) and other not in found:
            found += [each for each in [*needs(other, before[:place]), other] if each not in found]
    return [other for other in before if other in found]


def _brought(patch: Patch) -> set[bytes]:
    """The functions and classes that a patch adds outside of tests, and does not only change."""
    diff = source_only(patch).diff
    added, removed = (
        set(re.findall(rb"^%b *(?:def|class) (\w+)" % sign, diff, re.MULTILINE)) for sign in (rb"\+", b"-")
    )
    # a method of that name may be anywhere
    return {name for name in added - removed if not name.startswith(b"__") and name != b"forward"}


def _tried(
    patch: Patch,
    needed: Sequence[Patch],
    release: Release,
    clone: Path,
    tree: Path,
    python: Path | None,
) -> pull_request.Request:
    git(tree.parent, "clone", "--quiet", "--shared", "--template=", str(clone.resolve()), str(tree))
    base = git(tree, "rev-parse", "HEAD").strip()
    git(tree, "fetch", "--quiet", "--no-tags", str(tree.parent.parent / "ours"), "HEAD")
    for other in [*needed, patch]:
        mail = tree.parent / other.path.name
        mail.write_bytes(pull_request.without_fields(other.path.read_bytes()))
        try:
            apply(tree, mail, "--3way")
        except GitError as error:
            raise PatchsetError(f"{other.slug} conflicts with upstream") from error
    git(tree, "config", "patchset.release", release.version)
    made = commits(tree, base)
    outcomes: tuple[Outcome, Outcome] | None = None
    if python is not None:
        outcomes = prove(python, tree, patch, "HEAD")
    files = git(tree, "diff", "--name-only", "HEAD^", "HEAD").splitlines()
    ruff, complaint = _style(tree, files)
    if complaint:
        git(tree, "checkout", "--quiet", "--detach", base)
        unclean = _style(tree, files)[1]
        if not unclean:
            raise PatchsetError(complaint)
        git(tree, "checkout", "--quiet", "--detach", made[-1].sha)
        ruff = f"not run: upstream's own files do not pass it ({unclean})"
    return pull_request.Request(
        patch=patch,
        needs=[other.title for other in needed],
        mails={f"{n:04}-{slugify(commit.subject)}.patch": commit.mail for n, commit in enumerate(made, 1)},
        base=git(tree, "log", "-1", "--format=%h %s", base).strip(),
        outcomes=outcomes,
        ruff=ruff,
        files=files,
        size=_size(patch),
    )


def _style(tree: Path, files: Sequence[str]) -> tuple[str, str]:
    """What ran, or why not; and what ruff found."""
    try:
        return style(tree, files), ""
    except Missing as missing:
        return f"not run: {missing}", ""
    except PatchsetError as error:
        return "", str(error)


def _tests(request: pull_request.Request) -> str:
    if request.outcomes is None:
        return "not run"
    before, after = request.outcomes
    return f"without it: {before.summary}, with it: {after.summary}"
