"""The tool as users run it: in an environment of ours, and what it leaves."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from patchset.pins import ROOT

Run = Callable[..., "subprocess.CompletedProcess[str]"]
# What a clone holds that the tool reads.
CHECKOUT = (
    ".gitattributes",
    "patchset",
    "patches",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "NOTICE",
)


def environment(**variables: str | None) -> dict[str, str]:
    """The environment with variables added or, where None, taken out; PEFT_* of the user's own do not count."""
    merged: dict[str, str | None] = {
        **os.environ,
        "PEFT_UPSTREAM": None,
        "PEFT_VERSION": None,
        "PEFT_SDIST": None,
        **variables,
    }
    return {name: value for name, value in merged.items() if value is not None}


def files(folder: Path) -> set[str]:
    """All files below a folder that were not left by the interpreter."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


def copied(target: Path) -> Path:
    """Copy what a clone holds, without trees and sdists, to a folder, for a test to change; that folder."""
    for name in CHECKOUT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / name)
    (target / "vendor").mkdir()
    for name in ("releases.toml", "build-constraints.txt"):
        shutil.copy(ROOT / "vendor" / name, target / "vendor")
    return target
