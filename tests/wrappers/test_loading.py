"""What is saved of a wrapped module comes back, whatever the modules and the adapters are called."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import Tensor, nn

from .heads import Net, config, reloaded, trainable, two_adapters, wrapper
from .modules import IDS, shift, train


@pytest.mark.parametrize("low_cpu_mem_usage", [False, True], ids=["", "low_cpu_mem_usage"])
@pytest.mark.stock_fails("==0.18.*", raises=IndexError, match="list index out of range")
@pytest.mark.row("load: a second adapter brings its own module")
def test_second_adapter_brings_its_own_module(low_cpu_mem_usage: bool, tmp_path: Path) -> None:
    plain = Net()
    fresh = copy.deepcopy(plain)
    model = get_peft_model(plain, config("head"))
    train(model)
    model.save_pretrained(tmp_path)
    other = get_peft_model(fresh, config())
    other.load_adapter(tmp_path, "other", low_cpu_mem_usage=low_cpu_mem_usage)
    # a wrapper is asked for attributes of the module, also while none of its adapters is active
    assert wrapper(other).weight.shape == (6, 4)
    other.set_adapter("other")
    torch.testing.assert_close(other(IDS), model(IDS))


@pytest.mark.stock_fails(">=0.15.1", raises=KeyError, match="trainable_tokens_delta")
@pytest.mark.row("load: an adapter without trained tokens beside one that has them")
def test_adapters_with_and_without_trained_tokens(tmp_path: Path) -> None:
    plain = Net()
    model = get_peft_model(copy.deepcopy(plain), config("head", trainable_token_indices={"emb": [1, 3]}))
    train(model)
    model.add_adapter("other", config("head", init_lora_weights=False))
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(plain, tmp_path / "other", "other")
    loaded.load_adapter(tmp_path, "default")
    for name in ("default", "other"):
        model.set_adapter(name)
        loaded.set_adapter(name)
        torch.testing.assert_close(loaded(IDS), model(IDS))


class LoraNamed(nn.Module):
    """A model with a module of its own whose name holds LoRA's prefix."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(6, 4)
        self.dense = nn.Linear(4, 4)
        self.lora_head = nn.Linear(4, 6)

    def forward(self, ids: Tensor) -> Tensor:
        return self.lora_head(self.dense(self.emb(ids)))


@pytest.mark.stock_fails("<0.21", raises=AssertionError, match="not restored")
@pytest.mark.row("load: a saved module whose name holds lora_")
def test_name_with_the_prefix_of_lora_is_restored(tmp_path: Path) -> None:
    trained, loaded = reloaded(LoraNamed(), config("lora_head"), tmp_path)
    assert torch.equal(trained, loaded), "not restored"


@pytest.mark.stock_fails("<0.21", raises=AssertionError, match="the base model trains", left="<0.21")
@pytest.mark.row("freeze: a base module whose name holds lora_")
def test_name_with_the_prefix_of_lora_is_frozen() -> None:
    model = get_peft_model(LoraNamed(), config())
    assert trainable(model, "lora_head") == set(), "the base model trains"


class Default(nn.Module):
    """Holds a module that is called like the adapter."""

    def __init__(self) -> None:
        super().__init__()
        self.default = nn.Linear(4, 6)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.default(hidden)


class Inside(nn.Module):
    """A model inside one whose name is that of the adapter."""

    def __init__(self) -> None:
        super().__init__()
        self.default = Net()

    def forward(self, ids: Tensor) -> Tensor:
        return self.default(ids)


@pytest.mark.stock_fails("<0.18", raises=KeyError, match="default.head.weight", left="<0.18")
@pytest.mark.row("load: a module on the path is called like the adapter")
def test_module_on_the_path_is_called_like_the_adapter(tmp_path: Path) -> None:
    trained, loaded = reloaded(Inside(), config("head"), tmp_path)
    assert torch.equal(trained, loaded)


@pytest.mark.stock_fails(">=0.15", raises=KeyError, match="head.default.weight", left=">=0.15")
@pytest.mark.row("load: a module inside is called like the adapter")
def test_module_inside_is_called_like_the_adapter(tmp_path: Path) -> None:
    trained, loaded = reloaded(Net(head=Default()), config("head"), tmp_path)
    assert torch.equal(trained, loaded)


@pytest.mark.stock_fails(">=0.18,<0.21", raises=AssertionError, match="no longer trains", left=">=0.18,<0.21")
@pytest.mark.row("load: the adapter that trains goes on training")
def test_loading_another_adapter_leaves_the_active_one_trainable(tmp_path: Path) -> None:
    model = get_peft_model(Net(), config("head"))
    model.save_pretrained(tmp_path)
    before = trainable(model)
    model.load_adapter(tmp_path, "reference")
    assert before - trainable(model) == set(), "no longer trains"


@pytest.mark.stock_fails("<0.18", raises=AssertionError, match="trains though", left="<0.18")
@pytest.mark.row("load: for inference")
def test_loaded_for_inference_is_frozen(tmp_path: Path) -> None:
    plain = Net()
    fresh = copy.deepcopy(plain)
    get_peft_model(plain, config("head")).save_pretrained(tmp_path)
    assert trainable(PeftModel.from_pretrained(fresh, tmp_path)) == set(), "trains though it is for inference"


@pytest.mark.stock_fails("<0.18", raises=AssertionError, match="active at once")
@pytest.mark.row("add: a new adapter's copy waits until it is made active")
def test_new_adapter_is_not_active() -> None:
    model = get_peft_model(Net(), config())
    before = model(IDS)
    model.add_adapter("other", config("head"))
    shift(wrapper(model).modules_to_save["other"])
    assert torch.equal(model(IDS), before), "active at once"


@pytest.mark.stock_fails("<0.16", raises=AssertionError, match="still there", left="<0.16")
@pytest.mark.row("delete: the copy goes with its adapter")
def test_deleted_adapter_leaves_no_copy() -> None:
    model = get_peft_model(Net(), config("head"))
    model.add_adapter("other", config("head"))
    model.delete_adapter("other")
    assert "other" not in wrapper(model).modules_to_save, "still there"


DELETED = pytest.mark.row("delete: the adapter that becomes active, whole")
# 0.15 does not delete the adapter's copies and rows
NOT_DELETED = pytest.mark.stock_fails("<0.16", raises=KeyError, match="'other'|'default'", left="<0.16")
TOKENS = {"trainable_token_indices": {"emb": [1, 3]}}


@pytest.mark.stock_fails(">=0.16", raises=AssertionError, match="the original instead")
@NOT_DELETED
@DELETED
def test_adapter_that_becomes_active_by_deletion() -> None:
    model = two_adapters(config("head"), config())
    expected = model(IDS)
    model.set_adapter("other")
    model.delete_adapter("other")
    assert model.active_adapters == ["default"]
    assert torch.equal(model(IDS), expected), "the original instead of the copy"
    assert trainable(model, "modules_to_save.default")


@pytest.mark.stock_fails(">=0.16,<0.19", raises=AssertionError, match="the original instead")
@NOT_DELETED
@DELETED
def test_adapter_with_rows_that_becomes_active_by_deletion() -> None:
    model = two_adapters(config(**TOKENS), config())
    shift(model.get_submodule("base_model.model.emb.token_adapter.trainable_tokens_delta"))
    expected = model(IDS)
    model.set_adapter("other")
    model.delete_adapter("other")
    assert torch.equal(model(IDS), expected), "the original instead of the adapter's rows"


@pytest.mark.stock_fails(">=0.16", raises=AssertionError, match="third adapter's rows")
@NOT_DELETED
@DELETED
def test_adapter_without_rows_that_becomes_active_by_deletion() -> None:
    model = two_adapters(config(**TOKENS), config())
    model.add_adapter("third", config(**TOKENS))
    shift(model.get_submodule("base_model.model.emb.token_adapter.trainable_tokens_delta"))
    model.set_adapter("other")
    expected = model(IDS)
    model.set_adapter("default")
    model.delete_adapter("default")
    assert model.active_adapters == ["other"]
    assert torch.equal(model(IDS), expected), "a third adapter's rows"


@NOT_DELETED
@DELETED
def test_deletion_does_not_enable_adapters() -> None:
    model = two_adapters(config("head"), config())
    model.set_adapter("other")
    with model.disable_adapter():
        expected = model(IDS)
        model.delete_adapter("other")
        assert torch.equal(model(IDS), expected)
