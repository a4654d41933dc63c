"""Say how a comparison came out: a table for people, JSON for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from tests.evidence.upstream._compare import FATAL, Comparison, Difference
from tests.evidence.upstream._results import Outcome

COLUMNS = ("collected", "passed", "failed the same way", "skipped", "differing", "new tests")
SHOWN = 50  # differing tests named on the terminal; the JSON names all of them


def row(comparison: Comparison) -> dict[str, str]:
    """The table's cells. Expected failures count as skipped, unexpected passes as passed."""
    same = comparison.same
    new = comparison.new.total()
    return {
        "collected": f"{comparison.collected['stock']:,}",
        "passed": f"{same['passed'] + same['xpassed']:,}",
        "failed the same way": f"{same['failed'] + same['error']:,}",
        "skipped": f"{same['skipped'] + same['xfailed']:,}",
        "differing": f"{len(comparison.differences):,}",
        "new tests": f"{new:,}",
    }


def show(
    console: Console,
    title: str,
    comparison: Comparison,
    reasons: Sequence[tuple[str, int]],
    causes: Mapping[str, int],
) -> None:
    """Print the table, why tests failed on both sides (messages, and their causes), and each differing test."""
    table = Table(title=title)
    for name in COLUMNS:
        table.add_column(name, justify="right")
    table.add_row(*row(comparison).values())
    console.print(table)
    console.print(f"{len(comparison.unserved):,} tests need a file of the model hub that has no stand-in")
    for heading, counts in (("failed the same way", reasons), ("by cause", causes.items())):
        if counts:
            console.print(f"\n{heading}:")
        for text, count in counts:
            console.print(f"{count:6,}  {text}", markup=False, highlight=False, soft_wrap=True)
    worst = sorted(comparison.differences, key=lambda difference: difference.verdict not in FATAL)
    for difference in worst[:SHOWN]:
        console.print(_line(difference), markup=False, highlight=False, soft_wrap=True)
    if len(worst) > SHOWN:
        console.print(f"... and {len(worst) - SHOWN:,} more, named in the JSON result")
    console.print(f"\n{len(comparison.fatal):,} regressions")


def _line(difference: Difference) -> str:
    return (
        f"{difference.verdict}: {difference.test}\n"
        f"    stock:   {_said(difference.stock)}\n    patched: {_said(difference.patched)}"
    )


def _said(outcome: Outcome | None) -> str:
    return "no result" if outcome is None else f"{outcome.kind} {outcome.reason}".strip()
