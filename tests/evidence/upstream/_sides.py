"""The two sides: a release's stock and patched tree with its tests, and PEFT installed from each."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from patchset.dist.build import build_wheels
from patchset.errors import PatchsetError
from patchset.pins import Release, Wheel
from patchset.series.tree import locked_tree
from patchset.sources.sdists import Sdists, cache_dir

HERE = Path(__file__).parent
INSIDE = HERE / "inside"


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        name: `stock` or `patched`.
        tree: the release's tree, whose `tests` are run.
        site: the folder that its wheel is installed in, for PYTHONPATH: everything else is the environment's.
        results: the folder that keeps its results.
    """

    name: str
    tree: Path
    site: Path
    results: Path


def cache() -> Path:
    """Folder of all that the comparison keeps."""
    return cache_dir() / "upstream-tests"


def environment() -> dict[str, str]:
    """What the tests' outcomes depend on besides PEFT: Python, the machine, and every installed package."""
    packages = {found.name.lower(): found.version for found in importlib.metadata.distributions()}
    packages.pop("peft", None)
    return {"python": platform.python_version(), "machine": platform.machine(), **dict(sorted(packages.items()))}


def environment_digest() -> str:
    """SHA-256 of `environment` and of what this package puts between pytest and the suite."""
    digest = hashlib.sha256(json.dumps(environment()).encode())
    for file in sorted([*INSIDE.glob("*.py"), *HERE.glob("_hub*.py"), HERE / "stand_ins.toml"]):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def stock(release: Release, work: Path) -> Side:
    """Lay out a release as upstream ships it.

    Args:
        release: the pin.
        work: an empty folder.

    Raises:
        PatchsetError: it cannot be fetched or installed.
    """
    tree = Sdists().unpack(release, work)
    return _side("stock", release, tree, tree, work, release.sha256)


def patched(release: Release, work: Path) -> Side:
    """Lay out a release as we ship it, from the wheel that users get.

    Raises:
        PatchsetError: the series does not apply, or the wheel cannot be built or installed.
    """
    (wheel,) = build_wheels([release], work / "dist")
    tree = locked_tree(Wheel(release), work, Sdists()).path
    return _side("patched", release, tree, wheel, work, release.tree + release.patched_version)


def _side(name: str, release: Release, tree: Path, source: Path, work: Path, key: str) -> Side:
    site = work / "site"
    install(source, site)
    shutil.rmtree(tree / "build", ignore_errors=True)
    digest = hashlib.sha256((key + environment_digest()).encode()).hexdigest()
    return Side(name, tree, site, cache() / release.version / f"{name}-{digest[:16]}")


def install(source: Path, site: Path) -> None:
    """Install a wheel or a source tree into a folder of its own.

    Raises:
        PatchsetError: pip failed; the message is its last line.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", str(site)]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip said nothing"]
        raise PatchsetError(f"cannot install {source.name}: {lines[-1]}")
