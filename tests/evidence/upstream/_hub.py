"""The model hub that the suite sees: a local cache of stand-ins, made once for an environment and a release."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from patchset.errors import PatchsetError
from tests.evidence.upstream._sides import HERE, INSIDE, Side, cache

LISTING = HERE / "stand_ins.toml"


def obtain_hub(stock: Side) -> Path:
    """The folder for HF_HOME with the stand-ins, made by the stock side's PEFT if it is not there yet.

    Raises:
        PatchsetError: the stand-ins cannot be made; the message is the last line of the error.
    """
    home = cache() / "hubs" / stock.results.name
    if home.exists():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=home.parent, prefix=".partial-"))
    try:
        done = subprocess.run(
            [sys.executable, str(INSIDE / "stand_ins.py"), str(LISTING), str(partial)],
            env={**os.environ, "PYTHONPATH": str(stock.site), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PatchsetError(f"cannot make the stand-ins: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        partial.replace(home)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return home
