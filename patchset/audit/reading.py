"""Many modelling files at once, on all processors."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from patchset.audit.classes import Source, read

# Below this, a process takes longer to start than to read them.
_FEW = 24


def read_all(files: Sequence[Path]) -> Iterator[Source | str]:
    """What the files hold, in their order; for one that cannot be read, why."""
    if len(files) < _FEW:
        yield from map(_read, files)
        return
    # a file's tree has many objects, of which none is garbage: collecting would take as long as reading
    with ProcessPoolExecutor(os.cpu_count(), initializer=gc.disable) as pool:
        yield from pool.map(_read, files, chunksize=8)


def _read(file: Path) -> Source | str:
    try:
        return read(file)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg)
    except (OSError, ValueError) as error:
        return str(error)
