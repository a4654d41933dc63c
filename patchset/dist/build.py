"""Wheels through the backend, as pip would build them, several at a time."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import pyproject_hooks
from build import BuildBackendException, ProjectBuilder
from build.env import DefaultIsolatedEnv

from patchset.errors import PatchsetError
from patchset.sources.settings import redacted
from patchset.pins import ROOT, Release

T = TypeVar("T")


def build_wheels(
    releases: Sequence[Release],
    output: Path,
    sdist: str | None = None,
    built: Callable[[Path], None] = lambda wheel: None,
    kind: Literal["wheel", "sdist"] = "wheel",
    *,
    tagged: bool = False,
) -> list[Path]:
    """Build wheels, or our sdists, in one isolated environment, as many at a time as there are processors.

    Args:
        releases: what to build.
        output: the folder for the wheels; made if it is missing.
        sdist: upstream's sdist, or a folder of them; None searches vendor/, the cache and the index.
        built: called with each finished wheel.
        kind: what to build.
        tagged: whether the wheels keep upstream's version, see `patchset.pins.Wheel`.

    Returns:
        The wheels' paths, in the order of `releases`.

    Raises:
        PatchsetError: the folder cannot be written, the environment cannot be made, or a build fails.
    """
    with _environment(releases, sdist) as builder, ThreadPoolExecutor(os.cpu_count()) as pool:
        output.mkdir(parents=True, exist_ok=True)

        def one(release: Release) -> Path:
            wheel = Path(_call(builder.build, kind, output, _settings(release, sdist, tagged)))
            built(wheel)
            return wheel

        return list(pool.map(one, releases))


@contextmanager
def _environment(releases: Sequence[Release], sdist: str | None) -> Iterator[ProjectBuilder]:
    """An isolated environment with what the backend asks for; uv makes it faster where it is installed."""
    with ExitStack() as stack:
        try:
            env = stack.enter_context(DefaultIsolatedEnv(installer="uv" if shutil.which("uv") else "pip"))
            builder = ProjectBuilder.from_isolated_env(env, ROOT, runner=pyproject_hooks.quiet_subprocess_runner)
            env.install(builder.build_system_requires)
            needed = (
                _call(builder.get_requires_for_build, "wheel", _settings(release, sdist)) for release in releases
            )
            if extra := set().union(*needed):
                env.install(extra)
        except (OSError, subprocess.CalledProcessError) as error:
            raise PatchsetError(f"cannot make the build environment: {_reason(error)}") from error
        yield builder


def _reason(error: OSError | subprocess.CalledProcessError) -> str:
    """What stopped an installer, in one line: its first complaint, and the innermost cause where it gives one (uv)."""
    output = getattr(error, "stderr", None) or getattr(error, "output", None) or b""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines()]
    errors = [line.partition(":")[2].strip() for line in lines if line.lower().startswith(("error:", "× "))]
    causes = [line.partition(":")[2].strip() for line in lines if line.lower().startswith(("cause:", "caused by:"))]
    reason = "; ".join([*errors[:1], *causes[-1:]]) or (lines or [""])[-1] or str(error)
    return redacted(reason)


def _call(hook: Callable[..., T], *arguments: object) -> T:
    """Call a hook. Of a failed one's output, the backend's own message is what the user needs."""
    try:
        return hook(*arguments)
    except BuildBackendException as error:
        output = getattr(error.exception, "output", None) or b""
        lines = output.decode(errors="replace").strip().splitlines()
        messages = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        raise PatchsetError((messages or lines or [str(error)])[-1]) from error


def _settings(release: Release, sdist: str | None, tagged: bool = False) -> dict[str, str]:
    """All of them: what the environment says is not meant for this build."""
    settings = {"upstream": release.version, "version": "upstream" if tagged else "local"}
    if sdist:
        settings["sdist"] = str(Path(sdist).resolve())
    return settings
