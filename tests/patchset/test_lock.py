"""``lock``: what it prints fits at the end of a project's file; tests/consumers/lockers give it to the lockers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from patchset.dist import index as _static_index
from patchset.dist.artifacts import read, scan
from patchset.dist.build import build_wheels
from patchset.pins import Release, read_toml
from tests.patchset.pages import fences
from tests.patchset.tool import Run

SERVED = ("--index", "https://example.org/simple")


@pytest.fixture
def dist(wheel: Path, release: Release, tmp_path: Path) -> Path:
    """A folder with a local and a tagged wheel, and their indexes."""
    folder = tmp_path / "dist"
    build_wheels([release], folder, tagged=True)
    (folder / wheel.name).write_bytes(wheel.read_bytes())
    _static_index.write(folder, scan(folder)[0])
    return folder


@pytest.mark.parametrize("tagged", [False, True])
def test_every_locker(tool: Run, checkout: Path, dist: Path, release: Release, tagged: bool) -> None:
    wheel = release.wheels[tagged]
    where = ("--dist", str(dist), *SERVED, *(["--tagged"] if tagged else []))
    for locker in ("pip", "uv", "poetry", "pdm", "pylock"):
        found = tool(checkout, "lock", "0.18.1", "--for", locker, *where, "--json")
        pin = json.loads(found.stdout)
        assert pin["version"] == wheel.version
        assert pin["url"] == f"https://example.org/{wheel.file.replace('+', '%2B')}"
        assert pin["sha256"] == read(dist / wheel.file).sha256
        assert pin["sha256"] in pin["text"]


@pytest.mark.parametrize("locker", ["uv", "poetry", "pdm"])
def test_there_is_no_second_table(tool: Run, checkout: Path, dist: Path, tmp_path: Path, locker: str) -> None:
    """What a project has already stays, and the file is TOML still."""
    before = """[project]
name = "app"
version = "1"
dependencies = ["llamafactory==0.9.5"]
[tool.uv]
package = false
[tool.uv.sources]
other = { path = "other" }
[[tool.uv.index]]
name = "other"
url = "https://example.org"
[tool.poetry]
package-mode = false
[tool.poetry.dependencies]
python = ">=3.11"
[[tool.poetry.source]]
name = "other"
url = "https://example.org"
[tool.pdm]
distribution = false
[[tool.pdm.source]]
name = "other"
url = "https://example.org"
"""
    pasted = tool(checkout, "lock", "0.18.1", "--for", locker, "--dist", str(dist), *SERVED).stdout
    (tmp_path / "pyproject.toml").write_text(before + pasted)
    content = read_toml(tmp_path / "pyproject.toml")
    assert content["project"]["dependencies"] == ["llamafactory==0.9.5"]
    sources = content["tool"][locker]["index" if locker == "uv" else "source"]
    assert [source["name"] for source in sources] == ["other", "peft-kwargs"]
    assert '"peft==0.18.1+kwargs.1"' in pasted


def test_the_folders_own_address(tool: Run, checkout: Path, dist: Path) -> None:
    for tagged, name in ((False, "simple"), (True, "tagged")):
        options = ("--dist", str(dist), "--json", *(["--tagged"] if tagged else []))
        own = json.loads(tool(checkout, "lock", "0.18.1", "--for", "uv", *options).stdout)
        assert own["index"] == f"{(dist / name).as_uri()}/"
    poetry = tool(checkout, "lock", "0.18.1", "--for", "poetry", "--dist", str(dist))
    assert poetry.returncode == 1
    assert poetry.stderr == "error: Poetry reads no index from a folder; serve it, and say with --index where\n"


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("dist/simple", "is no address"),
        ("/srv/simple", "is no address"),
        ("example.org/simple", "is no address"),
        ("https:///simple", "is no address"),
        ("ftp://example.org/simple", "is no address"),
        ("https://me:secret@example.org/simple", "has a user name or a password in it"),
        ("https://token@example.org/simple", "has a user name or a password in it"),
    ],
)
def test_addresses_that_are_refused(tool: Run, checkout: Path, dist: Path, address: str, why: str) -> None:
    for locker in ("pip", "uv", "poetry", "pdm", "pylock"):
        result = tool(checkout, "lock", "0.18.1", "--for", locker, "--dist", str(dist), "--index", address)
        assert result.returncode == 1
        assert result.stdout == ""
        assert why in result.stderr
        assert "secret" not in result.stderr
        assert "token" not in result.stderr


def test_the_page_shows_what_is_printed(tool: Run, checkout: Path, dist: Path) -> None:
    """The blocks of docs/pinning.md, but for the comments, the server's address and the hash."""
    shown = [content for language, content in fences("pinning") if language in ("text", "toml")]
    for locker, block in zip(("pip", "uv", "poetry", "pdm", "pylock"), shown, strict=True):
        printed = tool(checkout, "lock", "0.18.1", "--for", locker, "--dist", str(dist), *SERVED).stdout
        lines = "".join(line for line in printed.splitlines(keepends=True) if not line.startswith("# "))
        lines = lines.replace("https://example.org", "SERVER")
        assert re.sub("[0-9a-f]{64}", "...", lines) == block
