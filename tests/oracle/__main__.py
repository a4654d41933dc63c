"""Run many sequences on the installed `peft`, and say what differs from the reference.

    python -m tests.oracle --sequences 10000 --json tests/evidence/results/oracle/0.21.2.json
    python -m tests.oracle --replay tests/evidence/results/oracle/0.21.2.json

The first ends with status 1 if anything differs; the same arguments give the same sequences. The second does the examples of
a written result again, one by one.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import multiprocessing
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.contract import installed
from tests.oracle.chunks import chunk
from tests.oracle.findings import Findings
from tests.oracle.left import LEFT
from tests.oracle.releases import Behaviour
from tests.oracle.sequence import replay


def run(sequences: int, processes: int, first: int, leave: frozenset[str]) -> Findings:
    """At least so many sequences, in several processes; what they are does not depend on how many."""
    total = Findings()
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for found in pool.imap(functools.partial(chunk, leave=leave), range(first, first + sequences)):
            total.merge(found)
            took = time.perf_counter() - start
            print(
                f"\r{total.sequences} of {sequences} sequences, {total.steps} steps, {sum(total.differing.values())} differ, "
                f"{total.sequences / took:.0f} a second", end="", file=sys.stderr, flush=True,
            )  # fmt: skip
            if total.sequences >= sequences:
                break
        pool.terminate()
    print(file=sys.stderr)
    return total


def tell(result: dict[str, Any]) -> None:
    """Print a result for people."""
    print(
        f"{result['sequences']} sequences, {result['steps']} steps; refused {result['refused']}; left {result['left']}"
    )
    for failure in result["failures"]:
        print(f"{failure['sequences']:6} {failure['kind']}: {failure['detail'][:400]}")
        print("       ", json.dumps(failure["tree"]))
        for step in failure["plan"]:
            print("       ", json.dumps(step))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__.partition("\n")[0])
    parser.add_argument("--sequences", type=int, default=1000, metavar="N", help="how many at least (default: 1000)")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="at once (default: 2)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the first chunk's number (default: 0)")
    parser.add_argument("--strict", action="store_true", help="compare too what the patches leave as in stock")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what they came to")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="do a written result's examples again instead")
    arguments = parser.parse_args()
    print(installed().label)
    leave = frozenset() if arguments.strict else LEFT
    if arguments.replay:
        return again(json.loads(arguments.replay.read_text()), leave)
    versions = {
        "date": datetime.date.today().isoformat(), "peft": installed().label.split()[1].rstrip(","), "python": platform.python_version(),
        "torch": torch.__version__, "transformers": transformers.__version__,
    }  # fmt: skip
    start = time.perf_counter()
    found = run(arguments.sequences, arguments.processes, arguments.seed, leave)
    result = {**versions, "side": installed().side, "seconds": round(time.perf_counter() - start), **found.as_json()}
    tell(result)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if result["failures"] else 0


def again(result: dict[str, Any], leave: frozenset[str]) -> int:
    """Replay a result's examples; the status is 1 if one still differs."""
    torch.set_num_threads(1)
    outcomes = []
    for failure in result["failures"]:
        outcomes.append(replay(failure["tree"], failure["plan"], Behaviour.of(installed().release), leave))
        print(f"{'agrees' if outcomes[-1] is None else 'differs':7} {failure['kind']}")
        if outcomes[-1] is not None and str(outcomes[-1]) != f"{failure['kind']}: {failure['detail']}":
            print(f"        {outcomes[-1]}")
    return 1 if any(outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
