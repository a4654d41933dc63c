"""transformers' `Trainer`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers

from tests.distributed.cases import RATE, STEPS, Case
from tests.distributed.engines.base import GPU, Made, NotHereError


def prepare(**settings: Any) -> Callable[[Case, Path], Made]:
    """`Trainer`, with its settings for an engine."""

    def make(case: Case, folder: Path) -> Made:
        if "fsdp" in settings and not GPU:
            raise NotHereError("Trainer's fsdp wants a GPU")
        options = dict(settings)
        if "fsdp" in options:
            options["fsdp_config"] = {
                "version": 2, "transformer_layer_cls_to_wrap": [case.layer], "cpu_ram_efficient_loading": False,
                "state_dict_type": "FULL_STATE_DICT", "reshard_after_forward": True,
            }  # fmt: skip
        arguments = transformers.TrainingArguments(
            output_dir=str(folder / "trainer"), max_steps=STEPS, per_device_train_batch_size=1, learning_rate=RATE,
            optim="sgd", lr_scheduler_type="constant", max_grad_norm=0, logging_steps=1, save_strategy="no",
            report_to=[], remove_unused_columns=False, use_cpu=not GPU, disable_tqdm=True,
            ddp_backend="nccl" if GPU else "gloo", **options,
        )  # fmt: skip
        model = case.wrap(case.base())
        batch = case.batch()
        rows = [{name: value[index] for name, value in batch.items()} for index in range(2)]
        job = transformers.Trainer(model, arguments, train_dataset=rows)  # type: ignore[arg-type]
        losses: list[float] = []

        def step() -> tuple[float, None]:
            if not losses:
                job.train()
                losses.extend(entry["loss"] for entry in job.state.log_history if "loss" in entry)
            return losses.pop(0), None

        def saved(into: Path) -> None:
            job.save_model(str(into))

        return Made(step, saved, lambda: None)

    return make
