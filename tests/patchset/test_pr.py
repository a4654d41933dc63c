"""The upstream kit and the proofs by tests; a stand-in for pytest says what real runs said, as these need torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from patchset.pins import load
from patchset.series.patch import Patch, read_series
from patchset.sources.sdists import Sdists
from patchset.upstream import pull_request
from patchset.upstream.pull_request import without_fields
from patchset.verbs.pr import needs
from tests.patchset.tool import Run, environment

# Passes three tests where the source is as it is committed; where a part was taken back, fails two of them.
STAND_IN = """#!{python}
import pathlib, subprocess, sys
(report,) = [a.partition("=")[2] for a in sys.argv if a.startswith("--junitxml=")]
repository = pathlib.Path(".git").exists()
broken = {broken} or repository and subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "src"], stderr=2).returncode == 1
case = "<testcase name='t'>{{}}</testcase>"
bad = case.format("<failure/>" if broken else "")
pathlib.Path(report).write_text("<testsuite>" + case.format("") + bad * 2 + "</testsuite>")
print("ran", sys.argv[-1])
"""


def stand_in(folder: Path, broken: object = False) -> str:
    path = folder / "python"
    path.write_text(STAND_IN.format(python=sys.executable, broken=broken))
    path.chmod(0o755)
    return str(path)


def git(folder: Path, *arguments: str) -> str:
    identity = {f"GIT_{role}_{part}": "a" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    quiet = environment(**identity, GIT_CONFIG_GLOBAL=os.devnull)
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=quiet, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository made from the newest sdist, since upstream's own cannot be had here; one file has moved on."""
    newest = load()[-1]
    folder = Sdists().unpack(newest, tmp_path)
    other = folder / "src" / "peft" / "utils" / "other.py"
    other.write_text(f'"""Moved on."""\n\n{other.read_text()}')
    git(folder, "init", "--quiet")
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--message", "main")
    return folder


def test_kit(tool: Run, checkout: Path, clone: Path, tmp_path: Path) -> None:
    before = git(clone, "rev-parse", "HEAD"), git(clone, "for-each-ref"), git(clone, "status", "--porcelain")
    result = tool(checkout, "pr", str(clone), "-o", "kit", "--python", stand_in(tmp_path), "--json")
    assert result.returncode == 0, result.stderr
    assert before == (git(clone, "rev-parse", "HEAD"), git(clone, "for-each-ref"), git(clone, "status", "--porcelain"))
    sendable = [patch for patch in read_series(load()[-1].series_dir) if patch.field("Forwarded") == "no"]
    folders = sorted((checkout / "kit").iterdir())
    assert [entry["name"] for entry in json.loads(result.stdout)] == [folder.name for folder in folders]
    assert {folder.name.partition("-")[2] for folder in folders} == {patch.slug for patch in sendable}
    sizes = [entry["lines"] for entry in json.loads(result.stdout)]
    assert sizes == sorted(sizes), "smallest first"
    for folder in folders:
        mails = sorted(folder.glob("*.patch"))
        git(clone, "checkout", "--quiet", "--detach", before[0].strip())
        git(clone, "am", "--quiet", *map(str, mails))
        assert git(clone, "log", "-1", "--format=%s").strip() == (folder / "title.txt").read_text().strip()
        assert "Origin: " not in git(clone, "log", "-1", "--format=%B")
        body, checklist = (folder / "body.md").read_text(), (folder / "checklist.md").read_text()
        assert "- without the change: 1 passed, 2 failed, 0 skipped" in body
        assert "- with the change: 3 passed, 0 failed, 0 skipped" in body
        assert "AI assistance was used" in body
        assert "pytest tests/test_" in body
        assert ("Only the last commit is new" in body) == (len(mails) > 1)
        assert str(tmp_path) not in body + checklist + (folder / "tests-before.txt").read_text(), "no paths of ours"
        assert "@peft-triage approved" in checklist
        issue = (folder / "issue.md").read_text()
        headings = [line for line in issue.splitlines() if line.startswith("### ")]
        assert headings == ["### System Info", "### Who can help?", "### Reproduction", "### Expected behavior"]
        assert "Resolves #ISSUE, approved in COMMENT." in body
        changed = [Path(name) for name in git(clone, "diff", "--name-only", "HEAD^", "HEAD").split()]
        saves = any(path.parts[0] == "src" and path.name in pull_request._SAVING for path in changed)
        assert ("pytest tests/regression/ --regression" in body) == saves
    again = tool(checkout, "pr", str(clone), "-o", "kit")
    assert again.stderr == "error: kit is not empty; name another folder with -o\n"


def test_a_patch_goes_on_top_of_those_whose_names_it_uses(tool: Run, checkout: Path, clone: Path) -> None:
    """Nobody has run the tests: that it applies by itself does not say that it works by itself."""
    series = read_series(load()[-1].series_dir)
    found = {patch.slug: [other.title for other in needs(patch, series[:n])] for n, patch in enumerate(series)}
    assert any(found.values())
    result = tool(checkout, "pr", str(clone), "-o", "kit", "--json")
    assert result.returncode == 0, result.stderr
    for kit in json.loads(result.stdout):
        assert set(found[kit["name"].partition("-")[2]]) <= set(kit["needs"])


def test_what_a_patch_needs(tmp_path: Path) -> None:
    def patch(name: str, diff: str) -> Patch:
        return Patch(
            tmp_path / f"0001-{name}.patch", name, "", (), "", f"diff --git a/src/x.py b/src/x.py\n{diff}".encode()
        )

    first = patch("first", "+def _find(x):\n+    return x\n")
    other = patch("other", "+def _other(x):\n+    return x\n")
    second = patch("second", "+class Finder:\n+    found = _find(1)\n")
    third = patch("third", "+    Finder()\n")
    assert needs(first, []) == []
    assert needs(other, [first]) == []
    assert needs(second, [first, other]) == [first]
    assert needs(third, [first, other, second]) == [first, second]


@pytest.mark.skipif(not shutil.which("uv"), reason="uv runs upstream's ruff")
def test_what_ruff_finds_in_upstreams_own_files_is_not_the_patchs(tool: Run, checkout: Path, clone: Path) -> None:
    other = clone / "src" / "peft" / "utils" / "other.py"
    other.write_text(f"{other.read_text()}\n\nimport  os\n")
    git(clone, "commit", "--quiet", "--all", "--message", "not formatted")
    result = tool(checkout, "pr", str(clone), "-o", "kit")
    assert result.returncode == 0, result.stderr
    bodies = [path.read_text() for path in (checkout / "kit").glob("*/body.md")]
    if not any("not run: neither" in body or "uv tool" in body for body in bodies):
        assert any("upstream's own files do not pass it" in body for body in bodies)


def test_a_patch_that_does_not_fit_main(tool: Run, checkout: Path, clone: Path) -> None:
    (clone / "src" / "peft" / "utils" / "other.py").write_text("pass\n")
    git(clone, "commit", "--quiet", "--all", "--message", "rewritten")
    result = tool(checkout, "pr", str(clone), "-o", "kit")
    assert result.returncode == 1
    assert "does not fit upstream" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (checkout / "kit").exists()


def test_fields_are_taken_out() -> None:
    mail = b"From 0\nSubject: x\n\nWords.\n\nOrigin: vendor\nForwarded: no\nLast-Update: 2026-01-01\n---\n a | 1 +\n"
    assert without_fields(mail) == b"From 0\nSubject: x\n\nWords.\n---\n a | 1 +\n"


def test_the_body_is_markdown(tool: Run, checkout: Path, clone: Path) -> None:
    tool(checkout, "pr", str(clone), "-o", "kit")
    (body,) = (checkout / "kit").glob("*-nested-modules-to-save/body.md")
    lines = body.read_text().splitlines()
    assert "KeyError: 'base_model.model.embeddings.word_embeddings.weight'" in lines


def test_verify_runs_the_tests_without_and_with_each_patch(tool: Run, checkout: Path, tmp_path: Path) -> None:
    result = tool(checkout, "verify", "0.19.1", "--tests", "--python", stand_in(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[0].endswith(", tests"), "a line for each tool that is not here may follow"
    idle = tool(checkout, "verify", "0.21.2", "--tests", "--python", stand_in(tmp_path, broken=True))
    assert "with it, its own tests give 1 passed, 2 failed, 0 skipped" in idle.stdout
    untrue = tool(checkout, "verify", "0.19.1", "--tests", "--python", stand_in(tmp_path, broken="not repository"))
    assert "says that 0.20.0 has the fix; there, 1 passed, 2 failed" in untrue.stdout
    missing = tool(checkout, "verify", "0.21.2", "--tests")
    assert missing.returncode == 0
    assert "skipped tests: no environment; `tox -e upstream-0.21 --notest` makes one" in missing.stdout
