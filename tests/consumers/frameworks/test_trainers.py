"""transformers' Trainer and TRL's SFTTrainer: Gemma 3 with LoRA, and its vision tower in `modules_to_save`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file

from tests.consumers.frameworks.conftest import KNOWN, Program

pytestmark = pytest.mark.parametrize("trainer", ["Trainer", "SFTTrainer"])
TRAIN = ("python", "-m", "tests.consumers.frameworks.train")


def test_stock_dies_at_the_first_step(work: Path, program: Program, trainer: str) -> None:
    result = program(*TRAIN, trainer, f"stock-{trainer}", stock=True)
    assert result.returncode != 0
    assert KNOWN in result.stderr


def test_patched_trains_saves_and_loads(work: Path, program: Program, trainer: str) -> None:
    result = program(*TRAIN, trainer, f"patched-{trainer}")
    assert result.returncode == 0, result.stderr
    saved = load_file(work / f"patched-{trainer}" / "adapter_model.safetensors")
    base = transformers.AutoModelForImageTextToText.from_pretrained(work / "model", dtype=torch.float32)
    before = {name: value.clone() for name, value in base.model.vision_tower.state_dict().items()}
    loaded = PeftModel.from_pretrained(base, work / f"patched-{trainer}")
    after = loaded.base_model.model.model.vision_tower.modules_to_save["default"].state_dict()
    assert after.keys() == before.keys()
    assert sum(not torch.equal(after[name], before[name]) for name in after) > len(before) / 2
    for name, value in after.items():
        (key,) = [key for key in saved if key.endswith(f"vision_tower.{name}")]
        assert torch.equal(saved[key], value)
