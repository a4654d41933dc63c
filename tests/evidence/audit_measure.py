"""What ``audit`` finds in transformers' sources against what running shows: recall and precision on the zoo's models.

``python -m tests.evidence.audit_measure`` reads the zoo's result of stock PEFT, builds each model that was run there (it is not run
again) and compares, model type by model type, the names that crash with the names that `audit` finds for modules that the model has.
It needs the transformers of the result, and torch; PEFT neither. Results are written as JSON to
``tests/evidence/results/audit.json``; the line for ``docs/auditing.md`` is printed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import transformers
from torch import nn

from patchset.audit.calls import Child, Index, affected
from patchset.audit.reading import read_all
from patchset.audit.trace import NUMBER
from tests.evidence.zoo._examine import build
from tests.evidence.zoo._shrink import shrunken

RESULTS = Path(__file__).with_name("results")
ZOO = RESULTS / "zoo" / f"zoo-peft0.19.1-transformers{transformers.__version__}.json"


def last(name: str) -> str:
    """A module's name as audit writes it: ``vision_tower`` for ``model.vision_tower``, ``layers.<n>`` for ``model.layers.0``."""
    parts = [NUMBER if part.isdecimal() else part for part in name.split(".")]
    start = max((at for at, part in enumerate(parts) if part != NUMBER), default=0)
    return ".".join(parts[start:])


def inside(module: nn.Module, path: str) -> bool:
    """Whether a path leads from a module to another."""
    found = [module]
    for step in path.split("."):
        children = [dict(one.named_children()) for one in found]
        found = [child for one in children for name, child in one.items() if step in (name, NUMBER)]
    return bool(found)


def expected(model: nn.Module, children: dict[tuple[str, str], list[Child]]) -> Iterator[str]:
    """The names that audit finds, of modules that a model has."""
    for module in model.modules():
        for base in type(module).__mro__:
            for child in children.get((base.__module__.rpartition(".")[2], base.__name__), []):
                if inside(module, child.path):
                    yield child.name


def measured(entries: Iterable[dict[str, Any]], children: dict[tuple[str, str], list[Child]]) -> list[dict[str, Any]]:
    """By type, the names that crash and are found, those that are missed, and those that do not crash."""
    rows = []
    for entry in entries:
        if "class" not in entry or "crash" not in entry:
            continue
        try:
            model = build(entry["class"], shrunken(entry["type"], entry["way"]))
        except Exception as error:  # noqa: BLE001  # whatever a model raises; it is counted
            rows.append({"type": entry["type"], "error": f"{type(error).__name__}: {error}"[:200]})
            continue
        crash, found = {last(name) for name in entry["crash"]}, set(expected(model, children))
        rows.append(
            {
                "type": entry["type"],
                "found": sorted(crash & found),
                "missed": sorted(crash - found),
                "more": sorted(found - crash),
            }
        )
    return rows


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "audit.json")
    options = parser.parse_args()
    if not ZOO.exists():
        raise SystemExit(f"error: the zoo did not run with transformers {transformers.__version__}: {ZOO} is missing")
    zoo = json.loads(ZOO.read_text())
    files = sorted(Path(transformers.__file__).parent.glob("models/*/modeling_*.py"))
    children: dict[tuple[str, str], list[Child]] = {}
    for child in affected(Index([source for source in read_all(files) if not isinstance(source, str)])):
        children.setdefault((child.file.stem, child.owner), []).append(child)
    rows = measured(zoo["types"], children)
    totals = {key: sum(len(row.get(key, ())) for row in rows) for key in ("found", "missed", "more")}
    recall = totals["found"] / (totals["found"] + totals["missed"])
    precision = totals["found"] / (totals["found"] + totals["more"])
    summary = {"versions": zoo["versions"], "types": len(rows), "unbuilt": sum("error" in row for row in rows)}
    summary |= totals | {"recall": round(recall, 4), "precision": round(precision, 4)}
    options.output.write_text(json.dumps({**summary, "rows": rows}, indent=1, sort_keys=True) + "\n")
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
