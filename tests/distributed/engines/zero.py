"""DeepSpeed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.distributed.cases import RATE, Case
from tests.distributed.engines.base import GPU, KIND, Made, logits, mean, moved, on_rank_0, row, save, start, trainable


def settings(stage: int, **more: Any) -> dict[str, Any]:
    """What DeepSpeed is told."""
    # its buckets are made for billions of parameters, gigabytes in every process
    small = {"reduce_bucket_size": 1_000_000, "allgather_bucket_size": 1_000_000, "sub_group_size": 1_000_000}
    small |= {"stage3_prefetch_bucket_size": 1_000_000}
    zero = {"stage": stage, "stage3_param_persistence_threshold": 0, **small}
    return {
        "train_micro_batch_size_per_gpu": 1, "zero_optimization": zero, "gradient_clipping": 0.0, "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False, **more,
    }  # fmt: skip


def prepare(stage: int, early: bool = False) -> Callable[[Case, Path], Made]:
    """ZeRO; `early`: the base model is loaded in parts already, as `from_pretrained` does under ZeRO-3."""

    def make(case: Case, folder: Path) -> Made:
        os.environ.setdefault("DS_ACCELERATOR", KIND)
        import deepspeed
        from deepspeed.utils import safe_get_full_grad

        device = start()
        deepspeed.init_distributed(dist_backend="nccl" if GPU else "gloo")
        told = settings(stage)
        if early:
            from transformers.integrations import HfDeepSpeedConfig

            base = case.base()
            on_rank_0(lambda: base.save_pretrained(folder / "base"))
            kept = HfDeepSpeedConfig(told)
            loaded = type(base).from_pretrained(folder / "base")
            loaded.config.use_cache = False
            model = case.wrap(loaded)
            del kept
        else:
            model = case.wrap(case.base())
        optimizer = torch.optim.SGD(trainable(model), lr=RATE, foreach=False)
        engine, *_ = deepspeed.initialize(
            model=model, model_parameters=trainable(model), optimizer=optimizer, config=told
        )
        batch = row(case, device)

        def step() -> tuple[float, dict[str, Tensor]]:
            engine.train()
            loss = engine(**batch).loss
            engine.backward(loss)
            found = {}
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    gradient = safe_get_full_grad(parameter)
                    if gradient is not None:
                        found[name] = gradient.detach().float().cpu().clone()
            engine.step()
            return mean(loss), found

        def saved(into: Path) -> None:
            parameters = dict(model.named_parameters())
            with deepspeed.zero.GatheredParameters(list(parameters.values()), enabled=stage == 3):
                state = {name: p.detach().cpu().clone() for name, p in parameters.items()}
            state |= {name: b.cpu() for name, b in model.named_buffers()}
            on_rank_0(lambda: save(model, into, state_dict=state))

        return Made(step, saved, logits(engine, moved(case.batch(), device)))

    return make
