"""fromager, in an environment of its own: it builds the same wheel from the same patches, beside which the tool is measured."""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from patchset.pins import Release
from patchset.series.patch import read_series

VERSION = "0.77.0"


def installed(folder: Path, release: Release, files: Sequence[Path]) -> tuple[str | Path, ...] | None:
    """Install it.

    Args:
        folder: a new one, where it is to be run.
        release: what it is to build.
        files: upstream's sdist and the packages of a build; it has them from a server on this machine, as it reads no folders.

    Returns:
        The command that builds, or None where it cannot be installed.
    """
    folder.mkdir()
    made = subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=False)
    install = ["uv", "pip", "install", "--quiet", "--python", str(folder / "venv"), f"fromager=={VERSION}"]
    if made.returncode or subprocess.run(install, check=False).returncode or not shutil.which("patch"):
        print("fromager or GNU patch is not to be had; its row is left out", file=sys.stderr)
        return None
    patches = folder / "overrides" / "patches" / release.folder
    patches.mkdir(parents=True)
    for patch in read_series(release.series_dir):
        shutil.copy(patch.path, patches)
    for file in files:
        project = folder / "simple" / file.name.partition("-")[0]
        project.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, project)
        links = "".join(f'<a href="{path.name}">{path.name}</a>\n' for path in sorted(project.glob("*-*")))
        (project / "index.html").write_text(links)
    address = f"http://127.0.0.1:{_served(folder)}/simple/"
    build = ("build", "peft", release.version, address, "--wheel-server-url", address)
    return (folder / "venv" / "bin" / "fromager", "--no-network-isolation", *build)


def left(folder: Path, release: Release) -> tuple[Path, ...]:
    """The folders that a build leaves there, and without which the next one builds again."""
    return folder / "work-dir" / release.folder, folder / "sdists-repo", folder / "wheels-repo"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def _served(folder: Path) -> int:
    """Serve a folder until this process ends; returns the port."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])
