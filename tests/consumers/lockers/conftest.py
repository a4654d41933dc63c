"""A package index of our own and clean environments, so that lockers can be watched at work.

The index stands in for the public one: stock peft as upstream publishes it, and empty packages in place of its
dependencies (torch alone would be gigabytes). Beside it lies the folder that `build` and `index` make. Both are
served on this machine; nothing else is asked, so that it shows which file a locker prefers, and why.
"""

from __future__ import annotations

import functools
import http.server
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from wheel.wheelfile import WheelFile

from patchset.dist import index as _static_index
from patchset.dist.artifacts import scan
from patchset.dist.build import build_wheels
from patchset.pins import ROOT, find, load
from patchset.sources.sdists import Sdists
from tests.consumers.lockers.world import RELEASE, STOCK, World, sha256

TOOLS = {
    "pip": ["pip==26.3"],
    "pip-compile": ["pip-tools==7.6.2"],
    "poetry": ["poetry==2.5.1"],
    "pdm": ["pdm[locked]==2.29.3"],  # with the libraries that it was released with
}


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lockers' programs, each from an environment of its own."""
    folder = tmp_path_factory.mktemp("tools")
    (folder / "bin").mkdir()
    for program, requirements in TOOLS.items():
        venv = folder / program
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, venv], check=True)
        subprocess.run(["uv", "pip", "install", "--quiet", "--python", venv, *requirements], check=True)
        (folder / "bin" / program).symlink_to(venv / "bin" / program)
    return folder / "bin"


@pytest.fixture
def world(tools: Path, tmp_path: Path, pristine: Path) -> Iterator[World]:
    """Both indexes, served, and a copy of the wheels to tamper with."""
    served = tmp_path / "served"
    subprocess.run(["cp", "-r", pristine, served], check=True)
    handler = functools.partial(_Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        hashes = {path.name.split("-")[0]: sha256(path) for path in (served / "public").glob("*-99.0-*.whl")}
        yield World(f"{address}/public/simple/", f"{address}/dist", served / "dist", hashes, tools)
        server.shutdown()


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is served: ``dist``, made by the tool, and ``public``, the stand-in."""
    folder = tmp_path_factory.mktemp("pristine")
    for tagged in (False, True):
        build_wheels([RELEASE, find("0.19.1", load())], folder / "dist", tagged=tagged)
    _static_index.write(folder / "dist", scan(folder / "dist")[0])

    public = folder / "public"
    public.mkdir()
    (public / RELEASE.sdist).write_bytes(Sdists().obtain(RELEASE))
    pip: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", public]
    subprocess.run([*pip, public / RELEASE.sdist], check=True, cwd=ROOT)
    with zipfile.ZipFile(next(public.glob("peft-*.whl"))) as stock:
        metadata = stock.read(f"peft-{STOCK}.dist-info/METADATA").decode()
    needs = [
        Requirement(line.partition(": ")[2]) for line in metadata.splitlines() if line.startswith("Requires-Dist")
    ]
    for need in needs:
        if not need.marker or need.marker.evaluate({"extra": ""}):
            _empty_wheel(public, need.name.replace("-", "_"), "99.0")
    _empty_wheel(public, "llamafactory", "0.9.5", "Requires-Dist: peft<=0.18.1,>=0.18.0\n")
    _pages(public)
    return folder


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


def _empty_wheel(folder: Path, name: str, version: str, fields: str = "") -> None:
    info = f"{name}-{version}.dist-info"
    with WheelFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{fields}")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")


def _pages(folder: Path) -> None:
    """The simple API's HTML for each project (PEP 503)."""
    for path in folder.iterdir():
        if path.is_file():
            page = folder / "simple" / path.name.split("-")[0].lower().replace("_", "-") / "index.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            with page.open("a") as out:
                out.write(f'<a href="../../{path.name}#sha256={sha256(path)}">{path.name}</a><br>\n')
