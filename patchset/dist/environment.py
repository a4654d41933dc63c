"""The packages that build: each of the pinned hash, in a folder that is made once and kept in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from patchset.errors import PatchsetError
from patchset.files import staged
from patchset.pins import CONSTRAINTS
from patchset.sources.sdists import cache_dir
from patchset.sources.settings import redacted


@contextlib.contextmanager
def packages() -> Iterator[Path]:
    """A folder for ``sys.path`` with every package that ``vendor/build-constraints.txt`` names, for this Python.

    It lies in the cache, named after what decides its contents; where that cannot be written, it is made anew each time.

    Raises:
        PatchsetError: a package is not to be had, or is not of its pinned hash.
    """
    with contextlib.ExitStack() as stack:
        try:
            what = f"{sys.implementation.cache_tag} {sysconfig.get_platform()}\n{CONSTRAINTS.read_text('utf-8')}"
            kept = cache_dir() / f"build-{hashlib.sha256(what.encode()).hexdigest()[:16]}"
            if not kept.is_dir():
                try:
                    scratch = stack.enter_context(staged(cache_dir()))
                except OSError:
                    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                fresh = scratch / kept.name
                _install(fresh)
                try:
                    fresh.rename(kept)
                except OSError:  # another build was faster, or the cache cannot be written
                    kept = fresh
        except (OSError, subprocess.CalledProcessError) as error:
            raise PatchsetError(f"cannot make the build environment: {_reason(error)}") from error
        yield kept


def _install(folder: Path) -> None:
    """Install the pinned packages with uv, which is faster, or with pip."""
    uv = shutil.which("uv")
    installer = [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", str(CONSTRAINTS)]
    # these would stand against the pins
    environ = {name: value for name, value in os.environ.items() if name not in ("PIP_CONSTRAINT", "UV_CONSTRAINT")}
    subprocess.run([*installer, *options, "--target", str(folder)], env=environ, check=True, capture_output=True)


def _reason(error: OSError | subprocess.CalledProcessError) -> str:
    """What stopped an installer, in one line: its first complaint, and the innermost cause where it gives one (uv)."""
    output = getattr(error, "stderr", None) or getattr(error, "output", None) or b""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines()]
    errors = [line.partition(":")[2].strip() for line in lines if line.lower().startswith(("error:", "× "))]
    causes = [line.partition(":")[2].strip() for line in lines if line.lower().startswith(("cause:", "caused by:"))]
    reason = "; ".join([*errors[:1], *causes[-1:]]) or (lines or [""])[-1] or str(error)
    return redacted(reason)
