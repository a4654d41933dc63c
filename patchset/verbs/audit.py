"""``audit``: which modules do modelling files call by keyword only, so that stock PEFT cannot wrap them?"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchset.audit.calls import Child, affected
from patchset.audit.classes import Source, read
from patchset.errors import PatchsetError
from patchset.pins import load
from patchset.series.patch import read_series
from patchset.verbs.options import add_json
from patchset.verbs.printing import console, print_json, progress, table

if TYPE_CHECKING:
    from rich.table import Table

# The patch that mends such calls; the releases whose series has it are those that fail.
_PATCH = "forward-kwargs"
# Of a call's keywords, those that the table shows.
_SHOWN = 2
_FIND = """
import importlib.util
found = importlib.util.find_spec("transformers")
print(next(iter(found.submodule_search_locations or []), "") if found else "")
"""


@dataclass(frozen=True)
class Audit:
    """What was read and found.

    Attributes:
        root: the folder that files are named from.
        files: how many were read.
        unreadable: the files that could not be, and why.
        children: what was found.
    """

    root: Path
    files: int
    unreadable: dict[Path, str]
    children: list[Child]

    def model(self, child: Child) -> str:
        """The folder that a child's file is in, as transformers has one for each model; in the root, the file."""
        file = child.file.relative_to(self.root)
        return file.name if file.parent == Path() else file.parent.as_posix()

    def names(self) -> dict[str, list[str]]:
        """By model, the names in ``modules_to_save`` that stock PEFT fails with."""
        found: dict[str, set[str]] = {}
        for child in self.children:
            found.setdefault(self.model(child), set()).add(child.name)
        return {model: sorted(names) for model, names in found.items()}


EXAMPLE = "audit modeling_mine.py"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Say which submodules the classes of modelling files call by keyword only. With their names in modules_to_save, "
        "stock peft fails at the first forward pass, up to 0.19.1. The files are read, not run. A name counts for every "
        "module whose full name ends in it. Exit status 1 means that there are such calls."
    )
    parser.add_argument(
        "path", nargs="?", metavar="PATH", help="a modelling file or a folder; default: the installed transformers"
    )
    parser.add_argument("--python", default=sys.executable, metavar="PATH", help="whose transformers to read")
    parser.add_argument("--model", action="append", metavar="NAME", help="only the model folders of this name")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print what is called by keyword only; exit status 1 where something is."""
    root, files = _given(Path(options.path)) if options.path else _installed(options.python)
    if options.model:
        files = _of_models(files, options.model)
    audit = _audit(root, files)
    if options.json:
        print_json(_record(audit))
    else:
        _print(audit)
    return int(bool(audit.children))


def _given(path: Path) -> tuple[Path, list[Path]]:
    """A file, or a folder's Python files, hidden folders aside."""
    if path.is_file():
        if path.suffix != ".py":
            raise PatchsetError(f"{path} is not a Python file; give a modelling file or a folder of them")
        return path.parent, [path]
    if not path.is_dir():
        raise PatchsetError(f"{path} does not exist; give a modelling file or a folder of them")
    files = sorted(path.rglob("*.py"))
    files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if not files:
        raise PatchsetError(f"{path} holds no Python file")
    return path, files


def _installed(python: str) -> tuple[Path, list[Path]]:
    """The modelling files of the transformers that an interpreter has; it is not imported."""
    try:
        found = subprocess.run([python, "-I", "-c", _FIND], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PatchsetError(f"cannot run {python}: {error}") from error
    if not found.stdout.strip():
        raise PatchsetError(f"{python} has no transformers; name a PATH, or with --python another interpreter")
    models = Path(found.stdout.strip(), "models")
    # modular_*.py, what these are generated from, would say everything again
    files = sorted(models.glob("*/modeling_*.py"))
    if not files:
        raise PatchsetError(f"{models} holds no modelling file")
    return models, files


def _of_models(files: Sequence[Path], models: Sequence[str]) -> list[Path]:
    """The files in folders of these names."""
    chosen = [file for file in files if file.parent.name in models]
    if missing := sorted(set(models).difference(file.parent.name for file in chosen)):
        raise PatchsetError(f"no folder with modelling files is named {', '.join(missing)}")
    return chosen


def _audit(root: Path, files: Sequence[Path]) -> Audit:
    sources: list[Source] = []
    unreadable: dict[Path, str] = {}
    for file in _watched(files):
        try:
            sources.append(read(file))
        except SyntaxError as error:
            unreadable[file] = f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg)
        except (OSError, ValueError) as error:
            unreadable[file] = str(error)
    if not sources:
        file, why = next(iter(unreadable.items()))
        others = f"; nor {len(unreadable) - 1} more" if len(unreadable) > 1 else ""
        raise PatchsetError(f"cannot read {file}: {why}{others}")
    return Audit(root, len(sources), unreadable, list(affected(sources)))


def _watched(files: Sequence[Path]) -> Iterator[Path]:
    """The files one by one, with a bar."""
    with progress() as shown:
        yield from shown.track(files, description="reading")


def _failing() -> list[str]:
    """The pinned releases that fail at such calls unless they are patched, oldest first."""
    return [
        release.version for release in load() if any(patch.slug == _PATCH for patch in read_series(release.series_dir))
    ]


def _record(audit: Audit) -> dict[str, object]:
    """What ``--json`` prints."""
    return {
        "root": str(audit.root),
        "files": audit.files,
        "unreadable": {str(file.relative_to(audit.root)): error for file, error in audit.unreadable.items()},
        "stock_fails": _failing(),
        "names": audit.names(),
        "children": [
            {
                "file": child.file.relative_to(audit.root).as_posix(),
                "class": child.owner,
                "path": child.path,
                "name": child.name,
                "keywords": child.keywords,
                "lines": child.lines,
                "positional_lines": child.positional_lines,
            }
            for child in audit.children
        ],
    }


def _print(audit: Audit) -> None:
    shown = console(width=100)
    by_file: dict[Path, list[Child]] = {}
    for child in audit.children:
        by_file.setdefault(child.file, []).append(child)
    for file, children in by_file.items():
        shown.print(file.relative_to(audit.root).as_posix(), style="bold", markup=False)
        shown.print(_table(children))
    for file, error in audit.unreadable.items():
        print(f"note: cannot read {file.relative_to(audit.root)}: {error}")
    _summarise(audit)


def _table(children: Sequence[Child]) -> Table:
    positional = ("positional at",) if any(child.positional_lines for child in children) else ()
    shown = table("class", "child", "keywords", "lines", *positional)
    previous = ""
    for child in children:
        owner = "" if child.owner == previous else child.owner
        shown.add_row(
            owner, child.path, _some(child.keywords), _numbers(child.lines), _numbers(child.positional_lines)
        )
        previous = child.owner
    return shown


def _some(keywords: Sequence[str]) -> str:
    """A few keywords are enough to find a call; JSON has all."""
    more = len(keywords) - _SHOWN
    return ", ".join(keywords) if more < 2 else f"{', '.join(keywords[:_SHOWN])} and {more} more"


def _numbers(lines: Sequence[int]) -> str:
    return ", ".join(map(str, lines))


def _summarise(audit: Audit) -> None:
    children = audit.children
    owners = {(child.file, child.owner) for child in children}
    calls = sum(len(child.lines) for child in children)
    skipped = f" ({len(audit.unreadable)} could not be read)" if audit.unreadable else ""
    if not children:
        print(f"no class of {_count(audit.files, 'file')} calls a child by keyword only{skipped}")
        return
    verb = "calls" if len(owners) == 1 else "call"
    print(
        f"{_count(len(owners), 'class', 'classes')} of {_count(audit.files, 'file')} {verb} "
        f"{_count(len(children), 'child', 'children')} by keyword only, at {_count(calls, 'place')}{skipped}"
    )
    failing = _failing()
    print(f"stock PEFT {failing[0]} to {failing[-1]} fails at them with any of these names in `modules_to_save`:")
    for model, names in audit.names().items():
        print(f"  {model}: {', '.join(names)}")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
