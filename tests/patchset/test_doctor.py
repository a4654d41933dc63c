"""``doctor``: what it says about files that people have, and about real installs, whole, changed and patched over."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from patchset.doctor import installed
from patchset.doctor.findings import Finding
from patchset.errors import PatchsetError
from patchset.pins import Release, load
from tests.patchset.tool import Run


@pytest.fixture
def releases() -> list[Release]:
    """The pins, as if 0.18.1's wheel had been released."""
    return [Release(**{**vars(pin), "wheel": "a" * 64 if pin.version == "0.18.1" else ""}) for pin in load()]


def said(findings: Iterable[Finding]) -> str:
    return "\n".join(f"{finding.level}: {finding.text}" for finding in findings)


def test_what_is_no_python(tmp_path: Path, releases: list[Release]) -> None:
    with pytest.raises(PatchsetError, match="cannot run"):
        list(installed.examine(str(tmp_path / "python"), releases))
    with pytest.raises(PatchsetError, match="cannot run /bin/true: it is no Python"):
        list(installed.examine("/bin/true", releases))


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


WRAPPERS = """
class AuxiliaryTrainingWrapper:
    names = ("a",)
    def forward(self): ...
    @property
    def weight(self): ...
    @staticmethod
    def of(): ...
    @contextlib.contextmanager
    def passing(self): yield
class ModulesToSaveWrapper(AuxiliaryTrainingWrapper): ...
"""


@pytest.fixture
def site(python: Path) -> Path:
    """The folder of the packages, with small stand-ins for peft's modules, which need torch."""
    site = next(python.parent.parent.glob("lib/python*/site-packages"))
    (site / "peft" / "__init__.py").write_text("")
    (site / "peft" / "utils" / "__init__.py").write_text("")
    (site / "peft" / "utils" / "other.py").write_text(f"import contextlib{WRAPPERS}")
    return site


NOTHING = "ok: nothing replaces the wrappers' methods when peft is imported"


def test_a_patch_at_run_time_is_named(python: Path, released: list[Release], site: Path) -> None:
    """A .pth file that replaces a method."""
    assert NOTHING in said(installed.examine(str(python), released))
    patch = (
        "import peft.utils.other as o\ndef forward(self, *args): ...\no.AuxiliaryTrainingWrapper.forward = forward\n"
    )
    (site / "compat_patch.py").write_text(patch)
    (site / "compat.pth").write_text("import compat_patch\n")
    answer = said(installed.examine(str(python), released))
    assert f"AuxiliaryTrainingWrapper.forward is replaced at run time by {site / 'compat_patch.py'}" in answer


@pytest.mark.parametrize(
    ("patch", "name", "what"),
    [
        ("o.AuxiliaryTrainingWrapper.forward = Put()", "AuxiliaryTrainingWrapper.forward", "framework.Put of FILE"),
        (
            "o.AuxiliaryTrainingWrapper.forward = functools.partialmethod(function, 1)",
            "AuxiliaryTrainingWrapper.forward",
            "FILE",
        ),
        (
            "o.AuxiliaryTrainingWrapper.forward = functools.wraps(o.AuxiliaryTrainingWrapper.forward)(function)",
            "AuxiliaryTrainingWrapper.forward",
            "FILE",
        ),
        ("o.AuxiliaryTrainingWrapper.weight = property(function)", "AuxiliaryTrainingWrapper.weight", "FILE"),
        ("o.ModulesToSaveWrapper.__setattr__ = function", "ModulesToSaveWrapper.__setattr__", "FILE"),
        ("o.ModulesToSaveWrapper.forward = Put()", "ModulesToSaveWrapper.forward", "framework.Put of FILE"),
        (
            "o.ModulesToSaveWrapper = type('Mine', (o.ModulesToSaveWrapper,), {'__module__': __name__})",
            "ModulesToSaveWrapper",
            "framework.Mine of FILE",
        ),
        ("del o.ModulesToSaveWrapper", "ModulesToSaveWrapper", "builtins.NoneType"),
    ],
)
def test_what_a_framework_replaces_when_it_is_imported(
    python: Path, released: list[Release], site: Path, patch: str, name: str, what: str
) -> None:
    """Functions and whatever else can stand in a method's place; only where the framework is imported, too."""
    (site / "framework.py").write_text(
        "import functools\nimport peft.utils.other as o\n"
        "class Put:\n    def __get__(self, *args): ...\n"
        f"def function(self, *args): ...\n{patch}\n"
    )
    assert NOTHING in said(installed.examine(str(python), released))
    answer = said(installed.examine(str(python), released, ["framework"]))
    assert f"problem: {name} is replaced at run time by {what.replace('FILE', str(site / 'framework.py'))};" in answer
    (site / "framework.py").write_text("import peft\n")
    assert "when peft and framework are imported" in said(installed.examine(str(python), released, ["framework"]))
    (site / "framework.py").write_text("1 / 0\n")
    answer = said(installed.examine(str(python), released, ["framework"]))
    assert "problem: cannot import peft and framework there" in answer
    assert "ZeroDivisionError" in answer


def test_nothing_waits_for_the_import(python: Path, released: list[Release], site: Path) -> None:
    """What is known of files comes first: an import of peft takes seconds."""
    (site / "peft" / "__init__.py").write_text("import time\ntime.sleep(60)\n")
    found = installed.examine(str(python), released)
    assert next(found).text == "peft 0.18.1+kwargs.1 is patched"
    assert "differs from its RECORD" in next(found).text


def test_the_verb(tool: Run, checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("peft==0.18.1\n")
    result = tool(checkout, "doctor", str(tmp_path / "requirements.txt"), "--json")
    assert result.returncode == 1
    assert [finding["level"] for finding in json.loads(result.stdout)] == ["problem"]
    nothing = tool(checkout, "doctor", "--python", sys.executable)
    assert nothing.returncode == 0
    assert "has no peft" in nothing.stdout
