"""ms-swift 4.6.0 by its own command line. It subclasses `ModulesToSaveWrapper` and replaces its `__setattr__`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file

from tests.consumers.frameworks.program import KNOWN, Program

SFT = (
    "swift", "sft", "--model", "text", "--model_type", "llama", "--template", "default", "--use_hf", "true",
    "--tuner_type", "lora", "--target_modules", "gate_proj", "up_proj", "--modules_to_save", "self_attn",
    "--dataset", "texts/answers.json", "--max_steps", "4", "--save_steps", "2", "--per_device_train_batch_size", "2",
    "--gradient_accumulation_steps", "1", "--learning_rate", "0.01", "--torch_dtype", "float32", "--use_cpu", "true",
    "--attn_impl", "eager", "--report_to", "none", "--add_version", "false", "--output_dir",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(work: Path, program: Program) -> Path:
    """The folder of the adapter that a run ends with."""
    result = program(*SFT, "swift")
    assert result.returncode == 0, result.stdout + result.stderr
    return work / "swift" / "checkpoint-4"


@pytest.mark.shows("ms-swift", "patched", "SFT, reload")
def test_trains_saves_and_loads(work: Path, trained: Path) -> None:
    saved = load_file(trained / "adapter_model.safetensors")
    base = transformers.AutoModelForCausalLM.from_pretrained(work / "text", dtype=torch.float32)
    before = {key: value.clone() for key, value in base.model.layers[1].self_attn.state_dict().items()}
    loaded = PeftModel.from_pretrained(base, trained).base_model.model.model.layers[1].self_attn
    after = loaded.modules_to_save["default"].state_dict()
    assert after.keys() == before.keys()
    for key, value in after.items():
        assert not torch.equal(value, before[key]), key
        assert torch.equal(value, saved[f"base_model.model.model.layers.1.self_attn.{key}"])


@pytest.mark.shows("ms-swift", "patched", "resume")
def test_a_resumed_run_ends_where_the_whole_one_does(work: Path, program: Program, trained: Path) -> None:
    result = program(*SFT, "swift-resumed", "--resume_from_checkpoint", "swift/checkpoint-2")
    assert result.returncode == 0, result.stdout + result.stderr
    whole = load_file(trained / "adapter_model.safetensors")
    resumed = load_file(work / "swift-resumed" / "checkpoint-4" / "adapter_model.safetensors")
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[key], value) for key, value in whole.items())


@pytest.mark.shows("ms-swift", "stock", "SFT with 0.19.1")
def test_the_release_before_dies_at_the_first_step(program: Program) -> None:
    """Stock 0.20.0 trains; `PEFT_OTHER` is the newest release below it."""
    result = program(*SFT, "swift-stock", side="stock")
    assert result.returncode != 0
    assert KNOWN in result.stderr


@pytest.mark.shows("ms-swift", "patched", "its subclass of the wrapper")
def test_its_subclass_is_called_by_keyword() -> None:
    from swift.tuners.utils import ModulesToSaveWrapper

    class Model(torch.nn.Linear):
        def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
            return super().forward(hidden_states)

    inner = Model(3, 3)
    wrapper = ModulesToSaveWrapper(inner, module_key="model", adapter_name="default")
    wrapper.set_adapter("default")
    batch = torch.randn(2, 3)
    assert torch.equal(wrapper(hidden_states=batch), inner(batch))
