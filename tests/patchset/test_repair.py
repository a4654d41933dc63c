"""``repair``, in real environments with upstream's own wheel, by pip and by uv; and where it has to refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from patchset.doctor import repair
from patchset.doctor.environment import Environment
from patchset.errors import PatchsetError
from patchset.pins import ROOT, load
from tests.patchset.tool import Run, environment


def done(*command: str | Path, **variables: str | None) -> str:
    """The output of a command that must succeed."""
    result = subprocess.run(
        [*map(str, command)], env=environment(**variables), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(params=["pip", "uv"])
def python(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An environment with stock peft and one other package; with pip in it or without."""
    venv = tmp_path / "venv"
    done("uv", "venv", "--quiet", "--python", sys.executable, *(["--seed"] if request.param == "pip" else []), venv)
    python = venv / "bin" / "python"
    # as a file that a tool has edited must not be shared with uv's cache
    done(
        "uv",
        "pip",
        "install",
        "-q",
        "--link-mode",
        "copy",
        "--python",
        python,
        "--no-deps",
        "peft==0.18.1",
        "packaging",
    )
    return python


def installed(python: Path) -> set[str]:
    """Names and versions of all packages."""
    return set(done("uv", "pip", "freeze", "--python", python).split())


def package(python: Path) -> Path:
    (found,) = python.parent.parent.glob("lib/python*/site-packages/peft")
    return found


def test_stock_becomes_patched_and_back(tool: Run, wheel: Path, python: Path) -> None:
    before = installed(python)
    (package(python) / "helpers.py").write_text("# edited by hand\n")
    dist = ("--dist", str(wheel.parent))
    # whatever the user's settings say about peft, and about where to look for it
    settings: dict[str, str | None] = {
        "PIP_CONSTRAINT": str(wheel),
        "PIP_INDEX_URL": "http://localhost:9",
        "UV_OVERRIDE": "no",
    }

    dry = tool(ROOT, "repair", "--python", str(python), *dist, "--dry-run", **settings)
    assert dry.returncode == 0, dry.stderr
    assert "would be replaced: peft 0.18.1, stock" in dry.stdout
    assert installed(python) == before

    # as the help has it: relative to where the command is given, and nowhere near scratch folders
    settings["TMPDIR"] = str(python.parent)
    result = tool(ROOT, "repair", "--python", os.path.relpath(python, ROOT), *dist, **settings)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[:3] == [
        "before: peft 0.18.1, stock",
        "note: that differs from its RECORD: peft/helpers.py (changed), and these changes are not kept",
        "now: peft 0.18.1+kwargs.1",
    ]
    assert installed(python) ^ before == {"peft==0.18.1", "peft==0.18.1+kwargs.1"}
    checked = tool(ROOT, "doctor", "--python", str(python)).stdout
    assert "ok: peft 0.18.1+kwargs.1 is patched" in checked
    assert "ok: they are the released wheel's" in checked

    again = tool(ROOT, "repair", "--python", str(python), *dist)
    assert again.stdout == "nothing to do: peft 0.18.1+kwargs.1 is there, as it was released\n"

    (back,) = (line for line in result.stdout.splitlines() if line.startswith("back: "))
    done("sh", "-c", f"cd {ROOT}; {back.removeprefix('back: ')}")
    assert installed(python) == before
    assert "problem: peft 0.18.1 is stock" in tool(ROOT, "doctor", "--python", str(python)).stdout


def test_a_program_that_compares_versions_gets_upstreams(tool: Run, python: Path) -> None:
    """It is built, as it lies nowhere; for LLaMA-Factory 0.9.4 and others."""
    site = package(python).parent
    (site / "old_factory.py").write_text('require_version("peft<=0.18.1")\n')
    info = site / "old_factory-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: old-factory\nVersion: 1\nRequires-Dist: peft<=0.18.1\n"
    )
    (info / "RECORD").write_text("old_factory.py,,\n")
    result = tool(ROOT, "repair", "--python", str(python), "--dist", "nowhere", "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["before"], told["after"], told["done"]) == ("0.18.1, stock", "0.18.1-1kwargs1", True)
    checked = tool(ROOT, "doctor", "--python", str(python)).stdout
    assert "ok: peft 0.18.1 is patched: it is 0.18.1-1kwargs1" in checked
    assert "ok: old-factory 1 takes it" in checked


def refused(python: Path, match: str) -> None:
    with pytest.raises(PatchsetError, match=match):
        repair.plan(str(python), load())


@pytest.mark.parametrize("python", ["uv"], indirect=True)
def test_what_is_not_ours_to_change(tool: Run, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up records of conda and others in a real environment; the operating system's Python cannot be tried everywhere."""
    info = next(package(python).parent.glob("peft-*.dist-info"))
    record, installer = info / "RECORD", info / "INSTALLER"

    installer.write_text("conda\n")
    refused(python, "conda manages the peft")
    installer.write_text("pip\n")
    (python.parent.parent / "conda-meta").mkdir()
    conda = python.parent.parent / "conda-meta" / "peft-0.18.1-pyhd8ed1ab_0.json"
    conda.write_text("{}")
    refused(python, "conda manages the peft")
    conda.unlink()

    (info / "direct_url.json").write_text('{"url": "file:///src/peft", "dir_info": {"editable": true}}')
    refused(python, "is an editable install of /src/peft")
    (info / "direct_url.json").unlink()

    content = record.read_text()
    record.unlink()
    refused(python, "there is no RECORD")
    assert "there is no RECORD of its files" in tool(ROOT, "doctor", "--python", str(python)).stdout
    record.write_text(content)

    real = Environment.of(str(python))
    with monkeypatch.context() as patched:
        patched.setattr(Environment, "of", lambda python: replace(real, managed=True))
        refused(python, "belongs to the operating system.*make a virtual environment")
        patched.setattr(Environment, "of", lambda python: replace(real, site=tmp_path))
        refused(python, "lies outside of its environment")

    other = tmp_path / "other"
    (other / "peft-0.17.1.dist-info").mkdir(parents=True)
    (other / "peft-0.17.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: peft\nVersion: 0.17.1\n")
    (info.parent / "other.pth").write_text(f"{other}\n")
    refused(python, "has peft 2 times; uninstall all but one")
    twice = tool(ROOT, "doctor", "--python", str(python)).stdout
    assert f"peft is installed 2 times, and the first counts: 0.18.1 in {info.parent}, 0.17.1 in {other}" in twice
    (info.parent / "other.pth").unlink()

    (info / "METADATA").write_text((info / "METADATA").read_text().replace("Version: 0.18.1", "Version: 0.14.0"))
    refused(python, "0.14.0, which is not among the pinned releases")
    done("uv", "pip", "uninstall", "-q", "--python", python, "peft")
    refused(python, "has no peft")
