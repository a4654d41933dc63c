"""axolotl 0.18.0 pins peft==0.19.1; the patched wheel satisfies that."""

from __future__ import annotations

import importlib.metadata
import subprocess

import pytest
from packaging.requirements import Requirement

from tests.consumers.frameworks.conftest import Program


@pytest.fixture(scope="module")
def pin() -> Requirement:
    """What axolotl asks for."""
    needs = map(Requirement, importlib.metadata.requires("axolotl") or [])
    return next(need for need in needs if need.name == "peft")


def test_its_pin_takes_the_patched_wheel(pin: Requirement) -> None:
    assert str(pin.specifier) == "==0.19.1"
    version = importlib.metadata.version("peft")
    assert version.startswith("0.19.1+kwargs.")
    assert pin.specifier.contains(version)


def test_nothing_is_broken() -> None:
    checked = subprocess.run(["uv", "pip", "check"], capture_output=True, text=True, check=False)
    assert "Checked " in checked.stderr
    about_peft = [line for line in checked.stderr.splitlines() if "peft" in line]
    assert not about_peft, checked.stderr


def test_its_command_line_starts(program: Program) -> None:
    result = program("axolotl", "--version")
    assert result.returncode == 0, result.stderr
    assert "0.18.0" in result.stdout
