"""Run pytest in one of upstream's trees: offline, on one thread, with what is wrong with its settings put right."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# Upstream's own options ask for coverage.
_OPTIONS = ("--override-ini=addopts=", "-p", "no:cacheprovider", "-q")
_ENVIRONMENT = {
    # without a hub, a test that wants to download must fail at once
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_OFFLINE": "1",
    # one thread for each process: faster on few cores, and sums come out the same
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}


def run(
    python: Path,
    tree: Path,
    path: Sequence[Path],
    *arguments: str,
    hub: Path | None = None,
    timeout: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run pytest; its exit status is no error here. The tree is left as it was.

    Args:
        python: an interpreter with torch, transformers and pytest.
        tree: upstream's source tree, whose root is the tests' too.
        path: folders that are imported from before the interpreter's own, in place of PYTHONPATH.
        arguments: further options, and what to run.
        hub: the folder to use as HF_HOME, instead of the user's.
        timeout: for all of it, in seconds.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTEST_"))}
    home = str(hub) if hub else os.environ.get("HF_HOME")
    with tempfile.TemporaryDirectory() as scratch, _as_package(tree / "tests"):
        settings = Path(scratch, "pyproject.toml")
        if (tree / "pyproject.toml").exists():
            shutil.copy(tree / "pyproject.toml", settings)
            one_pytest_table(settings)
        else:
            settings.touch()
        return subprocess.run(
            [str(python), "-m", "pytest", "-c", str(settings), f"--rootdir={tree}", *_OPTIONS, *arguments],
            cwd=tree,
            env={
                **kept,
                **_ENVIRONMENT,
                **({"HF_HOME": home} if home else {}),
                "PYTHONPATH": os.pathsep.join(map(str, path)),
            },
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout,
        )


def one_pytest_table(pyproject: Path) -> None:
    """Leave pytest's older table alone where there are both: pytest 9 refuses that, and those before read the older."""
    import tomlkit  # late, so that --help is quick

    document = tomlkit.parse(pyproject.read_text("utf-8"))
    table = document.get("tool", {}).get("pytest", {})
    if "ini_options" in table:
        for name in set(table) - {"ini_options"}:
            del table[name]
        pyproject.write_text(tomlkit.dumps(document), "utf-8")


@contextmanager
def _as_package(tests: Path) -> Iterator[None]:
    """The tests import each other relatively, but upstream's sdists leave out the ``__init__.py`` that it takes."""
    marker = tests / "__init__.py"
    missing = not marker.exists()
    if missing:
        marker.touch()
    try:
        yield
    finally:
        if missing:
            marker.unlink()
