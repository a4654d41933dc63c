"""transformers' Trainer and TRL's trainers, with LoRA beside a module in `modules_to_save` that is called by keyword only."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file

from tests.consumers.frameworks.program import KNOWN, Program

TRAIN = ("python", "-m", "tests.consumers.frameworks.train")
# Trainer, and what it shows of which framework.
TRAINERS = {
    "Trainer": ("transformers", "Trainer"),
    "SFTTrainer": ("trl", "SFT with vision"),
    "SFTTrainer-text": ("trl", "SFT"),
    "DPOTrainer": ("trl", "DPO"),
    "GRPOTrainer": ("trl", "GRPO"),
}


def trainers(side: str, also: str = "") -> pytest.MarkDecorator:
    marks = {name: pytest.mark.shows(one, side, f"{what}{also}") for name, (one, what) in TRAINERS.items()}
    return pytest.mark.parametrize("trainer", [pytest.param(name, marks=mark) for name, mark in marks.items()])


@trainers("stock")
def test_stock_dies_at_the_first_step(work: Path, program: Program, trainer: str) -> None:
    result = program(*TRAIN, trainer, f"stock-{trainer}", side="stock")
    assert result.returncode != 0
    assert KNOWN in result.stderr


@trainers("patched", ", reload")
def test_patched_trains_saves_and_loads(work: Path, program: Program, trainer: str) -> None:
    folder = work / f"patched-{trainer}"
    result = program(*TRAIN, trainer, folder.name)
    assert result.returncode == 0, result.stderr
    saved = load_file(folder / "adapter_model.safetensors")
    seeing = trainer in ("Trainer", "SFTTrainer")
    kind = transformers.AutoModelForImageTextToText if seeing else transformers.AutoModelForCausalLM
    name = "vision_tower" if seeing else "layers.1.self_attn"
    base = kind.from_pretrained(work / ("model" if seeing else "text"), dtype=torch.float32)
    before = {key: value.clone() for key, value in base.model.get_submodule(name).state_dict().items()}
    loaded = PeftModel.from_pretrained(base, folder)
    after = loaded.base_model.model.model.get_submodule(name).modules_to_save["default"].state_dict()
    assert after.keys() == before.keys()
    assert sum(not torch.equal(after[key], before[key]) for key in after) > len(before) / 2
    for key, value in after.items():
        (stored,) = [stored for stored in saved if stored.endswith(f"{name}.{key}")]
        assert torch.equal(saved[stored], value)
