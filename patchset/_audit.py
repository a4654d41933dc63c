"""``audit``: which children of a model are called by keyword only, so that stock PEFT cannot wrap them."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from patchset._calls import Call, read
from patchset._errors import PatchsetError
from patchset._pins import load
from patchset._series import read_series

_PATCH = "forward-kwargs"
_FIND = (
    "import importlib.util as u; s = u.find_spec('transformers'); print(s.submodule_search_locations[0] if s else '')"
)


@dataclass(frozen=True)
class Source:
    """A file that was read.

    Attributes:
        path: the file, as it is named to people.
        calls: its keyword-only calls.
        problem: why it could not be read; empty if it could.
    """

    path: str
    calls: list[Call]
    problem: str = ""

    @property
    def names(self) -> list[str]:
        """The children's names, each once."""
        return list(dict.fromkeys(call.child for call in self.calls))


def run(options: argparse.Namespace) -> int:
    """Print what is called how; exit status 1 where stock PEFT is affected."""
    root, files = _files(options)
    errors = Console(stderr=True)
    steps = track(files, "reading", console=errors, transient=True, disable=not errors.is_terminal)
    sources = [_read(file, root) for file in steps]
    if len(files) == 1 and sources[0].problem:
        raise PatchsetError(f"cannot read {files[0]}: {sources[0].problem}")
    affected = [source for source in sources if source.calls]
    if options.json:
        print(json.dumps([{**asdict(source), "names": source.names} for source in sources], indent=2))
        return int(bool(affected))
    if affected:
        _print(affected, details=len(files) == 1 or bool(options.model))
    for source in sources:
        if source.problem:
            print(f"not read: {source.path}: {source.problem}")
    print(_summary(affected, len(files)))
    return int(bool(affected))


def _files(options: argparse.Namespace) -> tuple[Path, list[Path]]:
    """The folder that names are relative to, and the files to read."""
    if options.path and options.model:
        raise PatchsetError("give a PATH or --model, not both")
    if options.path:
        path = Path(options.path)
        if not path.exists():
            raise PatchsetError(f"{path} does not exist")
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        if not files:
            raise PatchsetError(f"{path} has no Python file")
        return path if path.is_dir() else path.parent, files
    models = _transformers(options.python) / "models"
    # what modular_*.py says is generated into modeling_*.py
    files = sorted(models.glob(f"{options.model or '*'}/modeling_*.py"))
    if not files:
        raise PatchsetError(f"{models} has no model {options.model!r}" if options.model else f"{models} has no model")
    return models, files


def _transformers(python: str) -> Path:
    """The folder of an interpreter's transformers, which is not imported."""
    try:
        found = subprocess.run([python, "-c", _FIND], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise PatchsetError(f"cannot ask {python} for its transformers: {error}") from error
    if not found:
        raise PatchsetError(f"{python} has no transformers; name a file or a folder, or an interpreter with --python")
    return Path(found)


def _read(file: Path, root: Path) -> Source:
    name = str(file.relative_to(root))
    try:
        return Source(name, read(file.read_text(encoding="utf-8")))
    except (SyntaxError, UnicodeDecodeError) as error:
        return Source(name, [], str(error))


def _print(sources: Sequence[Source], *, details: bool) -> None:
    table = Table(*(("class", "line", "child", "keywords") if details else ("file", "children")), box=box.SIMPLE_HEAD)
    for source in sources:
        if details:
            for call in source.calls:
                table.add_row(call.owner, str(call.line), call.child, ", ".join(call.keywords))
        else:
            table.add_row(source.path, ", ".join(source.names))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # a pipe has no width, and nothing may be cut off there
    console.print(table)


def _summary(affected: Sequence[Source], files: int) -> str:
    """What it means for `modules_to_save`."""
    if not affected:
        return (
            f"{files} files: no child is called by keyword only" if files > 1 else "no child is called by keyword only"
        )
    releases = [release.version for release in load() if _PATCH in {p.slug for p in read_series(release.series_dir)}]
    where = f"stock PEFT {releases[0]} to {releases[-1]}"
    if files == 1:
        names = ", ".join(affected[0].names)
        return f"in modules_to_save, these names and the ends of them crash on {where}: {names}"
    calls = sum(len(source.calls) for source in affected)
    return (
        f"{len(affected)} of {files} files have {calls} such calls: their children crash in modules_to_save on {where}"
    )
