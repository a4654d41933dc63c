"""What a build takes: few packages, each by hash, which the front ends enforce."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from patchset.dist import constraints
from patchset.errors import PatchsetError
from patchset.pins import CONSTRAINTS, Release
from tests.patchset.tool import Run, environment

FILE = "vendor/build-constraints.txt"


def test_the_file_pins_all_of_few() -> None:
    constraints.check()
    names = re.findall(r"^([a-z][\w-]*)==", CONSTRAINTS.read_text(), re.MULTILINE)
    assert len(names) <= 6
    assert set(names) == {Requirement(wanted).name for wanted in constraints.wanted()}, "none of them needs another"


@pytest.mark.parametrize(
    ("pattern", "new", "message"),
    [
        (
            r"^setuptools==[\d.]+",
            "setuptools==1.0",
            r"asks for setuptools==[\d.]+, which build-constraints.txt does not pin",
        ),
        (r"^setuptools==[\d.]+", "setuptools>=1.0", "setuptools has no version of its own"),
        (r"^setuptools==.*(\n .*)*\n", "", "asks for setuptools"),
        (r"sha256:", "md5:", "pip has no hash"),
        (r"^setuptools==(\S+).*(\n .*)*", r"setuptools==\1", "setuptools has no hash"),
        (r"^setuptools==", "setuptools=", "build-constraints.txt: "),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, new: str, message: str
) -> None:
    changed = tmp_path / CONSTRAINTS.name
    text, count = re.subn(pattern, new, CONSTRAINTS.read_text(), count=1, flags=re.MULTILINE)
    assert count
    changed.write_text(text)
    monkeypatch.setattr(constraints, "CONSTRAINTS", changed)
    with pytest.raises(PatchsetError, match=message):
        constraints.check()


def test_one_command_renews_it_and_verify_wants_it(tool: Run, checkout: Path) -> None:
    file, text = checkout / FILE, (checkout / FILE).read_text()
    file.write_text(re.sub(r"setuptools==[\d.]+", "setuptools==1.0", text))
    stale = tool(checkout, "verify", "0.18.1")
    assert stale.returncode == 1
    assert "failed  build pins: pyproject.toml asks for setuptools==" in stale.stdout
    file.unlink()
    renewed = tool(checkout, "constraints")
    assert (renewed.returncode, renewed.stdout) == (0, f"{FILE}\n"), renewed.stderr
    assert re.findall(r"^[a-z].*", file.read_text(), re.MULTILINE) == re.findall(r"^[a-z].*", text, re.MULTILINE)
    assert set(re.findall(r"sha256:\w+", text)) <= set(re.findall(r"sha256:\w+", file.read_text()))


# As docs/installing.md has them, but for the release.
FRONT_ENDS = {
    "pip": (sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "-w", "out", "--build-constraint", FILE),
    "uv build": ("uv", "build", "--wheel", "-o", "out", "--build-constraints", FILE, "--require-hashes"),
    "uv pip": ("uv", "pip", "install", ".", "--no-deps", "--target", "out", "--no-cache", "--build-constraints", FILE),
    "build": (sys.executable, "-m", "build", "--wheel", "-o", "out", "--dependency-constraints-txt", FILE),
    "patchset": (sys.executable, "-m", "patchset", "build", "-o", "out"),
    "by hand": (sys.executable, "-m", "pip", "install", "--target", "out", "--require-hashes", "-r", FILE),
}


@pytest.mark.parametrize("command", FRONT_ENDS.values(), ids=FRONT_ENDS)
def test_front_ends_refuse_a_package_of_another_hash(
    checkout: Path, tmp_path: Path, release: Release, command: Sequence[str]
) -> None:
    file, text = checkout / FILE, (checkout / FILE).read_text()
    before, name, after = text.partition("setuptools==")
    file.write_text(before + name + re.sub(r"sha256:\w+", f"sha256:{'0' * 64}", after, count=2))
    variables = environment(PEFT_UPSTREAM=release.version, PATCHSET_CACHE=str(tmp_path / "cache"))

    def done() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=checkout, env=variables, capture_output=True, text=True, check=False)

    refused = done()
    assert refused.returncode != 0
    assert re.search(r"[Hh]ash mismatch|DO NOT MATCH THE HASHES", refused.stdout + refused.stderr), refused.stderr
    assert not (checkout / "out").exists() or not list((checkout / "out").glob("[!.]*"))
    assert not list((tmp_path / "cache").glob("build-*"))
    file.write_text(text)
    accepted = done()
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
