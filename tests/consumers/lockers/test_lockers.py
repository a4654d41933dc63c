"""Each locker, given what `lock` prints: takes the patched wheel, keeps it, and refuses a changed one.

Both wheels of a release are tried. The tagged one has the version of the stock file that the other index offers.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from wheel.wheelfile import WheelFile

from patchset.pins import ROOT, Wheel
from tests.consumers.lockers.world import CONSUMER, RELEASE, STOCK, World


@dataclass
class Project:
    """A consumer's project, and the commands of its locker. It wants one of our wheels."""

    folder: Path
    world: World
    wheel: Wheel

    @property
    def served(self) -> Path:
        """The wheel's file on the server."""
        return self.world.dist / self.wheel.file

    def run(self, *command: str | Path, ok: bool = True, **variables: str) -> str:
        """Run a locker's program; returns its output."""
        program = self.world.tools / str(command[0])
        result = subprocess.run(
            [str(program if program.exists() else command[0]), *map(str, command[1:])],
            cwd=self.folder,
            env={**self.world.environment(self.folder), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert (result.returncode == 0) == ok, result.stdout
        return result.stdout

    def paste(self, locker: str) -> str:
        """What ``python -m patchset lock`` prints."""
        where = ("--dist", self.world.dist, "--index", self.world.index(self.wheel))
        command = (sys.executable, "-m", "patchset", "lock", STOCK, "--for", locker)
        return self.run(*command, *where, *(["--tagged"] if self.wheel.tagged else []), PYTHONPATH=str(ROOT))

    def doctor(self, *arguments: str | Path) -> str:
        """What ``python -m patchset doctor`` says of a lock file or an environment."""
        return self.run(sys.executable, "-m", "patchset", "doctor", *arguments, PYTHONPATH=str(ROOT))

    def append(self, name: str, locker: str) -> str:
        """Paste the lines at the end of a file of the project; returns them."""
        pasted = self.paste(locker)
        file = self.folder / name
        file.write_text(f"{file.read_text()}\n{pasted}")
        return pasted

    def follow(self, pasted: str, mark: str = "then: ", **variables: str) -> None:
        """Run the command that the pasted lines name."""
        (command,) = (line.partition(mark)[2] for line in pasted.splitlines() if line.startswith(f"# {mark}"))
        self.run(*shlex.split(command), ok=True, **variables)

    def clean(self, name: str) -> Path:
        """A new environment."""
        self.run("uv", "venv", "--quiet", name)
        return self.folder / name


Step = Callable[..., Any]


@dataclass(frozen=True)
class Locker:
    """What a user of it does.

    Attributes:
        file: the lock file.
        lock: writes the files and locks.
        again: locks again, everything as new as allowed.
        install: installs what is locked into an environment.
    """

    file: str
    lock: Step
    again: Step
    install: Step


# A project that is there already, with tables of its own; it depends on what allows two releases of peft.
EXISTING = f"""
[project]
name = "app"
version = "1"
requires-python = ">=3.11,<3.14"
dependencies = ["{CONSUMER}"]

[tool.uv]
package = false

[tool.uv.sources]
private = {{ index = "private" }}

[[tool.uv.index]]
name = "private"
url = "https://example.org/simple"
explicit = true

[tool.poetry]
package-mode = false

[[tool.poetry.source]]
name = "public"
url = "PUBLIC"
priority = "primary"

[tool.pdm]
distribution = false
"""


def existing(project: Project) -> None:
    """Write the files of that project."""
    (project.folder / "pyproject.toml").write_text(EXISTING.replace("PUBLIC", project.world.public))
    (project.folder / "requirements.in").write_text(f"{CONSUMER}\n")


def pip_lock(project: Project) -> None:
    # pip has no locker: the user's file has a hash for each package
    lines = [f"{name}==99.0 --hash=sha256:{digest}" for name, digest in project.world.hashes.items()]
    (project.folder / "requirements.txt").write_text("\n".join(lines))
    project.append("requirements.txt", "pip")


def pip_install(project: Project, venv: Path, ok: bool = True) -> str:
    return project.run("pip", "--python", venv, "install", "--require-hashes", "-r", "requirements.txt", ok=ok)


def plain_lock(project: Project) -> None:
    # a file without hashes, to which the lines are added
    (project.folder / "requirements.txt").write_text(f"{CONSUMER}\n")
    project.append("requirements.txt", "pip")


def plain_install(project: Project, venv: Path, ok: bool = True) -> str:
    return project.run("pip", "--python", venv, "install", "-r", "requirements.txt", ok=ok)


def pip_tools_lock(project: Project) -> None:
    existing(project)
    project.append("requirements.in", "pip")
    pip_tools_again(project)


def pip_tools_again(project: Project, *arguments: str) -> None:
    compiled = ("pip-compile", "--quiet", "--generate-hashes", "--strip-extras", "--allow-unsafe")
    project.run(*compiled, *arguments, "requirements.in")


def uv_pip_lock(project: Project, output: str = "requirements.txt") -> None:
    existing(project)
    project.append("requirements.in", "pip")
    uv_pip_again(project, output=output)


def uv_pip_again(project: Project, *arguments: str, output: str = "requirements.txt") -> None:
    hashes = ["--generate-hashes"] if output.endswith(".txt") else []
    project.run("uv", "pip", "compile", "--quiet", *hashes, *arguments, "requirements.in", "-o", output)


def uv_pip_install(project: Project, venv: Path, ok: bool = True) -> str:
    return project.run("uv", "pip", "sync", "--require-hashes", "--python", venv, "requirements.txt", ok=ok)


def uv_lock(project: Project) -> None:
    existing(project)
    project.run("uv", "lock")  # stock, by then
    project.follow(project.append("pyproject.toml", "uv"))


def uv_one_line(project: Project) -> None:
    existing(project)
    project.run("uv", "lock")
    project.follow(project.paste("uv"), "or instead of both: ")


def uv_install(project: Project, venv: Path, ok: bool = True) -> str:
    return project.run("uv", "sync", "--frozen", ok=ok, UV_PROJECT_ENVIRONMENT=str(venv))


def poetry_lock(project: Project) -> None:
    existing(project)
    project.run("poetry", "lock", "--no-interaction")
    project.follow(project.append("pyproject.toml", "poetry"))


def poetry_one_line(project: Project) -> None:
    existing(project)
    pasted = project.paste("poetry")
    project.follow(pasted, "the table by a command: ")
    project.follow(pasted)


def poetry_install(project: Project, venv: Path, ok: bool = True) -> str:
    return project.run("poetry", "install", "--no-root", "--no-interaction", ok=ok, VIRTUAL_ENV=str(venv))


def pdm_lock(project: Project) -> None:
    existing(project)
    venv = str(project.clean("for-pdm"))
    project.run("pdm", "lock", VIRTUAL_ENV=venv)
    project.follow(project.append("pyproject.toml", "pdm"), VIRTUAL_ENV=venv)


def pdm_install(project: Project, venv: Path, ok: bool = True) -> str:
    return project.run("pdm", "sync", "--no-self", ok=ok, VIRTUAL_ENV=str(venv))


def pylock_lock(project: Project) -> None:
    """A lock file of the project, by uv, in which the lines replace stock's."""
    existing(project)
    uv_pip_again(project, output="pylock.toml")
    head, *packages = re.split(
        r"^(?=\[\[packages\]\])", (project.folder / "pylock.toml").read_text(), flags=re.MULTILINE
    )
    assert sum('name = "peft"' in package for package in packages) == 1
    others = [package for package in packages if 'name = "peft"' not in package]
    (project.folder / "pylock.toml").write_text("\n".join([head, *others, project.paste("pylock")]))


def pylock_install(project: Project, venv: Path, ok: bool = True) -> str:
    return project.run("uv", "pip", "sync", "--python", venv, "pylock.toml", ok=ok)


def pylock_pip_install(project: Project, venv: Path, ok: bool = True) -> str:
    return project.run("pip", "--python", venv, "install", "-r", "pylock.toml", ok=ok)


LOCKERS = {
    "pip": Locker("requirements.txt", pip_lock, pip_lock, pip_install),
    "pip, without hashes": Locker("requirements.txt", plain_lock, plain_lock, plain_install),
    "pip-tools": Locker(
        "requirements.txt", pip_tools_lock, lambda project: pip_tools_again(project, "--upgrade"), pip_install
    ),
    "uv": Locker("uv.lock", uv_lock, lambda project: project.run("uv", "lock", "--upgrade"), uv_install),
    "uv, one line": Locker("uv.lock", uv_one_line, lambda project: project.run("uv", "lock", "--upgrade"), uv_install),
    "uv pip": Locker(
        "requirements.txt", uv_pip_lock, lambda project: uv_pip_again(project, "--upgrade"), uv_pip_install
    ),
    "poetry": Locker(
        "poetry.lock", poetry_lock, lambda project: project.run("poetry", "update", "--lock"), poetry_install
    ),
    "poetry, by commands": Locker(
        "poetry.lock", poetry_one_line, lambda project: project.run("poetry", "update", "--lock"), poetry_install
    ),
    "pdm": Locker(
        "pdm.lock",
        pdm_lock,
        lambda project: project.run("pdm", "update", "--no-sync", VIRTUAL_ENV=str(project.folder / "for-pdm")),
        pdm_install,
    ),
    "pylock, pasted": Locker("pylock.toml", pylock_lock, pylock_lock, pylock_install),
    "pylock, pip": Locker("pylock.toml", pylock_lock, pylock_lock, pylock_pip_install),
    "pylock, uv's": Locker(
        "pylock.toml",
        lambda project: uv_pip_lock(project, output="pylock.toml"),
        lambda project: uv_pip_again(project, "--upgrade", output="pylock.toml"),
        pylock_install,
    ),
}


@pytest.fixture(params=LOCKERS, name="locker")
def _locker(request: pytest.FixtureRequest) -> Locker:
    return LOCKERS[request.param]


def installed(venv: Path) -> str:
    """The first line of the installed peft's change notice; the version alone may be stock's."""
    (notice,) = venv.glob("lib/python*/site-packages/peft-*.dist-info/licenses/NOTICE")
    return notice.read_text().splitlines()[0]


def expected(wheel: Wheel) -> str:
    """What `installed` says where the wheel is."""
    return f"peft {wheel.version}" + (f", build {wheel.tag}" if wheel.tagged else "")


def forge(path: Path) -> None:
    """Change one byte of a module, and all checksums inside the wheel with it."""
    with WheelFile(path) as old:
        content = {entry.filename: old.read(entry) for entry in old.infolist() if entry.filename != old.record_path}
    module = bytearray(content["peft/utils/other.py"])
    module[0] ^= 1
    content["peft/utils/other.py"] = bytes(module)
    with WheelFile(path, "w") as new:
        for name, data in content.items():
            new.writestr(name, data)


@pytest.fixture(params=RELEASE.wheels, ids=["local", "tagged"])
def project(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Project:
    """A project that wants one of the release's wheels."""
    (tmp_path / "project").mkdir()
    return Project(tmp_path / "project", world, request.param)


def test_locked_installed_kept_and_guarded(locker: Locker, project: Project) -> None:
    sha256 = hashlib.sha256(project.served.read_bytes()).hexdigest()

    def locks_it_alone() -> None:
        locked = unquote((project.folder / locker.file).read_text())
        assert project.wheel.version in locked
        assert sha256 in locked
        assert not [digest for digest in project.world.stock if digest in locked]
        checked = project.doctor(locker.file)
        assert f"ok: peft {project.wheel.version} is patched" in checked
        assert "ok: the hash is the released wheel's" in checked

    locker.lock(project)
    locks_it_alone()
    first = project.clean("first")
    locker.install(project, first)
    assert installed(first) == expected(project.wheel)
    checked = project.doctor("--python", first / "bin" / "python")
    assert f"ok: peft {project.wheel.version} is patched" in checked
    assert "ok: they are the released wheel's" in checked

    locker.again(project)
    locks_it_alone()

    forge(project.served)
    project.run("rm", "-rf", "cache")
    output = locker.install(project, project.clean("second"), ok=False)
    assert "hash" in output.lower(), output


def test_without_its_index_nothing_else_is_taken(locker: Locker, project: Project) -> None:
    """Stock of the same version lies on the other index; a build that cannot get the wheel has to stop."""
    locker.lock(project)
    project.served.unlink()
    for page in project.world.dist.glob("*/peft/index.*"):
        page.unlink()
    project.run("rm", "-rf", "cache")
    venv = project.clean("venv")
    locker.install(project, venv, ok=False)
    assert not list(venv.glob("lib/python*/site-packages/peft"))


def test_what_happens_without_the_pin(project: Project) -> None:
    """The consumer alone: stock from the public index. With ours beside it, the patched wheel, of either kind."""
    (project.folder / "requirements.in").write_text(f"{CONSUMER}\n")
    compiled = ("uv", "pip", "compile", "-q", "--no-annotate", "requirements.in")
    assert f"peft=={STOCK}\n" in project.run(*compiled)
    beside = ["--extra-index-url", project.world.index(project.wheel)]
    assert f"peft=={project.wheel.version}\n" in project.run(*compiled, *beside)
    for client in (["pip", "--python", "by-pip", "install"], ["uv", "pip", "install", "--python", "by-uv"]):
        venv = project.clean(f"by-{client[0]}")
        project.run(*client, *beside, "-r", "requirements.in")
        assert installed(venv) == expected(project.wheel)


def test_pip_check_is_clean(project: Project) -> None:
    pip_lock(project)
    venv = project.clean("venv")
    pip_install(project, venv)
    assert "No broken requirements found" in project.run("pip", "--python", venv, "check")
