"""An interpreter's environment: where it looks for packages, who manages it, and what is installed there."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from patchset.errors import PatchsetError

_ASK = """
import importlib.util, json, os, sys, sysconfig
print(json.dumps({
    "path": [entry for entry in sys.path if entry],
    "prefix": sys.prefix,
    "site": sysconfig.get_path("purelib"),
    "managed": sys.prefix == sys.base_prefix
    and os.path.isfile(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")),
    "pip": importlib.util.find_spec("pip") is not None,
}))
"""


@dataclass(frozen=True)
class Environment:
    """What an interpreter says about itself.

    Attributes:
        python: path of the interpreter.
        path: where it looks for modules; the user's own folder and PYTHONPATH aside.
        prefix: the environment's folder.
        site: where packages are installed.
        managed: whether the operating system manages it (the file EXTERNALLY-MANAGED).
        pip: whether it has pip.
    """

    python: str
    path: list[str]
    prefix: Path
    site: Path
    managed: bool
    pip: bool

    @classmethod
    def of(cls, python: str) -> Environment:
        """Ask an interpreter.

        Raises:
            PatchsetError: it does not run.
        """
        try:
            told: dict[str, Any] = json.loads(run(python, "-c", _ASK))
            return cls(python, told["path"], Path(told["prefix"]), Path(told["site"]), told["managed"], told["pip"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PatchsetError(f"cannot run {python}: {error}") from error

    @cached_property
    def pefts(self) -> list[importlib.metadata.Distribution]:
        """All installations of peft on its path; the first one counts."""
        return list(importlib.metadata.distributions(name="peft", path=self.path))

    @property
    def conda(self) -> list[Path]:
        """conda's own records of peft."""
        return sorted((self.prefix / "conda-meta").glob("peft-*.json"))


def run(python: str, *arguments: str) -> str:
    """The last line that a program prints in an interpreter; the user's own folder and PYTHONPATH are left out.

    Raises:
        OSError: the interpreter cannot be started.
        ValueError: it fails or prints nothing.
    """
    result = subprocess.run([python, "-I", *arguments], capture_output=True, text=True, check=False, errors="replace")
    if result.returncode:
        raise ValueError((result.stderr.strip().splitlines() or [f"it ends with status {result.returncode}"])[-1])
    if not result.stdout.strip():
        raise ValueError("it is no Python")
    return result.stdout.splitlines()[-1]


def folder_of(installed: importlib.metadata.Distribution) -> Path:
    """Where an installation lies."""
    return Path(str(installed.locate_file("")))


def origin_of(installed: importlib.metadata.Distribution) -> dict[str, Any]:
    """What an installer has written down about where it comes from (PEP 610); nothing where that is an index."""
    try:
        found = json.loads(installed.read_text("direct_url.json") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
