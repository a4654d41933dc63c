"""axolotl 0.18.0 (`peft==0.19.1`) and 0.19.0 (`peft==0.20.0`) by their own command line.

Their LoRA kernels are off: see `test_its_kernels_do_not_know_the_wrapper`.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from packaging.requirements import Requirement
from peft import PeftModel
from safetensors.torch import load_file

from tests.consumers.frameworks.program import KNOWN, Program

NAME = "axolotl"
VERSION = importlib.metadata.version(NAME)
PEFT = {"0.18.0": "0.19.1", "0.19.0": "0.20.0"}[VERSION]
KERNELS = ("lora_qkv_kernel", "lora_o_kernel", "lora_mlp_kernel")
SFT: dict[str, Any] = {
    "base_model": "text", "adapter": "lora", "lora_r": 4, "lora_alpha": 8,
    "lora_target_modules": ["gate_proj", "up_proj"], "lora_modules_to_save": ["self_attn"],
    **dict.fromkeys(KERNELS, False),
    "datasets": [{"path": "texts/answers.json", "ds_type": "json", "type": "alpaca"}], "val_set_size": 0,
    "sequence_len": 64, "micro_batch_size": 2, "gradient_accumulation_steps": 1, "max_steps": 3, "optimizer": "adamw_torch",
    "learning_rate": 0.01, "bf16": False, "fp16": False, "tf32": False, "attn_implementation": "eager", "device": "cpu",
}  # fmt: skip


def train(
    work: Path, program: Program, options: dict[str, Any], side: str = "patched"
) -> subprocess.CompletedProcess[str]:
    """Run its command on a configuration, written as JSON, which is YAML."""
    config = f"{options['output_dir']}.yaml"
    (work / config).write_text(json.dumps(options))
    return program(NAME, "train", config, "--launcher", "python", side=side, AXOLOTL_DO_NOT_TRACK="1")


@pytest.mark.shows(NAME, "patched", "newest release that it allows")
def test_its_pin_takes_the_patched_wheel() -> None:
    needs = map(Requirement, importlib.metadata.requires(NAME) or [])
    pin = next(need for need in needs if need.name == "peft")
    assert str(pin.specifier) == f"=={PEFT}"
    version = importlib.metadata.version("peft")
    assert version.startswith(f"{PEFT}+kwargs.")
    assert pin.specifier.contains(version)


def test_nothing_is_broken() -> None:
    checked = subprocess.run(["uv", "pip", "check"], capture_output=True, text=True, check=False)
    assert "Checked " in checked.stderr
    about_peft = [line for line in checked.stderr.splitlines() if "peft" in line]
    assert not about_peft, checked.stderr


@pytest.mark.skipif(PEFT == "0.20.0", reason="upstream has mended it there")
@pytest.mark.shows(NAME, "stock", "SFT")
def test_stock_dies_at_the_first_step(work: Path, program: Program) -> None:
    result = train(work, program, SFT | {"output_dir": "axolotl-stock"}, side="stock")
    assert result.returncode != 0
    assert KNOWN in result.stdout + result.stderr


@pytest.mark.shows(NAME, "patched", "SFT, reload")
def test_trains_saves_and_loads(work: Path, program: Program) -> None:
    result = train(work, program, SFT | {"output_dir": "axolotl"})
    assert result.returncode == 0, result.stdout + result.stderr
    saved = load_file(work / "axolotl" / "adapter_model.safetensors")
    base = transformers.AutoModelForCausalLM.from_pretrained(work / "text", dtype=torch.float32)
    before = {key: value.clone() for key, value in base.model.layers[1].self_attn.state_dict().items()}
    loaded = PeftModel.from_pretrained(base, work / "axolotl").base_model.model.model.layers[1].self_attn
    after = loaded.modules_to_save["default"].state_dict()
    assert after.keys() == before.keys()
    for key, value in after.items():
        assert not torch.equal(value, before[key]), key
        assert torch.equal(value, saved[f"base_model.model.model.layers.1.self_attn.{key}"])


def test_its_kernels_do_not_know_the_wrapper(work: Path, program: Program) -> None:
    """Its attention calls `self.apply_qkv`, which it has set on `layer.self_attn`: on the wrapper, not on the module inside."""
    kernels = SFT | {"lora_qkv_kernel": True, "lora_o_kernel": True, "output_dir": "axolotl-kernels"}
    result = train(work, program, kernels)
    assert result.returncode != 0
    assert "has no attribute 'apply_qkv'" in result.stdout + result.stderr
