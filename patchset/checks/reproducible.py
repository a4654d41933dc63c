"""Build the same wheel under other conditions and compare the bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from patchset.checks.other_tools import Missing
from patchset.dist.build import build_wheels, settings
from patchset.errors import PatchsetError
from patchset.files import sha256
from patchset.pins import ROOT, Wheel

# What a checkout holds that a build reads.
_SOURCES = ("patchset", "patches", "vendor/releases.toml", "vendor/build-constraints.txt", "pyproject.toml")
_PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def check(wheel: Wheel, sdist: str | None = None) -> None:
    """Build here once and compare with the locked digest; then build elsewhere under other conditions.

    Elsewhere is a copy of the checkout, each Python found, another umask, time zone and locale.

    Raises:
        Missing: uv is not installed, or finds no Python.
        PatchsetError: a build fails or gives other bytes.
    """
    uv = shutil.which("uv")
    if uv is None:
        raise Missing("uv is not installed")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (reference,) = build_wheels([wheel.release], folder / "here", sdist, tagged=wheel.tagged)
        found = sha256(reference)
        copy = folder / "a copy" / "elsewhere"
        for name in _SOURCES:
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, target)
        if wheel.sha256 and found != wheel.sha256:
            raise PatchsetError(
                f"{wheel.file} has sha256 {found}, locked is {wheel.sha256}; if it was meant to change, add --update"
            )
        pythons = [python for python in (_find(uv, version) for version in _PYTHONS) if python]
        if not pythons:
            raise Missing(f"uv finds none of Python {', '.join(_PYTHONS)}")
        for number, python in enumerate(pythons):
            built = _build(uv, python, copy, folder / f"out{number}", wheel, sdist)
            if (other := sha256(built)) != found:
                raise PatchsetError(f"{python} gives {built.name} with sha256 {other}, here it has {found}")


def _find(uv: str, version: str) -> str | None:
    """An installed interpreter of that version; uv's downloads are left out, so that it works without a network."""
    command = [uv, "python", "find", "--no-python-downloads", "--no-project", "--system", version]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or None


def _build(uv: str, python: str, checkout: Path, output: Path, wheel: Wheel, sdist: str | None) -> Path:
    given = settings(wheel.release, sdist, wheel.tagged).items()
    result = subprocess.run(
        [uv, "build", "--wheel", "--python", python, "--out-dir", str(output)]
        + [f"--config-setting={name}={value}" for name, value in given],
        cwd=checkout,
        # Conditions that differ from most people's; SOURCE_DATE_EPOCH must not matter either.
        env={
            **os.environ,
            "TZ": "Asia/Kathmandu",
            "LC_ALL": "C",
            "PYTHONHASHSEED": "7",
            "SOURCE_DATE_EPOCH": "1700000000",
        },
        umask=0o077,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        raise PatchsetError(f"uv build with {python} failed: {lines[-1] if lines else result.returncode}")
    return next(output.glob("*.whl"))
