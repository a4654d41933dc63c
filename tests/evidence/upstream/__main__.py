"""``python -m tests.evidence.upstream RELEASE``: run upstream's suite on stock and on patched PEFT, and compare."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from patchset.errors import PatchsetError
from patchset.pins import Release, chosen
from tests.evidence.upstream._causes import by_cause, causes
from tests.evidence.upstream._compare import Comparison, compare, settle
from tests.evidence.upstream._hub import obtain_hub
from tests.evidence.upstream._report import show
from tests.evidence.upstream._results import Outcome, file_of, write_json
from tests.evidence.upstream._sides import Side, environment, patched, stock
from tests.evidence.upstream._suite import Suite

# The tests around our change: whole files, and of the largest one what is about modules to save, mixed batches and, with
# LoRA, the life of an adapter.
AROUND = ("tests/test_other.py", "tests/test_trainable_tokens.py", "tests/test_tuners_utils.py")
AROUND_SOME = {
    "tests/test_custom_models.py": re.compile(
        r"modules_to_save|MixedAdapterBatches|trainable_token|RequiresGrad|"
        r"test_(set|delete|add|load|adapter|active|multiple|disable_adapters_exiting)\w*(\[.*LoraConfig|$)"
    )
}
_ALL = re.compile("")
SHOWN_REASONS = 15  # on the terminal; the JSON has all of them


def main() -> int:
    """Run the comparison the command line asks for; 0 where nothing regressed."""
    options = _parser().parse_args()
    try:
        return 1 if _judge(options).fatal else 0
    except PatchsetError as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.evidence.upstream",
        description="Run upstream's own tests on stock and on patched PEFT and compare them test by test.",
        epilog="example: python -m tests.evidence.upstream 0.19.1 --json result.json",
    )
    parser.add_argument(
        "release", nargs="?", help="one that suits the installed transformers; default: PEFT_UPSTREAM, or the newest"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="all tests; the default")
    which.add_argument("--around", action="store_true", help="only the tests around our change")
    parser.add_argument("-n", "--workers", type=int, default=os.cpu_count() or 1, help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    return parser


def _judge(options: argparse.Namespace) -> Comparison:
    release = chosen(options.release)
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="upstream-tests-") as work:
        sides = _sides(release, Path(work), console)
        hub = obtain_hub(sides[0])
        suites = [Suite(side, hub, options.workers) for side in sides]
        names = [choose(suite, options.around) for suite in suites]
        outcomes = [_run(suite, wanted, console) for suite, wanted in zip(suites, names, strict=True)]
        comparison = compare((names[0], names[1]), *outcomes)
        if again := [difference.test for difference in comparison.differences]:
            console.print(f"running {len(again):,} differing tests again")
            settle(comparison, *(suite.once(again) for suite in suites))
    title = f"peft {release.version}, {'the tests around our change' if options.around else 'all tests'}"
    failed = _reasons(*outcomes)
    found = dict(by_cause(failed, release.version, causes()).most_common())
    show(Console(), title, comparison, list(failed.items())[:SHOWN_REASONS], found)
    if options.json:
        about = {"version": release.patched_version, "tree": release.tree, "environment": environment()}
        write_json(options.json, {**about, "failed": failed, "causes": found, **comparison.json()})
    return comparison


def _sides(release: Release, work: Path, console: Console) -> list[Side]:
    sides = []
    for make in (stock, patched):
        folder = work / make.__name__
        folder.mkdir()
        console.print(f"installing {make.__name__} {release.version}")
        sides.append(make(release, folder))
    return sides


def choose(suite: Suite, around: bool) -> list[str]:
    """The node ids to run: all, or those around our change."""
    if not around:
        return suite.collect()
    names = suite.collect([*AROUND, *AROUND_SOME])
    return [name for name in names if "::" not in name or AROUND_SOME.get(file_of(name), _ALL).search(name)]


def _run(suite: Suite, names: list[str], console: Console) -> dict[str, Outcome]:
    console.print(f"running {len(names):,} tests on {suite.side.name}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(suite.side.name, total=len(names))
        return suite.run(names, lambda count: progress.advance(task, count))


def _reasons(before: dict[str, Outcome], after: dict[str, Outcome]) -> dict[str, int]:
    """Why tests failed on both sides in the same way, the commonest reasons first."""
    bad = Counter(found.reason for name, found in before.items() if found.bad and after.get(name) == found)
    return dict(bad.most_common())


if __name__ == "__main__":
    raise SystemExit(main())
