"""Wheels through the backend, as pip would build them, several at a time."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from patchset.dist.environment import packages
from patchset.errors import PatchsetError
from patchset.pins import ROOT, Release

# Calls one hook after the other, without anything of the environment that it is started from.
_WORKER = """
import json, os, sys
sys.path[:0] = sys.argv[1:]
answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
from patchset import backend
for line in sys.stdin:
    hook, *arguments = json.loads(line)
    try:
        answer = [getattr(backend, hook)(*arguments), None]
    except (Exception, SystemExit) as error:
        answer = [None, str(error) or repr(error)]
    print(json.dumps(answer), file=answers, flush=True)
"""


def build_wheels(
    releases: Sequence[Release],
    output: Path,
    sdist: str | None = None,
    built: Callable[[Path], None] = lambda wheel: None,
    kind: Literal["wheel", "sdist"] = "wheel",
    *,
    tagged: bool = False,
) -> list[Path]:
    """Build wheels, or our sdists, with the pinned packages alone, as many at a time as there are processors.

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
    with packages() as path, _workers(min(os.cpu_count() or 1, len(releases)), path) as idle:
        output.mkdir(parents=True, exist_ok=True)

        def one(release: Release) -> Path:
            worker = idle.get()
            try:
                name = _call(worker, f"build_{kind}", str(output.resolve()), settings(release, sdist, tagged))
            finally:
                idle.put(worker)
            built(output / name)
            return output / name

        with ThreadPoolExecutor(max(idle.qsize(), 1)) as pool:
            return list(pool.map(one, releases))


@contextmanager
def _workers(number: int, path: Path) -> Iterator[queue.Queue[subprocess.Popen[str]]]:
    """Processes that build; each in one of its own, since a build changes folder and umask."""
    # isolated (-I), and without the packages beside the interpreter (-S)
    command = [sys.executable, "-I", "-S", "-c", _WORKER, str(ROOT), str(path)]
    # for pip, which downloads the sdists that are missing, in a process of its own
    environ = {**os.environ, "PYTHONPATH": str(path)}
    idle: queue.Queue[subprocess.Popen[str]] = queue.Queue()
    started = []
    try:
        for _ in range(number):
            started.append(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=environ,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    encoding="utf-8",
                )
            )
            idle.put(started[-1])
        yield idle
    finally:
        for worker in started:
            worker.kill()
            worker.communicate()


def _call(worker: subprocess.Popen[str], hook: str, *arguments: object) -> str:
    """Call a hook. Of a failed one, the backend's own message is what the user needs."""
    assert worker.stdin and worker.stdout
    try:
        print(json.dumps([hook, *arguments]), file=worker.stdin, flush=True)
        built, error = json.loads(worker.stdout.readline())
    except (OSError, ValueError) as failure:
        raise PatchsetError(f"the process that builds has ended: {failure}") from failure
    if error is not None:
        raise PatchsetError((error.strip().splitlines() or [""])[-1].removeprefix("error: "))
    return str(built)


def settings(release: Release, sdist: str | None, tagged: bool) -> dict[str, str]:
    """The backend's, all of them: what the environment says is not meant for this build."""
    here = {"sdist": str(Path(sdist).resolve())} if sdist else {}
    return {"upstream": release.version, "version": "upstream" if tagged else "local", **here}
