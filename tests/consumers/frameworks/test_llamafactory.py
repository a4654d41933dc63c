"""LLaMA-Factory, which allows 0.18.0 and 0.18.1 alone: command line and YAML, Gemma 3 with its vision tower trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file

from tests.consumers.frameworks.conftest import KNOWN, Program

TRAIN: dict[str, Any] = {
    "model_name_or_path": "model", "stage": "sft", "do_train": True, "template": "gemma3", "report_to": "none",
    "finetuning_type": "lora", "lora_target": "q_proj,v_proj",
    # the parent calls vision_tower(pixel_values=...)
    "additional_target": "vision_tower", "freeze_vision_tower": False,
    "dataset": "squares", "dataset_dir": "data", "cutoff_len": 128,
    "per_device_train_batch_size": 2, "max_steps": 3, "learning_rate": 0.01, "use_cpu": True,
}  # fmt: skip
EXPORT = {
    "model_name_or_path": "model", "adapter_name_or_path": "trained", "finetuning_type": "lora", "template": "gemma3",
    "export_dir": "exported", "export_device": "cpu",
}  # fmt: skip


def write(work: Path, name: str, options: dict[str, Any]) -> str:
    """Write the options as YAML, of which JSON is a part."""
    (work / name).write_text(json.dumps(options, indent=1))
    return name


def tower(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A checkpoint's vision tower, by the names inside it."""
    return {name.partition("vision_tower.")[2]: value for name, value in weights.items() if "vision_tower." in name}


def test_stock_dies_at_the_first_step(work: Path, program: Program) -> None:
    config = write(work, "stock.yaml", TRAIN | {"output_dir": "stock"})
    result = program("llamafactory-cli", "train", config, stock=True)
    assert result.returncode != 0
    assert KNOWN in result.stderr
    assert not (work / "stock" / "adapter_model.safetensors").exists()


def test_patched_trains_saves_and_exports(work: Path, program: Program) -> None:
    config = write(work, "train.yaml", TRAIN | {"output_dir": "trained"})
    result = program("llamafactory-cli", "train", config)
    assert result.returncode == 0, result.stderr
    before = tower(load_file(work / "model" / "model.safetensors"))
    trained = tower(load_file(work / "trained" / "adapter_model.safetensors"))
    assert trained.keys() == before.keys()
    moved = [name for name in trained if not torch.equal(trained[name], before[name])]
    assert any("attn" in name for name in moved), moved
    assert len(moved) > len(before) / 2

    result = program("llamafactory-cli", "export", write(work, "export.yaml", EXPORT))
    assert result.returncode == 0, result.stderr
    exported = transformers.AutoModelForImageTextToText.from_pretrained(work / "exported")
    weights = {name: value.float() for name, value in tower(exported.state_dict()).items()}
    assert weights.keys() == trained.keys()
    for name, value in trained.items():
        torch.testing.assert_close(weights[name], value.float(), atol=1e-2, rtol=1e-2)  # exported in half precision
    stock = transformers.AutoModelForImageTextToText.from_pretrained(work / "model").state_dict()
    key = next(name for name in stock if "language_model" in name and "q_proj" in name)
    assert not torch.allclose(exported.state_dict()[key].float(), stock[key].float(), atol=1e-3), "LoRA is merged"
