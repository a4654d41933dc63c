"""Two processes train `modules_to_save` under DDP on CPUs, short enough for every run of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.distributed.cases import CASES, place
from tests.distributed.engines import ENGINES
from tests.distributed.runs import REFERENCE, compare, run
from tests.distributed.table import NO_X
from tests.distributed.worker import train

CASE = "self_attn"


@pytest.mark.skipif(torch.cuda.device_count() == 1, reason="two processes want two GPUs, or none")
@pytest.mark.stock_fails("<0.20", raises=TypeError, match=NO_X)
@pytest.mark.row("two processes: DDP trains and saves as one process")
def test_ddp(tmp_path: Path) -> None:
    alone = place(tmp_path, REFERENCE, CASE)
    alone.mkdir(parents=True)
    train(alone, ENGINES[REFERENCE], CASES[CASE])
    run([("DDP", CASE)], tmp_path, limit=120)
    outcome = compare(CASES[CASE], "DDP", place(tmp_path, "DDP", CASE), alone)
    if NO_X in outcome["what"]:
        raise TypeError(outcome["what"])
    assert outcome["outcome"] == "equal", f"{outcome}\n{(tmp_path / 'DDP' / 'log').read_text()}"
