"""What engines are made of."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from peft import PeftModel
from torch import Tensor, distributed, nn

from tests.distributed.cases import RATE, Case

GPU = torch.cuda.is_available()
KIND = "cuda" if GPU else "cpu"


class NotHereError(Exception):
    """The engine does not start on this machine."""


@dataclass
class Made:
    """A prepared model.

    Attributes:
        step: Trains one step; gives the loss over the whole batch, and the whole gradients where they can be had.
        save: Writes the adapter into a folder.
        outputs: Gives the logits of the whole batch, in evaluation mode, or None.
    """

    step: Callable[[], tuple[float, dict[str, Tensor] | None]]
    save: Callable[[Path], None]
    outputs: Callable[[], Tensor | None]


@dataclass(frozen=True)
class Engine:
    """An engine.

    Attributes:
        make: Prepares a case; the folder is there for what is saved on the way.
        launcher: `python`, `torchrun` or `accelerate`.
        alone: Whether it has a start of its own, and another one after each error: what a case leaves behind disturbs
            the next, or an error in one process leaves the other waiting.
    """

    make: Callable[[Case, Path], Made]
    launcher: str = "torchrun"
    alone: bool = False


def start() -> torch.device:
    """Join the other processes; the device of this one."""
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if GPU:
        torch.cuda.set_device(rank)
    if not distributed.is_initialized():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if GPU else "gloo", timeout=timedelta(seconds=60))
    return torch.device(KIND, rank) if GPU else torch.device("cpu")


def clean() -> None:
    """Forget what a case has left."""
    AcceleratorState._reset_state()
    GradientState._reset_state()
    PartialState._reset_state()
    for name in ("ACCELERATE_USE_FSDP", "FSDP_VERSION", "ACCELERATE_USE_DEEPSPEED"):
        os.environ.pop(name, None)
    torch.compiler.reset()
    gc.collect()


def moved(batch: dict[str, Tensor], device: torch.device | str) -> dict[str, Tensor]:
    """The batch on a device."""
    return {name: value.to(device) for name, value in batch.items()}


def row(case: Case, device: torch.device) -> dict[str, Tensor]:
    """This process's row of the batch."""
    rank = distributed.get_rank()
    return moved({name: value[rank : rank + 1] for name, value in case.batch().items()}, device)


def mean(loss: Tensor) -> float:
    """The mean of the processes' losses."""
    value = loss.detach().float().clone()
    distributed.all_reduce(value)
    return float(value) / distributed.get_world_size()


def whole(tensor: Tensor) -> Tensor:
    """A tensor with all its shards, on the CPU."""
    full = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full.detach().cpu().clone()


def plain_name(name: str) -> str:
    """The name of a parameter without what engines put into it."""
    for added in ("module.", "_fsdp_wrapped_module.", "_orig_mod.", "_checkpoint_wrapped_module."):
        name = name.removeprefix(added) if added == "module." else name.replace(added, "")
    return name


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """The gradients of what trains, whole."""
    return {
        plain_name(name): whole(p.grad)
        for name, p in model.named_parameters()
        if p.requires_grad and p.grad is not None
    }


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """What trains."""
    return [p for p in model.parameters() if p.requires_grad]


def save(model: PeftModel, folder: Path, **options: Any) -> None:
    """As users save; these models have no name on a hub to look up a vocabulary size."""
    model.save_pretrained(folder, save_embedding_layers=False, **options)


def loop(
    model: nn.Module,
    batch: dict[str, Tensor],
    *,
    optimizer: Any = None,
    backward: Callable[[Tensor], Any] = Tensor.backward,
    loss_of: Callable[[Tensor], float] = lambda loss: float(loss.detach()),
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Callable[[], tuple[float, dict[str, Tensor]]]:
    """A plain training step."""
    optimizer = optimizer or torch.optim.SGD(trainable(model), lr=RATE, foreach=False)

    def step() -> tuple[float, dict[str, Tensor]]:
        model.train()
        with context():
            loss = model(**batch).loss
        backward(loss)
        found = gradients(model)
        optimizer.step()
        optimizer.zero_grad()
        return loss_of(loss), found

    return step


def logits(model: nn.Module, batch: dict[str, Tensor]) -> Callable[[], Tensor]:
    """Outputs after training."""

    @torch.no_grad()
    def outputs() -> Tensor:
        model.eval()  # DeepSpeed's engine does not give itself back
        return whole(model(**batch).logits)

    return outputs


def on_rank_0(function: Callable[[], None]) -> None:
    """Do it in one process, and wait in the others."""
    if distributed.get_rank() == 0:
        function()
    distributed.barrier()
