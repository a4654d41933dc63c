"""LLaMA-Factory 0.9.3, 0.9.4 and 0.9.5 by their own command line, with their own check of versions on.

Llama, with `self_attn` as an `additional_target`; with 0.9.5 also Gemma 3 with its vision tower.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file

from patchset.doctor.frameworks import frameworks, newest
from patchset.pins import ROOT, load
from tests.consumers.frameworks.program import KNOWN, Program, wheel

NAME = "llamafactory"
VERSION = importlib.metadata.version(NAME)
TAGGED = "+" not in wheel()
LORA = {"template": "default", "finetuning_type": "lora", "model_name_or_path": "text"}
# a layer calls self_attn(hidden_states=...)
SFT: dict[str, Any] = LORA | {
    "stage": "sft", "do_train": True, "lora_target": "gate_proj,up_proj", "additional_target": "self_attn",
    "dataset": "answers", "dataset_dir": "texts", "cutoff_len": 64, "report_to": "none", "use_cpu": True,
    "per_device_train_batch_size": 2, "max_steps": 4, "save_steps": 2, "learning_rate": 0.01, "output_dir": "trained",
}  # fmt: skip
DPO = SFT | {"stage": "dpo", "dataset": "pairs", "pref_beta": 0.1, "output_dir": "preferring"}
EXPORT = LORA | {"adapter_name_or_path": "trained", "export_dir": "exported", "export_device": "cpu"}
VISION = SFT | {
    "model_name_or_path": "model", "template": "gemma3", "dataset": "squares", "dataset_dir": "data", "cutoff_len": 128,
    # the parent calls vision_tower(pixel_values=...)
    "lora_target": "q_proj,v_proj", "additional_target": "vision_tower", "freeze_vision_tower": False,
}  # fmt: skip

vision = pytest.mark.skipif(VERSION < "0.9.5", reason="the tiny vision model is written with transformers 5")


def write(work: Path, name: str, options: dict[str, Any]) -> str:
    """Write the options as YAML, of which JSON is a part."""
    (work / name).write_text(json.dumps(options, indent=1))
    return name


def command(work: Path, program: Program, verb: str, options: dict[str, Any], side: str = "patched") -> str:
    """Run a command that must succeed on patched PEFT, and must not elsewhere; returns its standard error."""
    name = write(work, f"{side}-{options.get('output_dir', verb)}.yaml", options)
    result = program("llamafactory-cli", verb, name, side=side)
    assert (result.returncode == 0) == (side == "patched"), result.stdout + result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def trained(work: Path, program: Program) -> dict[str, torch.Tensor]:
    """The adapter of an SFT run."""
    command(work, program, "train", SFT)
    return load_file(work / "trained" / "adapter_model.safetensors")


def attention(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of the attention modules, by their names in the model."""
    return {name.removeprefix("base_model.model."): value for name, value in weights.items() if ".self_attn." in name}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> bool:
    """Whether the same weights are there, and all of them changed."""
    return before.keys() == after.keys() and not any(torch.equal(after[name], before[name]) for name in before)


def tower(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A checkpoint's vision tower, by the names inside it."""
    return {name.partition("vision_tower.")[2]: value for name, value in weights.items() if "vision_tower." in name}


@pytest.mark.shows(NAME, "patched", "newest release that it allows")
def test_the_installed_wheel_is_the_newest_that_it_takes() -> None:
    (own,) = (one for one in frameworks(sys.path) if one.name == NAME)
    best = newest(load(), [own])
    assert best is not None
    assert best.name == wheel()


@pytest.mark.shows(NAME, "patched", "doctor names the wheel")
def test_doctor_names_the_wheel() -> None:
    command = [os.environ["DOCTOR"], "-m", "patchset", "doctor", "--python", sys.executable]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert f"ok: {NAME} {VERSION} takes it" in said
    assert "stock" not in said
    assert ("is patched: it is " in said) == TAGGED, said


@pytest.mark.skipif(not TAGGED, reason="it takes the local version")
@pytest.mark.shows(NAME, "local", "ImportError at start-up")
def test_the_local_version_is_refused(work: Path, program: Program) -> None:
    errors = command(work, program, "train", SFT | {"output_dir": "local"}, side="local")
    assert "ImportError: peft>=" in errors
    assert "but found peft==" in errors
    assert not (work / "local").exists()


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(SFT, marks=pytest.mark.shows(NAME, "stock", "SFT"), id="SFT"),
        pytest.param(DPO, marks=pytest.mark.shows(NAME, "stock", "DPO"), id="DPO"),
        pytest.param(VISION, marks=[vision, pytest.mark.shows(NAME, "stock", "SFT with vision")], id="vision"),
    ],
)
def test_stock_dies_at_the_first_step(work: Path, program: Program, options: dict[str, Any]) -> None:
    assert KNOWN in command(work, program, "train", options | {"output_dir": "stock"}, side="stock")
    assert not (work / "stock" / "adapter_model.safetensors").exists()


@pytest.mark.shows(NAME, "patched", "SFT")
def test_trains_and_saves(work: Path, trained: dict[str, torch.Tensor]) -> None:
    assert moved(attention(load_file(work / "text" / "model.safetensors")), attention(trained))


@pytest.mark.shows(NAME, "patched", "reload")
def test_loads_again(work: Path, trained: dict[str, torch.Tensor]) -> None:
    base = transformers.AutoModelForCausalLM.from_pretrained(work / "text", torch_dtype=torch.float32)
    loaded = PeftModel.from_pretrained(base, work / "trained")
    state = loaded.base_model.model.model.layers[1].self_attn.modules_to_save["default"].state_dict()
    for name, value in state.items():
        assert torch.equal(value, trained[f"base_model.model.model.layers.1.self_attn.{name}"])


@pytest.mark.shows(NAME, "patched", "resume")
def test_a_resumed_run_ends_where_the_whole_one_does(
    work: Path, program: Program, trained: dict[str, torch.Tensor]
) -> None:
    halfway = {"resume_from_checkpoint": "trained/checkpoint-2", "output_dir": "resumed"}
    assert not (work / "resumed").exists()
    command(work, program, "train", SFT | halfway)
    resumed = load_file(work / "resumed" / "adapter_model.safetensors")
    assert moved(load_file(work / "trained" / "checkpoint-2" / "adapter_model.safetensors"), trained)
    assert resumed.keys() == trained.keys()
    for name, value in trained.items():
        assert torch.equal(resumed[name], value), name


@pytest.mark.shows(NAME, "patched", "DPO")
def test_preferences_are_trained_on_top(work: Path, program: Program, trained: dict[str, torch.Tensor]) -> None:
    command(work, program, "train", DPO | {"adapter_name_or_path": "trained"})
    preferring = load_file(work / "preferring" / "adapter_model.safetensors")
    assert moved(attention(trained), attention(preferring))


@pytest.mark.shows(NAME, "patched", "export")
def test_export_merges_it(work: Path, program: Program, trained: dict[str, torch.Tensor]) -> None:
    command(work, program, "export", EXPORT)
    exported = transformers.AutoModelForCausalLM.from_pretrained(work / "exported", torch_dtype=torch.float32).eval()
    base = transformers.AutoModelForCausalLM.from_pretrained(work / "text", torch_dtype=torch.float32)
    ids = torch.arange(4, 12)[None]
    with torch.no_grad():
        before = base.eval()(input_ids=ids).logits
        expected = PeftModel.from_pretrained(base, work / "trained").eval()(input_ids=ids).logits
        found = exported(input_ids=ids).logits
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-2)  # may be exported in half precision
    assert not torch.allclose(found, before, atol=1e-2)


@vision
@pytest.mark.shows(NAME, "patched", "SFT with vision, export")
def test_vision_tower_trains_saves_and_exports(work: Path, program: Program) -> None:
    command(work, program, "train", VISION | {"output_dir": "seeing"})
    before = tower(load_file(work / "model" / "model.safetensors"))
    trained = tower(load_file(work / "seeing" / "adapter_model.safetensors"))
    assert trained.keys() == before.keys()
    changed = [name for name in trained if not torch.equal(trained[name], before[name])]
    assert any("attn" in name for name in changed), changed
    assert len(changed) > len(before) / 2

    export = {"model_name_or_path": "model", "template": "gemma3", "adapter_name_or_path": "seeing"}
    command(work, program, "export", EXPORT | export | {"export_dir": "seen"})
    exported = transformers.AutoModelForImageTextToText.from_pretrained(work / "seen")
    weights = {name: value.float() for name, value in tower(exported.state_dict()).items()}
    assert weights.keys() == trained.keys()
    for name, value in trained.items():
        torch.testing.assert_close(weights[name], value.float(), atol=1e-2, rtol=1e-2)  # exported in half precision
    stock = transformers.AutoModelForImageTextToText.from_pretrained(work / "model").state_dict()
    key = next(name for name in stock if "language_model" in name and "q_proj" in name)
    assert not torch.allclose(exported.state_dict()[key].float(), stock[key].float(), atol=1e-3), "LoRA is merged"
