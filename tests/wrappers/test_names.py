"""What the names in `modules_to_save` find, and what is said of those that find nothing."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from torch import Tensor, nn

from .heads import Net, config, reloaded
from .modules import base_of


class Vision(nn.Module):
    """A tower whose layer has the name of a layer outside."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(4, 4)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.proj(hidden).tanh()


class Kosmos(Net):
    """A `vision_model` that the name `model` finds too."""

    def __init__(self) -> None:
        super().__init__()
        self.vision_model = Vision()

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.proj(self.vision_model(self.emb(ids))))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            "vision_model",
            marks=pytest.mark.stock_fails("<0.16", raises=(AssertionError, KeyError), match="LoRA inside|lora|proj"),
        ),
        pytest.param(
            "on_model",
            marks=pytest.mark.stock_fails(">=0.15", raises=(AssertionError, KeyError), match="LoRA inside|proj"),
        ),
        # before 0.16 this also finds the modules of PEFT around the model
        pytest.param("model", marks=pytest.mark.stock_fails(">=0.15", raises=KeyError, match="proj", left="<0.16")),
    ],
)
@pytest.mark.row("names: no tuner inside a saved module, however it is found")
def test_no_tuner_inside_a_saved_module(name: str, tmp_path: Path) -> None:
    plain = Kosmos()
    trained, loaded = reloaded(plain, config(name, target="proj", init_lora_weights=False), tmp_path)
    assert torch.equal(trained, loaded)
    assert [n for n, _ in plain.named_modules() if "vision_model" in n and "lora_" in n] == [], "LoRA inside"
    assert any("lora_A" in n for n, _ in plain.named_modules() if n.startswith("proj.")), "LoRA outside"


def said(*names: str, **options: object) -> list[str]:
    """The warnings about `modules_to_save` when these names are wrapped."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        get_peft_model(Net(), config(*names, **options))
    return [str(w.message) for w in caught if "modules_to_save" in str(w.message)]


@pytest.mark.stock_fails(">=0.15", raises=AssertionError, match="silent")
@pytest.mark.row("names: one that finds nothing is said")
def test_name_that_finds_nothing_is_said() -> None:
    messages = said("head", "heda", "dens")
    assert len(messages) == 1, "silent"
    assert "heda" in messages[0]
    assert "'head'" in messages[0]
    assert "dens" in messages[0]


@pytest.mark.row("names: those that find something are not said")
def test_name_that_finds_something_is_not_said() -> None:
    assert said("head", "ead", "proj") == []


class Classifier(Net):
    """A model for sequence classification with its own head."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {"model_type": "custom"}
        self.classifier = nn.Linear(6, 2)


@pytest.mark.parametrize("task", [TaskType.SEQ_CLS, TaskType.TOKEN_CLS, TaskType.QUESTION_ANS])
@pytest.mark.row("names: those that a task brings are not said")
def test_names_of_a_task_are_not_said(task: TaskType) -> None:
    class Model(Classifier):
        def prepare_inputs_for_generation(self) -> None: ...

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = get_peft_model(Model(), LoraConfig(task_type=task, target_modules=["dense"]))
    assert [str(w.message) for w in caught if "modules_to_save" in str(w.message)] == []
    assert isinstance(base_of(model), Model)


@pytest.mark.parametrize("indices", [{"emm": [1]}, {"emb": [1], "emm": [1]}], ids=["alone", "with another"])
@pytest.mark.row("names: trainable_token_indices that find nothing are refused")
def test_tokens_of_a_module_that_is_not_there(indices: dict[str, list[int]]) -> None:
    with pytest.raises(ValueError, match="emm"):
        get_peft_model(Net(), LoraConfig(target_modules=["dense"], trainable_token_indices=indices))
