"""The shell commands of README.md and docs/, and a clone in which to run them as a reader would."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement

from patchset.pins import ROOT, read_toml
from tests.patchset.tool import environment

PAGES = {"README": ROOT / "README.md", **{path.stem: path for path in sorted((ROOT / "docs").glob("*.md"))}}
LISTED = read_toml(Path(__file__).with_name("commands.toml"))


def fences(name: str) -> list[tuple[str, str]]:
    """Language and content of each fenced block of a page, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", PAGES[name].read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands(name: str) -> list[str]:
    """The lines of a page's shell blocks, without their comments."""
    lines = [line for language, content in fences(name) if language == "sh" for line in content.splitlines()]
    return [re.sub(r"\s\s+#.*", "", line) for line in lines]


def needs(wheel: Path) -> list[str]:
    """What peft needs when it is imported, torch among it; no test here imports it."""
    with ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        fields = email.message_from_bytes(archive.read(name)).get_all("Requires-Dist", [])
    return [need.name for need in map(Requirement, fields) if not need.marker or need.marker.evaluate({"extra": ""})]


def make_environment(folder: Path, needed: list[str], *requirements: str) -> Path:
    """A new environment.

    What peft needs is only said to be installed there: with torch it would be gigabytes.

    Args:
        folder: where to make it.
        needed: the names of what is said to be installed, unless it is.
        requirements: what is installed, as arguments of ``uv pip install``.
    """
    run_done(["uv", "venv", "--quiet", "--python", sys.executable, str(folder)], folder.parent)
    run_done(["uv", "pip", "install", "--quiet", "--python", str(folder), *requirements], ROOT)
    (site,) = folder.glob("lib/python*/site-packages")
    there = {path.name.partition("-")[0].lower() for path in site.glob("*.dist-info")}
    for name in {name.replace("-", "_").lower() for name in needed} - there:
        (site / f"{name}-99.0.dist-info").mkdir()
        (site / f"{name}-99.0.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 99.0\n"
        )
        (site / f"{name}-99.0.dist-info" / "RECORD").touch()
    return folder


def make_origin(checkout: Path) -> Path:
    """The copy of a checkout as a git repository with one commit."""
    shutil.copytree(ROOT / "docs", checkout / "docs")
    shutil.copy(ROOT / ".gitignore", checkout)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "as it is"]):
        run_done([*git, *arguments], checkout)
    return checkout


@dataclass
class Reader:
    """Somebody who has a clone and an environment, and types what a page says.

    Attributes:
        origin: the repository that ADDRESS stands for.
        folder: where the commands are run.
        venv: the environment that is active.
        variables: of the process, see `environment`.
        before: what runs the shell, for example in a network namespace of its own.
    """

    origin: Path
    folder: Path
    venv: Path
    variables: dict[str, str | None]
    before: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        # pips of old want a host in it
        return f"file://localhost{self.origin}"

    def types(self, command: str, status: int | None = 0, **variables: str | None) -> str:
        """Run a command in the shell; returns what it printed.

        Args:
            command: the line as it stands on the page.
            status: the exit status that it must have; None for any but 0.
            variables: to add to the environment.
        """
        if "COMMIT" in command:
            command = command.replace("COMMIT", run_done(["git", "rev-parse", "HEAD"], self.origin).strip())
        line = command.replace("ADDRESS", self.address).replace("SERVER", "http://localhost:8000")
        path = f"{self.venv / 'bin'}:{Path(sys.executable).parent}:{environment()['PATH']}"
        result = subprocess.run(
            [*self.before, "bash", "-c", line],
            cwd=self.folder,
            env=environment(**{"PATH": path, "VIRTUAL_ENV": str(self.venv), **self.variables, **variables}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=600,
        )
        assert (result.returncode == status) if status is not None else result.returncode, f"{line}\n{result.stdout}"
        return result.stdout

    def installed(self, venv: Path | None = None) -> str | None:
        """The version of the peft that is installed, by its metadata."""
        found = [path.name for path in (venv or self.venv).glob("lib/python*/site-packages/peft-*.dist-info")]
        assert len(found) < 2, found
        return found[0].removeprefix("peft-").removesuffix(".dist-info") if found else None


MakeReader = Callable[..., Reader]


def run_done(command: list[str], folder: Path) -> str:
    """The output of a command that must succeed."""
    path = f"{Path(sys.executable).parent}:{environment()['PATH']}"
    result = subprocess.run(
        command, cwd=folder, env=environment(PATH=path), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout
