"""The table of `docs/frameworks.md`, of what the frameworks' runs have left.

`tests/evidence/results/frameworks/*.json` is written by `tests/consumers/frameworks` (see its conftest.py). Nothing in the table comes from
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from packaging.version import Version

from tests.evidence import markdown

COLUMNS = ("framework", "its pin", "its check", "stock dies in", "patched", "wheel", "transformers, torch, Python")


def text(results: Sequence[Mapping[str, Any]]) -> str:
    """The table, and when it was run."""
    days = sorted({result["date"] for result in results})
    return f"Run on {' and '.join(days)}:\n\n{table(results)}"


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """The table of the runs, in Markdown."""
    ordered = sorted(results, key=lambda run: (run["framework"], Version(run["version"])))
    return markdown.table(COLUMNS, map(row, ordered))


def row(run: Mapping[str, Any]) -> list[str]:
    """The cells of a run."""
    shown = run["shown"]
    checks = ", ".join(f"`{check}`" for check in run["checks"]) or "none"
    refused = said(shown.get("local", {}))
    return [
        f"{run['framework']} {run['version']}",
        f"`peft{run['pin']}`" if run["pin"] else "none",
        f"{checks}; with the local version {refused}" if refused else checks,
        said(shown.get("stock", {})) or "not tried",
        said(shown.get("patched", {})) or "not tried",
        f"`{run['wheel']}`",
        f"{run['transformers']}, {run['torch'].partition('+')[0]}, {run['python'].rpartition('.')[0]}",
    ]


def said(outcomes: Mapping[str, str]) -> str:
    """What was shown, and what was to be shown and was not."""
    return "; ".join(what if outcome == "passed" else f"FAILED: {what}" for what, outcome in sorted(outcomes.items()))
