"""``audit``: which modules do modelling files call by keyword only, so that stock PEFT cannot wrap them?"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from patchset.audit import asked, found
from patchset.audit.calls import Child
from patchset.audit.found import Audit
from patchset.pins import load
from patchset.series.patch import read_series
from patchset.verbs.options import add_json
from patchset.verbs.printing import console, print_json, print_table, progress

# The patches that mend such calls, and names that mean modules inside of the named one; releases whose series have one are
# those that fail.
_CALLS, _NESTED = "forward-kwargs", "nested-modules-to-save"
# Of a call's keywords, those that the table shows.
_SHOWN = 2
EXAMPLE = "audit modeling_mine.py"


@dataclass(frozen=True)
class Peft:
    """The PEFT that an interpreter has.

    Attributes:
        version: its version.
        patched: whether it is one of ours.
    """

    version: str
    patched: bool

    def fails(self, patch: str) -> bool:
        """Whether it has the fault that a patch mends."""
        return not self.patched and self.version in failing(patch)

    def __str__(self) -> str:
        return f"the installed peft {self.version}, {'patched' if self.patched else 'stock'}"


@dataclass(frozen=True)
class Verdict:
    """What is to be said about one name of a configuration.

    Attributes:
        name: the name.
        faults: the patches that mend what goes wrong with it.
        text: for people.
    """

    name: str
    faults: tuple[str, ...]
    text: str


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Say which submodules the classes of modelling files call by keyword only. With their names in modules_to_save, "
        "stock peft fails at the first forward pass, up to 0.19.1. The files are read, not run. A name counts for every "
        "module whose full name ends in it. Of an adapter's configuration (adapter_config.json, or a YAML file of axolotl, "
        "LLaMA-Factory, TRL or ms-swift), say whether it will run. Exit status 1 means that something fails."
    )
    parser.add_argument(
        "path",
        nargs="?",
        metavar="PATH",
        help="a modelling file, a folder, or a configuration; default: the installed transformers",
    )
    parser.add_argument(
        "--python", default=sys.executable, metavar="PATH", help="whose transformers and peft to look at"
    )
    parser.add_argument("--model", action="append", metavar="NAME", help="only the model folders of this name")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print what is called by keyword only; exit status 1 where something is."""
    path = Path(options.path) if options.path else None
    if path and path.is_file() and path.suffix in asked.SUFFIXES:
        return _will_it_run(asked.read(path), options)
    root, files = found.given(path) if path else found.installed(options.python)
    audit = _audited(root, found.of_models(files, options.model) if options.model else files)
    peft = _peft(options.python)
    if options.json:
        print_json(_record(audit, peft))
    else:
        _print(audit, peft)
    return int(bool(audit.children or audit.nested))


def _audited(root: Path, files: Sequence[Path]) -> Audit:
    with progress() as shown:
        return found.audited(root, files, lambda read, number: shown.track(read, number, description="reading"))


def _peft(python: str) -> Peft | None:
    from patchset.doctor.environment import Environment
    from patchset.doctor.installed import is_patched

    pefts = Environment.of(python).pefts
    return Peft(pefts[0].version, is_patched(pefts[0], load())) if pefts else None


@functools.cache
def failing(patch: str) -> list[str]:
    """The pinned releases that have the fault that a patch mends, oldest first."""
    return [release.version for release in load() if any(one.slug == patch for one in read_series(release.series_dir))]


def _will_it_run(wanted: asked.Asked, options: argparse.Namespace) -> int:
    """Say so, name by name; exit status 1 where the installed peft fails, or, where there is none, stock does."""
    root, files = found.installed(options.python)
    models = (options.model or asked.folders_of(wanted.types(), root)) if wanted.names else []
    audit = _audited(root, found.of_models(files, models)) if models else None
    peft = _peft(options.python)
    verdicts = [_verdict(name, audit) for name in wanted.names] if audit else []
    faults = {fault for verdict in verdicts for fault in verdict.faults}
    fails = {fault for fault in faults if peft is None or peft.fails(fault)}
    if options.json:
        print_json(
            {"models": models, "names": verdicts, "peft": peft, "stock_fails": {f: failing(f) for f in sorted(faults)}}
            | {"runs": not fails}
        )
        return int(bool(fails))
    print(
        f"{wanted.path}: {_count(len(wanted.names), 'name')} in modules_to_save"
        + (f", of {', '.join(models)}" if models else "")
    )
    for verdict in verdicts:
        print(f"  {verdict.name}: {verdict.text}")
    if not wanted.names:
        print("no module is trained whole, so that none is wrapped and called by keyword")
    elif peft is None:
        print(
            f"{options.python} has no peft; a patched one runs it"
            + (", the stock releases named do not" if fails else "")
        )
    elif fails:
        print(
            f"will not work with {peft}; `python -m patchset repair --python {options.python}` puts a patched one there"
        )
    else:
        print(f"nothing here stops {peft}")
    return int(bool(fails))


def _verdict(name: str, audit: Audit) -> Verdict:
    called = [child for child in audit.children if asked.means(name, child.path)]
    inside = [one for one in audit.nested if asked.means(name, one.name)]
    texts, faults = [], []
    if called:
        place = f"{called[0].owner}, {called[0].file.name}, line {called[0].lines[0]}"
        more = f" and {len(called) - 1} more" if len(called) > 1 else ""
        texts.append(f"called by keyword only ({place}{more}); {_releases(_CALLS)} fails at that")
        faults.append(_CALLS)
    if inside:
        texts.append(
            f"means modules inside of itself too ({inside[0].owner}); {_releases(_NESTED)} leaves those untrained and makes an "
            "adapter that cannot be loaded"
        )
        faults.append(_NESTED)
    last = [part for part in name.split(".") if not part.isdecimal()][-1:]
    if not any(known.endswith("".join(last)) for known in audit.known):
        texts.append("no class that was read has a module of that name")
    return Verdict(name, tuple(faults), "; ".join(texts) or "nothing is wrong with it")


def _releases(patch: str) -> str:
    versions = failing(patch)
    return f"stock PEFT {versions[0]} to {versions[-1]}"


def _record(audit: Audit, peft: Peft | None) -> dict[str, object]:
    """What ``--json`` prints."""
    return {
        "root": str(audit.root),
        "files": audit.files,
        "unreadable": {str(file.relative_to(audit.root)): error for file, error in audit.unreadable.items()},
        "stock_fails": failing(_CALLS),
        "installed": peft and {"peft": peft.version, "patched": peft.patched, "fails": peft.fails(_CALLS)},
        "names": audit.names(audit.children),
        "nested": audit.names(audit.nested),
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


def _print(audit: Audit, peft: Peft | None) -> None:
    shown = console()
    by_file: dict[Path, list[Child]] = {}
    for child in audit.children:
        by_file.setdefault(child.file, []).append(child)
    for file, children in by_file.items():
        shown.print(file.relative_to(audit.root).as_posix(), style="bold", markup=False)
        print_table(shown, *_table(children))
    for file, error in audit.unreadable.items():
        print(f"note: cannot read {file.relative_to(audit.root)}: {error}")
    _summarise(audit, peft)


def _table(children: Sequence[Child]) -> list[tuple[str, ...]]:
    """The headers, and a row a child."""
    positional = any(child.positional_lines for child in children)
    rows: list[tuple[str, ...]] = [("class", "child", "keywords", "lines", "positional at")]
    previous = ""
    for child in children:
        owner = "" if child.owner == previous else child.owner
        rows.append(
            (owner, child.path, _some(child.keywords), _numbers(child.lines), _numbers(child.positional_lines))
        )
        previous = child.owner
    return rows if positional else [row[:-1] for row in rows]


def _some(keywords: Sequence[str]) -> str:
    """A few keywords are enough to find a call; JSON has all."""
    more = len(keywords) - _SHOWN
    return ", ".join(keywords) if more < 2 else f"{', '.join(keywords[:_SHOWN])} and {more} more"


def _numbers(lines: Sequence[int]) -> str:
    return ", ".join(map(str, lines))


def _summarise(audit: Audit, peft: Peft | None) -> None:
    children = audit.children
    skipped = f" ({len(audit.unreadable)} could not be read)" if audit.unreadable else ""
    if not children:
        print(f"no class of {_count(audit.files, 'file')} calls a child by keyword only{skipped}")
    else:
        owners = {(child.file, child.owner) for child in children}
        calls = sum(len(child.lines) for child in children)
        verb = "calls" if len(owners) == 1 else "call"
        print(
            f"{_count(len(owners), 'class', 'classes')} of {_count(audit.files, 'file')} {verb} "
            f"{_count(len(children), 'child', 'children')} by keyword only, at {_count(calls, 'place')}{skipped}"
        )
        names = audit.names(children)
        _print_names(
            f"{_releases(_CALLS)} fails at them with any of these names in `modules_to_save`", names, peft, _CALLS
        )
    if names := audit.names(audit.nested):
        text = f"{_releases(_NESTED)} trains only a part of what these names mean: modules inside of the named one have them too"
        _print_names(text, names, peft, _NESTED)


def _print_names(text: str, names: dict[str, list[str]], peft: Peft | None, patch: str) -> None:
    if peft:
        text += f" ({peft}, {'does' if peft.fails(patch) else 'does not'})"
    print(f"{text}:")
    for model, those in names.items():
        print(f"  {model}: {', '.join(those)}")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
