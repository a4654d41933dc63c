"""Every command of README.md and docs/ is run as a reader would, or is listed in commands.toml with the reason."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from patchset.pins import ROOT, Release, load
from tests.patchset.pages import (
    LISTED,
    PAGES,
    MakeReader,
    Reader,
    commands,
    fences,
    make_environment,
    make_origin,
    needs,
)

UNLISTED = {
    name: [line for line in commands(name) if not any(line in table for table in LISTED.values())] for name in PAGES
}
AUDIT_FOUND = "python -m patchset audit modeling_mine.py"


@pytest.fixture
def reader(checkout: Path, tmp_path: Path, wheel: Path) -> MakeReader:
    """Make a reader with a clone and an environment of their own."""
    origin = make_origin(checkout)

    def make(*requirements: str, **variables: str | None) -> Reader:
        folder = tmp_path / "reader"
        folder.mkdir()
        subprocess.run(["git", "clone", "--quiet", origin, folder / "clone"], check=True)
        venv = make_environment(folder / "venv", needs(wheel), *requirements)
        return Reader(origin, folder / "clone", venv, variables)

    return make


def test_languages() -> None:
    """So that no command hides in a block without one."""
    for name in PAGES:
        assert {language for language, _ in fences(name)} <= {"sh", "text", "toml", "python"}, name


def test_the_list_is_of_commands_that_are_there() -> None:
    everywhere = {line for name in PAGES for line in commands(name)}
    assert {line for table in LISTED.values() for line in table} <= everywhere
    for where in LISTED["elsewhere"].values():
        file, _, test = where.partition("::")
        assert f"def {test}(" in (ROOT / file).read_text("utf-8"), where


@pytest.mark.parametrize("name", [name for name in PAGES if UNLISTED[name]])
def test_page(reader: MakeReader, release: Release, wheel: Path, name: str) -> None:
    """All commands of a page that are not listed, in order; the tool is there, as the pages say."""
    who = reader("--group", "tool", "build==1.6.1")
    # what the pages take to be there
    (code,) = [content for language, content in fences("auditing") if language == "python"]
    (who.folder / "modeling_mine.py").write_text(code)
    (who.folder / "requirements.txt").write_text(f"peft==0.18.1+kwargs.1 --hash=sha256:{release.wheel}\n")
    make_environment(who.folder / ".venv", needs(wheel), "--no-deps", str(wheel))
    for command in UNLISTED[name]:
        printed = who.types(command, status=1 if command == AUDIT_FOUND else 0)
        if "pip install" in command and "--group" not in command:
            wanted = re.search(r"upstream=([\d.]+)", command)
            installed = f"{wanted[1] if wanted else load()[-1].version}"
            installed += "" if "version=upstream" in command else "+kwargs.1"
            assert who.installed() == installed, command + printed


# No pip that is older than 23.1 runs on Python 3.12.
@pytest.mark.parametrize("version", ["22.0.4", "23.0.1"] if sys.version_info < (3, 12) else ["23.2.1"])
def test_older_pips(reader: MakeReader, version: str) -> None:
    """Each of the README's three ways works from the version on that it says, and is refused before."""
    who = reader(f"pip=={version}")
    since = {" -C ": "23.1", "--config-settings ": "22.1", "PEFT_UPSTREAM=": "0"}
    ways = [line for line in commands("README") if "git+ADDRESS" in line]
    assert len(ways) == len(since)
    for way in ways:
        (first,) = [first for mark, first in since.items() if mark in way]
        if Version(version) >= Version(first):
            who.types(way)
            assert who.installed() == "0.18.1+kwargs.1"
            who.types("pip uninstall --yes --quiet peft")
        else:
            assert "no such option" in who.types(way, status=2)
            assert who.installed() is None


def test_pip_keeps_the_wheel_of_a_commit(reader: MakeReader, tmp_path: Path) -> None:
    """The README's line for a requirements file; then another release of the same commit."""
    who = reader("pip==26.3", PIP_CACHE_DIR=str(tmp_path / "pip"))
    (line,) = [content for language, content in fences("README") if "@COMMIT" in content]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=who.origin, capture_output=True, text=True, check=True)
    line = line.replace("ADDRESS", who.address).replace("COMMIT", commit.stdout.strip())
    (who.folder / "requirements.txt").write_text(line)
    who.types("pip install -r requirements.txt")
    assert who.installed() == "0.18.1+kwargs.1"
    (command,) = [line for line in commands("installing") if "@COMMIT" in line]
    who.types(command.replace("--no-cache-dir", "--force-reinstall --no-deps"))
    assert who.installed() == "0.18.1+kwargs.1", "pip has mended it; say so on the page"
    who.types(command)
    assert who.installed() == "0.17.1+kwargs.1"


def no_network() -> tuple[str, ...]:
    """What runs a command in a network namespace of its own, where that is allowed."""
    for command in (("unshare", "--net"), ("unshare", "--map-root-user", "--net")):
        if (
            shutil.which("unshare")
            and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
        ):
            return command
    return ()


def test_offline(reader: MakeReader, wheel: Path, tmp_path: Path) -> None:
    """The page's commands in order, those without an index on a machine without a network and without our caches."""
    online = reader("pip==26.3")
    lines = commands("offline")
    there = [line for line in lines if "--no-index" in line or "UV_OFFLINE" in line]
    for line in lines:
        if line not in there:
            online.types(line)
    built = online.folder / "dist" / wheel.name
    assert built.read_bytes() == wheel.read_bytes()

    # where a namespace is not allowed, a proxy that is dead has to do
    dead = "http://127.0.0.1:9"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    closed: dict[str, str | None] = dict.fromkeys(names, dead)
    closed |= {"NO_PROXY": None, "no_proxy": None, "PIP_INDEX_URL": dead, "PIP_CONFIG_FILE": "/dev/null"}
    closed |= {"PIP_FIND_LINKS": None, "PIP_EXTRA_INDEX_URL": None, "PIP_RETRIES": "0"}
    closed |= {
        "PATCHSET_CACHE": str(tmp_path / "none"),
        "PIP_CACHE_DIR": str(tmp_path / "no-pip-cache"),
        "UV_CACHE_DIR": str(tmp_path / "no-uv-cache"),
    }
    shutil.copytree(online.folder, tmp_path / "copy")
    venv = make_environment(tmp_path / "offline", needs(wheel), "pip==26.3")
    offline = Reader(online.origin, tmp_path / "copy", venv, closed, no_network())
    offline.types("pip download --no-deps -d none tomli", status=1)
    # vendor/ and the sdist alone are not enough
    offline.types("pip install . -C upstream=0.18.1", status=1)
    for line in there:
        offline.types("pip uninstall --yes --quiet peft")
        if "patchset build" in line:
            shutil.rmtree(offline.folder / "dist")
        offline.types(line)
        if "patchset build" in line:
            assert (offline.folder / "dist" / wheel.name).read_bytes() == wheel.read_bytes()
        elif "--group" not in line:
            assert offline.installed() == "0.18.1+kwargs.1"
