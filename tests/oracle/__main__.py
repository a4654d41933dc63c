"""Run many sequences and count what differs: `python -m tests.oracle --sequences 10000 --json FILE`."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import installed
from tests.oracle.machine import Findings, Machine

STEPS = 8


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sequences", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    Machine.release = installed().release
    Machine.findings = found = Findings()
    print(installed().label)
    start = time.perf_counter()
    profile = settings(
        max_examples=arguments.sequences, stateful_step_count=STEPS, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],
    )
    run_state_machine_as_test(seed(arguments.seed)(Machine), settings=profile)
    took = time.perf_counter() - start
    print(f"{found.sequences} sequences, {found.steps} steps, {took:.0f} s, {found.sequences / took:.0f} a second")
    print(found.operations)
    for kind, count in found.differing.most_common():
        example = found.shortest[kind]
        print(f"{count:6} {kind}: {example['detail'][:300]}")
        print("      ", json.dumps(example["tree"]))
        for step in example["plan"]:
            print("      ", json.dumps(step))


if __name__ == "__main__":
    main()
