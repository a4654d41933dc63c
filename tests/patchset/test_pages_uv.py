"""What README.md and docs/ say of uv, in a project that has the README's block."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import tomlkit

from tests.patchset.pages import Reader, commands, fences, make_origin, needs

Project = Reader


@pytest.fixture
def project(checkout: Path, tmp_path: Path, wheel: Path) -> Project:
    """The README's block in a project of its own, without peft's dependencies; a cache of its own too."""
    folder = tmp_path / "project"
    folder.mkdir()
    origin = make_origin(checkout)
    (block,) = [content for language, content in fences("README") if language == "toml"]
    settings = tomlkit.parse(block.replace("ADDRESS", origin.as_uri()))
    settings["project"].update({"name": "mine", "version": "0", "requires-python": ">=3.10"})
    none = [f"{name}; python_version < '3'" for name in needs(wheel)]
    settings["tool"]["uv"].update({"override-dependencies": none})
    (folder / "pyproject.toml").write_text(tomlkit.dumps(settings))
    own = {"UV_CACHE_DIR": str(tmp_path / "cache"), "UV_PYTHON": sys.executable, "UV_PYTHON_DOWNLOADS": "never"}
    return Reader(origin, folder, folder / ".venv", {**own, "VIRTUAL_ENV": None})


def change(project: Project, old: str, new: str) -> None:
    file = project.folder / "pyproject.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def without_block(project: Project) -> None:
    file = project.folder / "pyproject.toml"
    text = file.read_text()
    file.write_text(re.sub(r"^config-settings-package = .*\n", "", text, flags=re.MULTILINE))
    assert file.read_text() != text


def state(project: Project) -> tuple[str, str | None]:
    """The locked and the installed release."""
    (locked,) = re.findall(
        r'^name = "peft"\nversion = "(.*?)\+', (project.folder / "uv.lock").read_text(), re.MULTILINE
    )
    return locked, (project.installed() or "").partition("+")[0]


def on_page(*lines: str) -> tuple[str, ...]:
    assert set(lines) <= set(commands("installing"))
    return lines


def test_project(project: Project) -> None:
    (sync,) = on_page("uv sync --upgrade-package peft")
    project.types(sync)
    assert state(project) == ("0.18.1", "0.18.1")
    change(project, '"0.18.1"', '"0.17.1"')
    project.types("uv lock")
    assert state(project) == ("0.18.1", "0.18.1"), "uv has mended it; say so on the page"
    project.types(sync)
    assert state(project) == ("0.17.1", "0.17.1")


def test_command_line(project: Project) -> None:
    without_block(project)
    release = "0.18.1"
    for line in on_page(
        f"uv lock --config-settings-package peft:upstream={release}",
        f"uv sync --config-settings-package peft:upstream={release}",
    ):
        project.types(line)
    assert state(project) == (release, release)


def test_variable(project: Project) -> None:
    """Ignored after the first build; what the page says to do then."""
    block = (project.folder / "pyproject.toml").read_text()
    without_block(project)
    project.types("uv sync", PEFT_UPSTREAM="0.18.1")
    assert state(project) == ("0.18.1", "0.18.1")
    project.types("uv sync --refresh-package peft --reinstall-package peft", PEFT_UPSTREAM="0.17.1")
    assert state(project)[1] == "0.18.1", "uv has mended it; say so on the page"
    for line in on_page(
        "uv cache clean peft", "PEFT_UPSTREAM=0.17.1 uv sync --upgrade-package peft --reinstall-package peft"
    ):
        project.types(line)
    assert state(project) == ("0.17.1", "0.17.1")
    (project.folder / "pyproject.toml").write_text(block.replace('"0.18.1"', '"0.19.1"'))
    (sync,) = on_page("uv sync --upgrade-package peft")
    project.types(sync, PEFT_UPSTREAM="0.17.1")
    assert state(project) == ("0.19.1", "0.19.1")
