"""One process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import cpu_offload, dispatch_model
from peft import PeftModel
from torch import nn

from tests.distributed.cases import Case
from tests.distributed.engines.base import GPU, KIND, Made, logits, loop, moved, save


def single(case: Case, folder: Path) -> Made:
    """One process."""
    model = case.wrap(case.base()).to(KIND)
    batch = moved(case.batch(), KIND)
    return Made(loop(model, batch), lambda into: save(model, into), logits(model, batch))


def compiled(case: Case, folder: Path) -> Made:
    """`torch.compile` in one process."""
    model = case.wrap(case.base()).to(KIND)
    batch = moved(case.batch(), KIND)
    fast = torch.compile(model, backend="aot_eager")
    return Made(loop(fast, batch), lambda into: save(model, into), logits(fast, batch))


def checkpointed(case: Case, folder: Path) -> Made:
    """Gradient checkpointing in one process."""
    model = case.wrap(case.base()).to(KIND)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    batch = moved(case.batch(), KIND)
    return Made(loop(model, batch), lambda into: save(model, into), logits(model, batch))


def device_map(case: Case, folder: Path) -> Made:
    """accelerate's hooks: a device for each part, on CPUs a disk for some."""
    from accelerate import infer_auto_device_map

    base = case.base()
    keep = [case.layer, "Gemma4VisionModel", "Gemma4MultimodalEmbedder"]
    base.tie_weights()
    size = sum(p.numel() * p.element_size() for p in base.parameters())
    if GPU:
        places = infer_auto_device_map(base, {0: size // 2, 1: 2 * size}, no_split_module_classes=keep)
    else:
        places = dict.fromkeys(infer_auto_device_map(base, {"cpu": 4 * size}, no_split_module_classes=keep), "cpu")
        places = {name: "cpu" for name, _ in base.named_children()} if "" in places else places
    base = dispatch_model(base, places, offload_dir=str(folder / "disk"), force_hooks=True)
    model = case.wrap(base)
    batch = moved(case.batch(), "cuda:0" if GPU else "cpu")
    return Made(loop(model, batch), lambda into: save(model, into), logits(model, batch))


def offloaded(before: bool) -> Callable[[Case, Path], Made]:
    """accelerate's `cpu_offload`, before or after wrapping."""

    def make(case: Case, folder: Path) -> Made:
        device = torch.device("cuda:0" if GPU else "cpu")
        model = case.base()
        model = case.wrap(cpu_offload(model, device)) if before else cpu_offload(case.wrap(model), device)
        batch = moved(case.batch(), device)
        return Made(loop(model, batch), lambda into: save(model, into), logits(model, batch))

    return make


def quantised(how: str) -> Callable[[Case, Path], Made]:
    """A quantised base, loaded as transformers does."""

    def make(case: Case, folder: Path) -> Made:
        base = case.base()
        base.save_pretrained(folder / "base")
        saved_names = case.config().modules_to_save or []
        skip = [name for name, _ in base.named_modules() if name.rpartition(".")[2] in saved_names] + ["lm_head"]
        if how == "bitsandbytes":
            config: Any = transformers.BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32, llm_int8_skip_modules=skip
            )
        else:
            from torchao.quantization import Int8WeightOnlyConfig

            config = transformers.TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=skip)

        def load() -> nn.Module:
            model = type(base).from_pretrained(
                folder / "base", quantization_config=config, dtype=torch.float32, device_map={"": KIND}
            )
            model.config.use_cache = False
            return model

        model = case.wrap(load())
        batch = moved(case.batch(), KIND)

        def saved(into: Path) -> None:
            save(model, into)
            expected = logits(model, batch)()
            again = logits(PeftModel.from_pretrained(load(), into), batch)()
            difference = float((expected - again).abs().max())
            if not difference < 1e-5:
                raise AssertionError(f"reloaded outputs differ by {difference:.1e}")

        return Made(loop(model, batch), saved, logits(model, batch))

    return make
