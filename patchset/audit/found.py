"""Which modelling files are audited, and what is found in them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchset.audit.calls import Child, Index, Nested, affected, nested
from patchset.audit.classes import Source
from patchset.audit.reading import read_all
from patchset.errors import PatchsetError

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
        children: the submodules that are called by keyword only.
        nested: those with others of their names inside them.
        known: the names of all submodules.
    """

    root: Path
    files: int
    unreadable: dict[Path, str]
    children: list[Child]
    nested: list[Nested]
    known: set[str]

    def model(self, found: Child | Nested) -> str:
        """The folder that a file is in, as transformers has one for each model; in the root, the file."""
        file = found.file.relative_to(self.root)
        return file.name if file.parent == Path() else file.parent.as_posix()

    def names(self, found: Iterable[Child | Nested]) -> dict[str, list[str]]:
        """By model, the names in ``modules_to_save`` of what was found."""
        names: dict[str, set[str]] = {}
        for one in found:
            names.setdefault(self.model(one), set()).add(one.name)
        return {model: sorted(those) for model, those in names.items()}


def given(path: Path) -> tuple[Path, list[Path]]:
    """A file, or a folder's Python files, hidden folders aside."""
    if path.is_file():
        if path.suffix != ".py":
            raise PatchsetError(
                f"{path} is not a Python file; give a modelling file, a folder of them, or an adapter's configuration"
            )
        return path.parent, [path]
    if not path.is_dir():
        raise PatchsetError(f"{path} does not exist; give a modelling file or a folder of them")
    files = sorted(path.rglob("*.py"))
    files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if not files:
        raise PatchsetError(f"{path} holds no Python file")
    return path, files


def installed(python: str) -> tuple[Path, list[Path]]:
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


def of_models(files: Sequence[Path], models: Sequence[str]) -> list[Path]:
    """The files in folders of these names."""
    chosen = [file for file in files if file.parent.name in models]
    if missing := sorted(set(models).difference(file.parent.name for file in chosen)):
        raise PatchsetError(f"no folder with modelling files is named {', '.join(missing)}")
    return chosen


Watch = Callable[[Iterable[Source | str], int], Iterable[Source | str]]


def audited(root: Path, files: Sequence[Path], watch: Watch = lambda found, number: found) -> Audit:
    """Read files, and find.

    Args:
        root: the folder that they are named from.
        files: they.
        watch: is handed what is read, file by file, and how many there are, and hands it on.

    Raises:
        PatchsetError: none can be read.
    """
    sources: list[Source] = []
    unreadable: dict[Path, str] = {}
    for file, found in zip(files, watch(read_all(files), len(files)), strict=True):
        if isinstance(found, str):
            unreadable[file] = found
        else:
            sources.append(found)
    if not sources:
        file, why = next(iter(unreadable.items()))
        others = f"; nor {len(unreadable) - 1} more" if len(unreadable) > 1 else ""
        raise PatchsetError(f"cannot read {file}: {why}{others}")
    index = Index(sources)
    return Audit(root, len(sources), unreadable, list(affected(index)), list(nested(index)), index.names())
