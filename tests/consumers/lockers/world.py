"""What the lockers' tests see: two indexes, and an environment whose tools know these alone."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from patchset.dist.index import FOLDERS
from patchset.pins import Wheel, find, load

STOCK = "0.18.1"
RELEASE = find(STOCK, load())
# A consumer that allows two releases, as LLaMA-Factory does.
CONSUMER = "llamafactory==0.9.5"


@dataclass(frozen=True)
class World:
    """What a test sees.

    Attributes:
        public: address of the stand-in for the public index.
        served: address of the folder with the patched wheels.
        dist: the folder that is served there.
        hashes: name and SHA-256 of each package that the stand-in has for peft's dependencies.
        tools: folder of the lockers' programs.
    """

    public: str
    served: str
    dist: Path
    hashes: dict[str, str]
    tools: Path

    def index(self, wheel: Wheel) -> str:
        """Address of the index that has the wheel."""
        return f"{self.served}/{FOLDERS[wheel.tagged]}/"

    @property
    def stock(self) -> set[str]:
        """The SHA-256 of each file of stock that the stand-in has."""
        return {sha256(path) for path in (self.dist.parent / "public").glob("peft-*.*")}

    def environment(self, folder: Path) -> dict[str, str]:
        """An environment whose tools know the stand-in alone and share no cache with anybody."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "POETRY_"))}
        return {
            **{name: value for name, value in kept.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")},
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": self.public,
            "PIP_CACHE_DIR": str(folder / "cache" / "pip"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "UV_DEFAULT_INDEX": self.public,
            "UV_CACHE_DIR": str(folder / "cache" / "uv"),
            "UV_NO_CONFIG": "1",
            "UV_PYTHON": sys.executable,
            "UV_PYTHON_DOWNLOADS": "never",
            "POETRY_CACHE_DIR": str(folder / "cache" / "poetry"),
            "POETRY_VIRTUALENVS_CREATE": "false",
            "PDM_CACHE_DIR": str(folder / "cache" / "pdm"),
            "PDM_PYPI_URL": self.public,
            "PDM_CHECK_UPDATE": "false",
            "HOME": str(folder),
        }


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
