"""FSDP, old and new, by itself and through accelerate."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import distributed, nn

from tests.distributed.cases import RATE, Case
from tests.distributed.engines.base import (
    GPU,
    KIND,
    Made,
    NotHereError,
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


def layers(model: nn.Module, case: Case) -> Iterator[nn.Module]:
    """The layers to shard."""
    return (module for module in model.modules() if type(module).__name__ == case.layer)


def fsdp2(case: Case, folder: Path, **options: Any) -> Made:
    """`fully_shard` on each layer and on the whole."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    device = start()
    mesh = init_device_mesh(KIND, (distributed.get_world_size(),))
    model = case.wrap(case.base()).to(device)
    for layer in layers(model, case):
        fully_shard(layer, mesh=mesh, **options)
    fully_shard(model, mesh=mesh, **options)

    def saved(into: Path) -> None:
        state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        on_rank_0(lambda: save(model, into, state_dict=state))

    return Made(loop(model, row(case, device), loss_of=mean), saved, logits(model, moved(case.batch(), device)))


def fsdp2_offloaded(case: Case, folder: Path) -> Made:
    """FSDP2 with what is sharded kept on the CPU."""
    from torch.distributed.fsdp import CPUOffloadPolicy

    if not GPU:
        raise NotHereError("there is nothing to offload from")
    return fsdp2(case, folder, offload_policy=CPUOffloadPolicy())


def fsdp2_units(case: Case, folder: Path) -> Made:
    """`fully_shard` on each wrapper too."""
    from peft.utils.other import AuxiliaryTrainingWrapper
    from torch.distributed.fsdp import fully_shard

    device = start()
    model = case.wrap(case.base()).to(device)
    for module in reversed(list(model.modules())):
        if isinstance(module, AuxiliaryTrainingWrapper) or type(module).__name__ == case.layer:
            fully_shard(module)
    fully_shard(model)

    def saved(into: Path) -> None:
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        on_rank_0(lambda: save(model, into, state_dict=state))

    return Made(loop(model, row(case, device), loss_of=mean), saved, logits(model, moved(case.batch(), device)))


def accelerate_fsdp2(case: Case, folder: Path) -> Made:
    """accelerate's FSDP2 plugin."""
    if not GPU:
        raise NotHereError("accelerate's FSDP wants a GPU")
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="transformer_based_wrap", transformer_cls_names_to_wrap=[case.layer],
        state_dict_type="FULL_STATE_DICT", cpu_ram_efficient_loading=False, reshard_after_forward=True,
    )  # fmt: skip
    accelerator = Accelerator(fsdp_plugin=plugin)
    model = case.wrap(case.base())
    prepared, optimizer = accelerator.prepare(model, torch.optim.SGD(trainable(model), lr=RATE, foreach=False))
    step = loop(
        prepared, row(case, accelerator.device), optimizer=optimizer, backward=accelerator.backward, loss_of=mean
    )

    def saved(into: Path) -> None:
        state = accelerator.get_state_dict(prepared)
        on_rank_0(lambda: save(accelerator.unwrap_model(prepared), into, state_dict=state))

    return Made(step, saved, logits(prepared, moved(case.batch(), accelerator.device)))


def fsdp1(case: Case, folder: Path) -> Made:
    """FSDP1 with PEFT's own policy."""
    from peft.utils.other import fsdp_auto_wrap_policy
    from torch.distributed.fsdp import FullStateDictConfig, FullyShardedDataParallel, StateDictType

    if not GPU:
        raise NotHereError("FSDP1 wants a GPU")
    device = start()
    model = case.wrap(case.base()).to(device)
    os.environ.pop("FSDP_TRANSFORMER_CLS_TO_WRAP", None)
    parallel = FullyShardedDataParallel(
        model, auto_wrap_policy=fsdp_auto_wrap_policy(model), use_orig_params=True, device_id=device if GPU else None
    )
    inner = loop(parallel, row(case, device), loss_of=mean)

    def saved(into: Path) -> None:
        # PEFT asks the wrapped modules for their state, which takes every process
        config = FullStateDictConfig(offload_to_cpu=True)
        with FullyShardedDataParallel.state_dict_type(parallel, StateDictType.FULL_STATE_DICT, config):
            save(model, into, state_dict=parallel.state_dict(), is_main_process=distributed.get_rank() == 0)
        distributed.barrier()

    return Made(lambda: (inner()[0], None), saved, logits(parallel, moved(case.batch(), device)))
