"""Imports inside the tool go one way, from the first row of DESIGN's table to the last, and in no circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from patchset.pins import ROOT

# What stands in a row may import what stands in later ones, and what is in its own package.
ROWS = (
    ("__main__", "backend"),
    ("verbs",),
    ("upstream",),
    ("checks",),
    ("doctor", "audit", "dist"),
    ("commits",),
    ("wheels",),
    ("series",),
    ("sources",),
    ("pins",),
    ("files", "errors"),
)
ROW = {name: number for number, row in enumerate(ROWS) for name in row}


def test_no_import_goes_up() -> None:
    for module, imported in _imports():
        ours, theirs = module.split(".")[1], imported.split(".")[1]
        assert ours == theirs or ROW[ours] < ROW[theirs], f"{module} imports {imported}"


def test_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for module, imported in _imports():
        graph.setdefault(module, set()).add(imported)
    TopologicalSorter(graph).prepare()


def test_every_folder_has_a_row() -> None:
    found = {path.stem for path in (ROOT / "patchset").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert found - {"__init__", "__pycache__"} == set(ROW)


def _imports() -> Iterator[tuple[str, str]]:
    """A module of the tool and one that it imports, anywhere in it."""
    files = {_name(path): path for path in (ROOT / "patchset").rglob("*.py")}
    for module, path in files.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "patchset":
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                for name in {name if name in files else node.module for name in whole}:
                    yield module, name


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
