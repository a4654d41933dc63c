"""Two processes train `modules_to_save` under DDP on CPUs, short enough for every run of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.distributed.cases import CASES, place
from tests.distributed.runs import REFERENCE, compare, run
from tests.distributed.table import NO_X

CASE = "self_attn"


@pytest.mark.skipif(torch.cuda.device_count() == 1, reason="two processes want two GPUs, or none")
@pytest.mark.stock_fails("<0.20", raises=TypeError, match=NO_X)
@pytest.mark.row("two processes: DDP trains and saves as one process")
def test_ddp(tmp_path: Path) -> None:
    for engine in (REFERENCE, "DDP"):
        run([(engine, CASE)], tmp_path, limit=120)
    outcome = compare(CASES[CASE], "DDP", *(place(tmp_path, engine, CASE) for engine in ("DDP", REFERENCE)))
    if NO_X in outcome["what"]:
        raise TypeError(outcome["what"])
    assert outcome["outcome"] == "equal", f"{outcome}\n{(tmp_path / 'DDP' / 'log').read_text()}"
