"""A whole model in every process."""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator
from torch.nn.parallel import DistributedDataParallel

from tests.distributed.cases import RATE, Case
from tests.distributed.engines.base import (
    GPU,
    KIND,
    Made,
    logits,
    loop,
    mean,
    moved,
    on_rank_0,
    row,
    save,
    start,
    trainable,
)


def ddp(case: Case, folder: Path) -> Made:
    """DistributedDataParallel."""
    device = start()
    model = case.wrap(case.base()).to(device)
    parallel = DistributedDataParallel(model, device_ids=[device] if GPU else None)
    saved = lambda into: on_rank_0(lambda: save(model, into))
    return Made(loop(parallel, row(case, device), loss_of=mean), saved, logits(model, moved(case.batch(), device)))


def autocast(case: Case, folder: Path) -> Made:
    """DDP under bf16 autocast."""
    device = start()
    model = case.wrap(case.base()).to(device)
    parallel = DistributedDataParallel(model, device_ids=[device] if GPU else None)
    step = loop(parallel, row(case, device), loss_of=mean, context=lambda: torch.autocast(KIND, torch.bfloat16))
    saved = lambda into: on_rank_0(lambda: save(model, into))
    return Made(step, saved, logits(model, moved(case.batch(), device)))


def accelerate_ddp(case: Case, folder: Path) -> Made:
    """`Accelerator().prepare`, DDP."""
    accelerator = Accelerator(cpu=not GPU)
    model = case.wrap(case.base())
    prepared, optimizer = accelerator.prepare(model, torch.optim.SGD(trainable(model), lr=RATE, foreach=False))
    batch = row(case, accelerator.device)
    step = loop(prepared, batch, optimizer=optimizer, backward=accelerator.backward, loss_of=mean)
    whole_batch = moved(case.batch(), accelerator.device)
    plain = accelerator.unwrap_model(prepared)
    return Made(step, lambda into: on_rank_0(lambda: save(plain, into)), logits(plain, whole_batch))
