"""The steps of the release workflow that need no network and no host, in their order and as it has them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from patchset.pins import ROOT
from tests.patchset.test_release import only
from tests.patchset.tool import Run, environment

# In the place of the host's program: it writes down what it is called with.
GH = '#!/bin/sh\nfor argument in "$@"; do echo "$argument"; done > called\n'


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8"))["jobs"]
    return found


def steps(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def run(step: str, cwd: Path, **variables: str) -> None:
    """As the host runs it; it is found out here whether it fails."""
    result = subprocess.run(
        ["bash", "-e", "-c", step], cwd=cwd, env=environment(**variables), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{step}: {result.stdout}{result.stderr}"


@pytest.mark.parametrize("draft", ["", "yes"], ids=["tag", "by hand"])
def test_steps(jobs: dict[str, Any], tool: Run, checkout: Path, tmp_path: Path, draft: str) -> None:
    only(checkout, "0.21.2")
    if not draft:
        changelog = checkout / "CHANGELOG.md"
        changelog.write_text(changelog.read_text().replace("## Unreleased", "## 2026-11-23"))
        assert tool(checkout, "verify", "--update").returncode == 0
    install, release = steps(jobs["build"])
    assert install == "uv venv && uv pip install --group tool"  # here there is an environment with that group already
    for system in jobs["build"]["strategy"]["matrix"]["include"]:
        clone, temporary = tmp_path / system["system"], tmp_path / f"temporary-{system['system']}"
        shutil.copytree(checkout, clone)
        temporary.mkdir()
        (clone / ".venv").symlink_to(sys.prefix)
        run(release, clone, DRAFT=draft, RUNNER_TEMP=str(temporary))
        # as the steps for up- and download have it
        shutil.copytree(temporary / "release", tmp_path / "built" / f"release-{system['system']}")
    for step in steps(jobs["compare"]):
        run(step, tmp_path)
    if draft:
        return
    (tmp_path / "built" / "release-ubuntu-latest").rename(tmp_path / "release")
    program = tmp_path / "bin" / "gh"
    program.parent.mkdir()
    program.write_text(GH)
    program.chmod(0o755)
    (publish,) = steps(jobs["publish"])
    run(publish, tmp_path, TAG="v1", PATH=f"{program.parent}:{environment()['PATH']}")
    called = (tmp_path / "called").read_text().splitlines()
    assert called[:4] == ["release", "create", "v1", "--verify-tag"]
    assert called[called.index("--notes-file") + 1] == "release/NOTES.md"
    files = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "release").iterdir() if path.is_file()}
    assert set(called[called.index("--notes-file") + 2 :]) == files
    sums = (tmp_path / "release" / "SHA256SUMS").read_text().splitlines()
    assert {f"release/{line.split()[1]}" for line in sums} < files


def test_two_systems_with_other_bytes_are_told(jobs: dict[str, Any], tmp_path: Path) -> None:
    for system in jobs["build"]["strategy"]["matrix"]["include"]:
        folder = tmp_path / "built" / f"release-{system['system']}"
        folder.mkdir(parents=True)
        (folder / "SHA256SUMS").write_text(system["system"])
    (compare,) = steps(jobs["compare"])
    with pytest.raises(AssertionError, match="> macos-latest"):
        run(compare, tmp_path)
