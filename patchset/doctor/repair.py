"""``repair``: which wheel an environment needs, whether it may be put there, and how to do and to undo it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from patchset.doctor.environment import Environment, folder_of, origin_of
from patchset.doctor.frameworks import frameworks, wheel_of
from patchset.doctor.installed import files, folder_edited, recorded, release_of
from patchset.errors import PatchsetError
from patchset.pins import Release, Wheel
from patchset.sources.settings import redacted

# uv's settings that say where and how, not what, to install.
_KEPT = ("UV_CACHE_DIR", "UV_LINK_MODE", "UV_NO_CACHE")


@dataclass(frozen=True)
class Repair:
    """What would be done.

    Attributes:
        environment: where.
        wheel: what is put there.
        before: what is there, for people.
        changed: how that differs from what was installed; empty where it does not.
        back: the command that brings it back, as far as its origin is known.
        done: whether the wheel is there already.
    """

    environment: Environment
    wheel: Wheel
    before: str
    changed: str
    back: str
    done: bool


def plan(python: str, releases: Sequence[Release]) -> Repair:
    """What an environment needs.

    Args:
        python: its interpreter.
        releases: the pins.

    Raises:
        PatchsetError: the interpreter does not run, has no peft or one of no pinned release, or somebody else manages it.
    """
    environment = Environment.of(python)
    if not environment.pefts:
        raise PatchsetError(f"{python} has no peft; install a patched one there, `python -m patchset lock` says how")
    installed = environment.pefts[0]
    release = release_of(installed, releases)
    if release is None:
        known = f"{releases[0].version} to {releases[-1].version}"
        raise PatchsetError(f"{python} has peft {installed.version}, which is not among the pinned releases, {known}")
    _allowed(environment)
    wheel = wheel_of(release, frameworks(environment.path))
    _, ours = recorded(installed, releases, [])
    compared = files(installed, ours)
    return Repair(
        environment=environment,
        wheel=wheel,
        before=ours.name if ours else f"{installed.version}, {'stock' if '+' not in installed.version else 'foreign'}",
        changed=next((finding.text for finding in compared if finding.level == "problem"), ""),
        back=shlex.join([*_installer(environment), *_origin(environment)]),
        done=ours == wheel and all(finding.level != "problem" for finding in compared),
    )


def _allowed(environment: Environment) -> None:
    """Raise `PatchsetError` where something else than pip and uv decides what is there."""
    python, installed = environment.python, environment.pefts[0]
    manager = (installed.read_text("INSTALLER") or "").strip()
    folder = folder_of(installed)
    if environment.managed:
        raise PatchsetError(
            f"{python} belongs to the operating system, whose packages are not for pip to change (EXTERNALLY-MANAGED); "
            "make a virtual environment"
        )
    if manager == "conda" or environment.conda:
        raise PatchsetError(
            f"conda manages the peft of {python}, and would not know of another one; `conda remove --force peft` first, "
            "and then install the patched wheel with pip"
        )
    if len(environment.pefts) > 1:
        places = ", ".join(str(folder_of(one)) for one in environment.pefts)
        raise PatchsetError(f"{python} has peft {len(environment.pefts)} times; uninstall all but one: {places}")
    if edited := folder_edited(installed):
        raise PatchsetError(f"the peft of {python} is an editable install of {edited}; uninstall that first")
    if folder.resolve() != environment.site.resolve():
        raise PatchsetError(f"the peft of {python} lies outside of its environment, in {folder}; repair that one")
    if installed.read_text("RECORD") is None:
        raise PatchsetError(
            f"nobody knows which files are peft's in {folder}, as there is no RECORD; remove it by hand"
        )
    if not os.access(folder, os.W_OK):
        raise PatchsetError(f"{folder} may not be written to")


def _installer(environment: Environment, *, own: bool = False) -> list[str]:
    """pip of the environment, else uv.

    Args:
        environment: whose.
        own: in whatever folder, and without the user's settings, which may ask for other versions.
    """
    python = environment.python
    if own and Path(python).name != python:  # a name alone is looked for on the PATH
        python = str(Path(python).absolute())  # not resolved: a link is what makes it the environment's
    if environment.pip:
        alone = ["--isolated"] if own else []
        return [python, "-m", "pip", *alone, "install", "--no-deps", "--force-reinstall"]
    if uv := shutil.which("uv"):
        alone = ["--no-config"] if own else []
        reinstall = ["--no-deps", "--reinstall-package", "peft"]
        return [uv if own else "uv", "pip", "install", *alone, "--python", python, *reinstall]
    raise PatchsetError(f"{environment.python} has no pip, and there is no uv; install one of them")


def _origin(environment: Environment) -> list[str]:
    """What an installer takes again to get what is there."""
    installed = environment.pefts[0]
    origin = origin_of(installed)
    if url := str(origin.get("url", "")):
        vcs = origin.get("vcs_info")
        if isinstance(vcs, dict):
            url = f"{vcs.get('vcs')}+{url}@{vcs.get('commit_id')}"
        return [f"peft @ {redacted(url)}"]
    return [f"peft=={installed.version}"]


def install(repair: Repair, file: Path) -> None:
    """Put the wheel into the environment, without its dependencies and without a network.

    It is installed by name and version, from a folder that holds nothing else, so that nobody is told to look for it there.

    Args:
        repair: what to do.
        file: the wheel.

    Raises:
        PatchsetError: the installer fails; pip and uv then leave what was there.
    """
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(file, scratch)
        command = [*_installer(repair.environment, own=True), "--no-index", "--find-links", scratch]
        given = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        result = subprocess.run(
            [*command, f"peft=={repair.wheel.version}"],
            cwd=scratch,
            env={**given, **kept},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["no reason given"]
        raise PatchsetError(f"cannot install {repair.wheel.file}: {lines[-1].strip()}")
