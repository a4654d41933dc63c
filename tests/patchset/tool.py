"""The tool as users run it: in an environment of ours, and what it leaves."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., "subprocess.CompletedProcess[str]"]


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
