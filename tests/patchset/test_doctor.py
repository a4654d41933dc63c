"""``doctor``: what it says about files that people have, and about real installs, whole, changed and patched over."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from patchset.doctor import installed, requested
from patchset.doctor.findings import Finding
from patchset.errors import PatchsetError
from patchset.pins import Release, load
from tests.patchset.tool import Run

GOOD, BAD = "a" * 64, "b" * 64


@pytest.fixture
def releases() -> list[Release]:
    """The pins, as if 0.18.1's wheel had been released."""
    return [Release(**{**vars(pin), "wheel": GOOD if pin.version == "0.18.1" else ""}) for pin in load()]


def said(findings: list[Finding]) -> str:
    return "\n".join(f"{finding.level}: {finding.text}" for finding in findings)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("peft==0.18.1\n", "problem: peft 0.18.1 is stock, and affected; use peft==0.18.1+kwargs.1"),
        (
            "peft<=0.18.1,>=0.18.0  # as LLaMA-Factory\n",
            "lets the index decide, stock included; use peft==0.18.1+kwargs.1",
        ),
        ("# nothing\n-r other.txt\nPEFT[x] == 0.19.1 ; python_version > '3'\n", "use peft==0.19.1+kwargs.1"),
        ("peft<0.15\n", "problem: `peft<0.15` excludes every patched release; these exist: 0.15.0+kwargs.1, "),
        ("peft==0.14.0\n", "note: peft 0.14.0 is not among the pinned releases, 0.15.0 to "),
        ("torch\nno requirement at all\n", "requirements.txt does not name peft"),
        ("peft @ git+https://example.org/peft\n", "names a file or a repository"),
        ("peft==0.18.1+kwargs.1\n", "note: no hash is given"),
        (f"peft==0.18.1+kwargs.1 \\\n    --hash=sha256:{GOOD}\n", "ok: the hash is the released wheel's"),
        (f"peft==0.18.1+kwargs.1 --hash=sha256:{BAD}\n", f"problem: the hash is not the released wheel's, {GOOD}"),
        ("peft==0.18.1+kwargs.9\n", "of another revision"),
        ("peft==0.18.1+cu1\n", "problem: peft 0.18.1+cu1 is somebody else's"),
    ],
)
def test_requirements(tmp_path: Path, releases: list[Release], text: str, answer: str) -> None:
    (tmp_path / "requirements.txt").write_text(text)
    assert answer in said(requested.examine(tmp_path / "requirements.txt", releases))


@pytest.mark.parametrize("digest", [GOOD, BAD])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", '[[package]]\nname = "peft"\nversion = "0.18.1+kwargs.1"\nwheels = [{ hash = "sha256:%s" }]\n'),
        ("poetry.lock", '[[package]]\nname = "peft"\nversion = "0.18.1+kwargs.1"\nfiles = [{hash = "sha256:%s"}]\n'),
        (
            "pdm.lock",
            '[[package]]\nname = "peft"\nversion = "0.18.1+kwargs.1"\nfiles = [{file = "a", hash = "sha256:%s"}]\n',
        ),
        (
            "pylock.toml",
            (
                '[[packages]]\nname = "peft"\nversion = "0.18.1+kwargs.1"\n'
                '[[packages.wheels]]\nhashes = {sha256 = "%s"}\n'
            ),
        ),
    ],
)
def test_lock_files(tmp_path: Path, releases: list[Release], name: str, text: str, digest: str) -> None:
    (tmp_path / name).write_text(text % digest)
    answer = said(requested.examine(tmp_path / name, releases))
    assert "ok: peft 0.18.1+kwargs.1 is patched" in answer
    assert ("ok: the hash is the released" in answer) == (digest == GOOD)
    assert ("problem: the hash is not" in answer) == (digest == BAD)
    (tmp_path / name).write_text((text % digest).replace("+kwargs.1", ""))
    assert "is stock, and affected" in said(requested.examine(tmp_path / name, releases))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('[project]\ndependencies = ["peft==0.19.1"]\n', "use peft==0.19.1+kwargs.1"),
        ('[project.optional-dependencies]\ntrain = ["peft<=0.18.1"]\n', "use peft==0.18.1+kwargs.1"),
        ('[dependency-groups]\na = ["peft==0.17.1", {include-group = "b"}]\nb = []\n', "use peft==0.17.1+kwargs.1"),
        ('[tool.uv]\ndev-dependencies = ["peft==0.16.0"]\n', "use peft==0.16.0+kwargs.1"),
        ('[tool.pdm.dev-dependencies]\ntest = ["peft==0.16.0"]\n', "use peft==0.16.0+kwargs.1"),
        ('[tool.poetry.dependencies]\npython = "^3.11"\npeft = "0.18.1"\n', "peft 0.18.1 is stock"),
        ('[tool.poetry.dependencies]\npeft = "0.18.1+kwargs.1"\n', "ok: peft 0.18.1+kwargs.1 is patched"),
        ('[tool.poetry.dependencies]\npeft = "^0.18.0"\n', "lets the index decide, stock included; use peft==0.18.1+"),
        (
            '[tool.poetry.group.dev.dependencies]\npeft = {version = "~0.17", extras = []}\n',
            "use peft==0.17.1+kwargs.1",
        ),
        ('[tool.poetry.dependencies]\npeft = "*"\n', "lets the index decide"),
        ('[tool.poetry.dependencies]\npeft = {path = "../peft"}\n', "names a file or a repository"),
        ('[tool.poetry.dependencies]\npeft = "<0.15"\n', "excludes every patched release"),
        ('[project]\ndependencies = ["torch"]\n', "does not name peft"),
    ],
)
def test_pyproject(tmp_path: Path, releases: list[Release], text: str, answer: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    assert answer in said(requested.examine(tmp_path / "pyproject.toml", releases))


def test_unreadable(tmp_path: Path, releases: list[Release]) -> None:
    for name in ("requirements.txt", "uv.lock"):
        with pytest.raises(PatchsetError, match="cannot read"):
            requested.examine(tmp_path / name, releases)
    (tmp_path / "uv.lock").write_text("no = toml =")
    with pytest.raises(PatchsetError, match="cannot read"):
        requested.examine(tmp_path / "uv.lock", releases)
    with pytest.raises(PatchsetError, match="cannot run"):
        installed.examine(str(tmp_path / "python"), releases)


@pytest.fixture
def python(wheel: Path, tmp_path: Path) -> Path:
    """An environment with the wheel in it."""
    venv = tmp_path / "venv"
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, venv], check=True)
    install = [
        "uv",
        "pip",
        "install",
        "--quiet",
        "--link-mode",
        "copy",
        "--no-deps",
        "--python",
        str(venv),
        str(wheel),
    ]
    subprocess.run(install, check=True)
    return venv / "bin" / "python"


@pytest.fixture
def released(wheel: Path) -> list[Release]:
    """The pins, with the wheel's digest locked."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return [Release(**{**vars(pin), "wheel": digest if pin.version == "0.18.1" else ""}) for pin in load()]


def test_an_install_is_the_released_wheel(python: Path, released: list[Release]) -> None:
    answer = said(installed.examine(str(python), released))
    assert "ok: peft 0.18.1+kwargs.1 is patched" in answer
    assert "are those of its RECORD" in answer
    assert "ok: they are the released wheel's" in answer
    assert "problem" not in answer


def test_changed_and_missing_files_are_named(python: Path, released: list[Release]) -> None:
    package = next(python.parent.parent.glob("lib/python*/site-packages/peft"))
    (package / "utils" / "other.py").write_text("")
    (package / "helpers.py").unlink()
    answer = said(installed.examine(str(python), released))
    assert "problem: differs from its RECORD: peft/helpers.py (missing), peft/utils/other.py (changed)" in answer


def test_a_changed_file_with_its_record(python: Path, released: list[Release]) -> None:
    """Somebody who mends RECORD too is found out by the locked digest."""
    site = next(python.parent.parent.glob("lib/python*/site-packages"))
    record = next(site.glob("peft-*.dist-info/RECORD"))
    lines = [line for line in record.read_text().splitlines() if not line.startswith("peft/utils/other.py")]
    (site / "peft" / "utils" / "other.py").write_text("")
    record.write_text("\n".join([*lines, "peft/utils/other.py,,", ""]))
    assert "problem: they are not the released wheel's" in said(installed.examine(str(python), released))


def test_a_patch_at_run_time_is_named(python: Path, released: list[Release]) -> None:
    """Small stand-ins for peft's modules, which need torch, and a .pth file that replaces a method."""
    site = next(python.parent.parent.glob("lib/python*/site-packages"))
    (site / "peft" / "__init__.py").write_text("")
    (site / "peft" / "utils" / "__init__.py").write_text("")
    wrapper = "class AuxiliaryTrainingWrapper:\n    def forward(self): ...\n    @property\n    def weight(self): ...\n"
    (site / "peft" / "utils" / "other.py").write_text(wrapper)
    assert "nothing replaces the wrappers' methods" in said(installed.examine(str(python), released))
    patch = (
        "import peft.utils.other as o\ndef forward(self, *args): ...\no.AuxiliaryTrainingWrapper.forward = forward\n"
    )
    (site / "compat_patch.py").write_text(patch)
    (site / "compat.pth").write_text("import compat_patch\n")
    answer = said(installed.examine(str(python), released))
    assert f"AuxiliaryTrainingWrapper.forward is replaced at run time by {site / 'compat_patch.py'}" in answer


def test_the_verb(tool: Run, checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("peft==0.18.1\n")
    result = tool(checkout, "doctor", str(tmp_path / "requirements.txt"), "--json")
    assert result.returncode == 1
    assert [finding["level"] for finding in json.loads(result.stdout)] == ["problem"]
    nothing = tool(checkout, "doctor", "--python", sys.executable)
    assert nothing.returncode == 0
    assert "has no peft" in nothing.stdout
