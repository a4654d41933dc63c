"""Do a patch's own tests fail without it and pass with it? Runs upstream's pytest in an environment that has torch."""

from __future__ import annotations

import ast
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from patchset.checks import upstream_pytest
from patchset.checks.other_tools import Missing
from patchset.commits.git import git, succeeds
from patchset.errors import PatchsetError
from patchset.pins import ROOT
from patchset.series.apply import added_lines
from patchset.series.patch import Patch

# One run: pytest's own time limit is none, and upstream's slowest new tests take seconds.
TIMEOUT = 1800  # seconds


@dataclass(frozen=True)
class Outcome:
    """What pytest said: numbers of tests, and its output."""

    passed: int
    failed: int
    skipped: int
    command: str
    output: str

    @property
    def summary(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    @property
    def first_failure(self) -> str:
        """pytest's first line about a failure."""
        lines = [line for line in self.output.splitlines() if line.startswith(("FAILED", "ERROR", "E  "))]
        return lines[0].strip() if lines else "see pytest"


def interpreter(release: str, given: str | None) -> Path:
    """The Python that runs a release's tests: the given one, or that of tox's environment for upstream's tests.

    Args:
        release: the release; it is put in the place of ``{release}`` in `given`.
        given: a path, or None.

    Raises:
        PatchsetError: the given one is not there.
        Missing: none was given, and tox has made no environment for that release's line.
    """
    if given:
        path = Path(given.replace("{release}", release)).expanduser().absolute()
        if path.is_file():
            return path
        if "{release}" not in given:
            raise PatchsetError(f"no such interpreter: {path}")
        raise Missing(f"there is no {path}")
    environment = f"upstream-{release.rpartition('.')[0]}"
    path = ROOT / ".tox" / environment / "bin" / "python"
    if not path.is_file():
        raise Missing(f"no environment; `tox -e {environment} --notest` makes one, or give --python PATH")
    return path


def new_tests(patch: Patch, tree: Path) -> list[str]:
    """The tests that a patch adds or changes, as pytest names them, found in the patched files.

    A class counts as a whole where the patch changes what its tests share.
    """
    found = []
    for name, lines in added_lines(patch).items():
        if Path(name).name.startswith("test_") and name.endswith(".py"):
            text = (tree / name).read_text("utf-8")
            # an empty line between two tests belongs to neither, and not to what they share
            written = {number for number, line in enumerate(text.splitlines(), 1) if line.strip()}
            found += [f"{name}::{test}" for test in _touched(ast.parse(text).body, lines & written)]
    return found


def _touched(body: Sequence[ast.stmt], lines: set[int]) -> list[str]:
    found = []
    for node in body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            continue
        own = lines.intersection(_span(node))
        if not own:
            continue
        if isinstance(node, ast.FunctionDef):
            found += [node.name] if node.name.startswith("test") else []
            continue
        methods = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name.startswith("test")]
        inside = {line for item in methods for line in _span(item)}
        if own <= inside:
            found += [f"{node.name}::{name}" for name in _touched(methods, own)]
        elif methods:
            found.append(node.name)
    return found


def _span(node: ast.ClassDef | ast.FunctionDef) -> range:
    """The lines of a class or function, its decorators' included."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return range(first, (node.end_lineno or node.lineno) + 1)


def run_tests(python: Path, tree: Path, tests: Sequence[str]) -> Outcome:
    """Run some of upstream's tests against a tree.

    Args:
        python: an interpreter with torch, transformers and pytest.
        tree: upstream's source tree.
        tests: pytest's node ids.

    Raises:
        PatchsetError: pytest did not run, for instance since it is not installed there.
    """
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.xml")
        try:
            result = upstream_pytest.run(python, tree, [tree / "src"], f"--junitxml={report}", *tests, timeout=TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise PatchsetError(f"the tests ran for more than {TIMEOUT // 60} minutes: {' '.join(tests)}") from error
        if not report.exists():
            lines = (result.stderr or result.stdout).strip().splitlines()
            raise PatchsetError(f"pytest did not run in {python}: {lines[-1] if lines else result.returncode}")
        cases = list(ElementTree.parse(report).iter("testcase"))
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    shown = f"pytest {' '.join(tests)}"
    output = result.stdout.replace(str(tree), ".").replace(str(python), "python")
    return Outcome(len(cases) - failed - skipped, failed, skipped, shown, output)


def prove(python: Path, tree: Path, patch: Patch, commit: str) -> tuple[Outcome, Outcome]:
    """Run a patch's tests without its fix and with it.

    Args:
        python: an interpreter with torch, transformers and pytest.
        tree: a clean work tree, which is left at the commit.
        patch: the patch.
        commit: its commit in the tree.

    Returns:
        The outcomes without and with the fix.

    Raises:
        PatchsetError: the tests pass without it, fail with it, or there are none.
    """
    git(tree, "checkout", "--quiet", "--detach", commit)
    tests = new_tests(patch, tree)
    if not tests:
        raise PatchsetError(f"{patch.path.name} adds no test")
    after = run_tests(python, tree, tests)
    if after.failed or not after.passed:
        raise PatchsetError(f"{patch.path.name}: with it, its own tests give {after.summary}: {after.first_failure}")
    for name in git(tree, "diff", "--name-only", f"{commit}^", commit).splitlines():
        if name.startswith("tests/"):
            continue
        if succeeds(tree, "cat-file", "-e", f"{commit}^:{name}"):
            git(tree, "checkout", "--quiet", f"{commit}^", "--", name)
        else:
            (tree / name).unlink()
    before = run_tests(python, tree, tests)
    git(tree, "reset", "--quiet", "--hard")
    if not before.failed:
        raise PatchsetError(f"{patch.path.name}: without it, its own tests give {before.summary}; one must fail")
    return before, after


def pass_on(python: Path, tree: Path, patch: Patch, commit: str, other: Path) -> Outcome:
    """Run a patch's tests on another release that does not have the patch: has upstream mended it there?

    The tests go into that release's test files by git's union merge: both sides' additions stay.

    Args:
        python: an interpreter with torch, transformers and pytest.
        tree: the work tree with the patch.
        patch: the patch.
        commit: its commit in the tree.
        other: the other release's tree, whose test files are changed.
    """
    git(tree, "checkout", "--quiet", "--detach", commit)
    tests = new_tests(patch, tree)
    for name in {test.partition("::")[0] for test in tests}:
        if not (other / name).exists():
            raise PatchsetError(f"{patch.path.name}: its tests have no place there, as {name} is gone")
        with tempfile.TemporaryDirectory() as scratch:
            versions = [Path(scratch, "base"), Path(scratch, "theirs")]
            for path, rev in zip(versions, (f"{commit}^", commit), strict=True):
                path.write_bytes(git(tree, "show", f"{rev}:{name}").encode(errors="surrogateescape"))
            git(tree, "merge-file", "--union", "--quiet", str((other / name).resolve()), *map(str, versions))
    return run_tests(python, other, tests)
