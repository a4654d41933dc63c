"""The engine against GNU patch and git on made-up patches: does it give what both give, and refuse all else?

`tests/patchset/test_engine_parity.py` tries 2,000 of `tests.patchset.diffs`' cases,

    python -m tests.patchset.engine_parity --cases 100000

as many as one likes. Each tool gets a tree of its own, and

- where both lay out the same tree, so does the engine, or it refuses for one of the reasons in `EXPLAINED`;
- where one refuses, or they differ, the engine refuses in one line, and its tree is as it was;
- without offsets it gives the same if GNU patch speaks of no offset, and refuses otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings

from patchset.errors import PatchsetError
from patchset.series.apply import apply_series
from patchset.series.patch import read_patch
from tests.patchset.diffs import Case, cases

MAIL = b"From 0000 Mon Sep 17 00:00:00 2001\nSubject: [PATCH 1/1] Change\n\nWords.\n---\n\n"

# What the engine refuses although both tools agree: a pattern of its message, and why.
EXPLAINED = {
    "a mode": (
        r"only plain files of mode 100644|modes cannot be changed",
        "an sdist is laid out without modes, and so are wheels",
    ),
    "a rename": (r"renames, copies", "a patch shows all that it changes"),
    "a name": (r"is not UTF-8", "no wheel could name the file"),
    "lines outside of hunks": (
        r"stands outside of its hunks|is no hunk's header|its message holds a diff|not a patch in git's mail format",
        "both tools pass over what they do not understand, and a change is lost",
    ),
    "header lines": (
        r"does not fit 'diff|where its hunks should be|lies outside|but it (adds|deletes|changes) |git quotes names",
        "both tools take what they need from any of them; git writes them in one way",
    ),
    "lines after the file's end": (
        r"follows the file's end|without a newline is not|an empty line has no newline",
        "both tools join the lines",
    ),
    "two places": (r"GNU patch puts it at line", "the tools put it in different places, which here comes to the same"),
    "a file twice": (r"the same file twice|both a file and a folder", "the tools differ in most such cases"),
}

# In memory where that can be: files on a disk take most of a run's time.
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
_ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CEILING_DIRECTORIES": SCRATCH,
    "TMPDIR": SCRATCH,
    "LC_ALL": "C",
}

# Cases of one seed: hypothesis keeps all of them in memory.
_STEP = 1000

# What lies in a tree, by name: "file", "program", "link" or "folder", and its content.
Files = dict[bytes, tuple[str, bytes]]


def has_gnu_patch() -> bool:
    """Whether the patch that is found is GNU's: BSD's is another program."""
    if shutil.which("patch") is None:
        return False
    said = subprocess.run(["patch", "--version"], capture_output=True, text=True, check=False).stdout
    return said.startswith("GNU patch")


@dataclass
class Judge:
    """Runs cases in a folder and counts what came of them.

    Attributes:
        scratch: an empty folder, the caller's to remove.
        gnu_patch: whether there is a GNU patch to compare with.
        figures: numbers of cases.
    """

    scratch: Path
    gnu_patch: bool = field(default_factory=has_gnu_patch)
    figures: Counter[str] = field(default_factory=Counter)

    def check(self, case: Case) -> None:
        """Compare the engine with the tools on one case.

        Raises:
            AssertionError: a difference that is not explained.
        """
        patches = []
        for number, diff in enumerate(case.diffs, 1):
            path = self.scratch / f"{number:04}-change.patch"
            path.write_bytes(MAIL + diff)
            patches.append(path)
        git, said = self._run(case, patches, "git", "apply")
        both = git
        if self.gnu_patch:
            gnu, said = self._run(case, patches, "patch", "-p1", "-F0", "--force", "--no-backup-if-mismatch", "-i")
            both = git if git == gnu else None
            self.figures["tools differ"] += git != gnu
        ours, message = self._engine(case, patches, allow_offsets=True)
        strict, complaint = self._engine(case, patches, allow_offsets=False)
        self.figures["cases"] += 1
        if ours is None:
            assert strict is None
            self._refused(message, both, case.intact)
            return
        assert ours == both, f"accepted; git: {git}, both: {both}, engine: {ours}"
        assert strict in (ours, None)
        self.figures["accepted"] += 1
        self.figures["accepted without offsets"] += strict is not None
        if self.gnu_patch and (strict is None) != ("offset" in said):
            # both tools take a line after the file's end for its end, without a word
            after_end = re.search(rb"@@ -\d+,0 ", b"".join(case.diffs)) and "stands at line" in complaint
            assert strict is None and after_end, f"without offsets: {strict} ({complaint}); patch said {said}"
            self.figures["refused without offsets, explained: after the file's end"] += 1

    def _refused(self, message: str, both: Files | None, intact: bool) -> None:
        assert re.fullmatch(r"\d{4}-change.patch.+", message), f"not one line that names the patch: {message}"
        if both is None or not self.gnu_patch:
            self.figures["refused as one of them does, or where they differ"] += 1
            return
        reason = next((name for name, (pattern, _) in EXPLAINED.items() if re.search(pattern, message)), None)
        assert reason, f"refused ({message}), but both give {both}"
        assert not intact or reason in ("a name", "two places", "a file twice"), (
            f"refused ({message}) as git writes it"
        )
        self.figures[f"refused, explained: {reason}"] += 1

    def _lay_out(self, case: Case) -> Path:
        tree = self.scratch / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir()
        for name, content in case.tree.items():
            path = tree / os.fsdecode(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tree

    def _run(self, case: Case, patches: list[Path], *command: str) -> tuple[Files | None, str]:
        """The tree as another tool lays it out, None if it refuses, and what it printed."""
        tree = self._lay_out(case)
        said = ""
        for patch in patches:
            result = subprocess.run(
                [*command, str(patch)],
                cwd=tree,
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            said += result.stdout.decode(errors="replace")
            if result.returncode:
                return None, said
        return files(tree), said

    def _engine(self, case: Case, patches: list[Path], *, allow_offsets: bool) -> tuple[Files | None, str]:
        tree = self._lay_out(case)
        before = files(tree)
        try:
            apply_series(tree, [read_patch(path) for path in patches], allow_offsets=allow_offsets)
        except PatchsetError as error:
            assert files(tree) == before, f"refused ({error}), but changed"
            return None, str(error).replace(f"{self.scratch}{os.sep}", "")
        return files(tree), ""


def files(tree: Path) -> Files:
    """What lies in a tree: kind and content by name."""
    found: Files = {}
    for path in tree.rglob("*"):
        name = os.fsencode(path.relative_to(tree))
        if path.is_symlink():
            found[name] = ("link", os.fsencode(path.readlink()))
        elif path.is_dir():
            found[name] = ("folder", b"")
        else:
            found[name] = ("program" if path.stat().st_mode & 0o111 else "file", path.read_bytes())
    return found


def run(judge: Judge, count: int, number: int) -> None:
    """Judge so many cases of one seed.

    Raises:
        AssertionError: the smallest case that differs.
    """

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def check(case: Case) -> None:
        judge.check(case)

    check()


def main() -> int:
    """Run many cases; the exit status is 1 where one differs. Ctrl-C stops, and prints the figures so far."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the first step's; the others count from there")
    options = parser.parse_args()
    started = time.monotonic()
    status = 0
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        judge = Judge(Path(scratch))
        try:
            for number, done in enumerate(range(0, options.cases, _STEP)):
                run(judge, min(_STEP, options.cases - done), options.seed + number)
                print(
                    f"{judge.figures['cases']} of {options.cases}, {time.monotonic() - started:.0f} s", file=sys.stderr
                )
        except AssertionError:
            traceback.print_exc()
            status = 1
        except KeyboardInterrupt:
            status = 130
    figures = {**judge.figures, "unexplained": int(status == 1), "seconds": round(time.monotonic() - started)}
    print(json.dumps(figures, indent=2))
    return status


if __name__ == "__main__":
    sys.exit(main())
