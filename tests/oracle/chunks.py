"""Some sequences in one process, all their differences written down; a module of its own, so that processes can import it."""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contract import installed
from tests.oracle.findings import Findings
from tests.oracle.left import LEFT
from tests.oracle.machine import Machine

STEPS = 10  # of a sequence, at most
CHUNK = 100  # what hypothesis counts as examples; it runs more sequences than that


def chunk(number: int, leave: frozenset[str] = LEFT) -> Findings:
    """Some sequences; the number alone decides which."""
    torch.set_num_threads(1)

    class Chunk(Machine):
        release = installed().release
        findings = Findings()

    Chunk.leave = leave

    profile = settings(
        max_examples=CHUNK, stateful_step_count=STEPS, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],
    )  # fmt: skip
    run_state_machine_as_test(seed(number)(Chunk), settings=profile)
    assert Chunk.findings
    return Chunk.findings
