"""What the frameworks' tests share: what stock dies of, and which of our wheels is installed."""

from __future__ import annotations

import importlib.metadata
import subprocess
from collections.abc import Callable

KNOWN = "TypeError: AuxiliaryTrainingWrapper.forward() missing 1 required positional argument: 'x'"

Program = Callable[..., "subprocess.CompletedProcess[str]"]


def wheel() -> str:
    """Which wheel of ours is installed: ``0.18.1+kwargs.1``, or ``0.17.1-1kwargs1`` by the first line of its NOTICE."""
    (notice,) = (file for file in importlib.metadata.files("peft") or [] if file.match("*.dist-info/licenses/NOTICE"))
    return notice.read_text().splitlines()[0].removeprefix("peft ").replace(", build ", "-")
