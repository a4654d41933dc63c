"""Which module answers: the active adapter's copy, or the original when there is nothing active to answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.other import ModulesToSaveWrapper
from torch import Tensor

from .modules import NEEDS_X, Model, Recorder, Tower, aux_wrappers, shift, wrap

X = torch.arange(12.0).reshape(3, 4)
CALLS = [
    pytest.param(lambda w: w(pixel_values=X, pixel_position_ids=X), marks=[NEEDS_X], id="keywords"),
    pytest.param(lambda w: w(X, X), id="positional"),
    pytest.param(lambda w: w(X, pixel_position_ids=X), id="mixed"),
]
Call = Callable[[torch.nn.Module], Tensor]


def same(left: Tensor, right: Tensor) -> bool:
    """Equal to the last bit."""
    return torch.equal(left, right)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.row("passthrough: enable_adapters(False)")
def test_disabled_wrapper_calls_the_original(call: Call) -> None:
    wrapper = wrap(Tower())
    wrapper.enable_adapters(False)
    assert same(call(wrapper), call(wrapper.original_module))
    wrapper.enable_adapters(True)
    assert same(call(wrapper), call(wrapper.modules_to_save["default"]))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.stock_fails("<0.16", raises=(IndexError, TypeError), match="list index out of range|missing 1 required")
@pytest.mark.row("passthrough: no active adapter")
def test_no_active_adapter_calls_the_original(call: Call) -> None:
    wrapper = wrap(Tower())
    # What `set_adapter([])` and `delete_adapter` leave behind, in the releases that have them.
    wrapper._active_adapter = []
    assert same(call(wrapper), call(wrapper.original_module))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.row("passthrough: the active adapter is unknown")
def test_unknown_active_adapter_calls_the_original(call: Call) -> None:
    wrapper = wrap(Tower())
    wrapper._active_adapter = "elsewhere"
    assert same(call(wrapper), call(wrapper.original_module))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.row("second adapter")
def test_each_adapter_has_its_own_copy(call: Call) -> None:
    wrapper = wrap(Tower())
    wrapper.update("other")
    shift(wrapper.modules_to_save["other"])
    first, second = (call(wrapper.modules_to_save[name]) for name in ("default", "other"))
    assert not same(first, second)
    assert same(call(wrapper), first)
    wrapper.set_adapter("other")
    assert same(call(wrapper), second)
    wrapper.set_adapter("default")
    assert same(call(wrapper), first)


@NEEDS_X
@pytest.mark.row("passthrough: arguments unchanged and once")
def test_the_original_gets_the_arguments_unchanged_and_once() -> None:
    wrapper = wrap(Recorder(result := object()))
    wrapper.enable_adapters(False)
    assert wrapper(pixel_values=X, option=None) is result
    [(args, kwargs)] = wrapper.original_module.calls
    assert args == ()
    assert list(kwargs) == ["pixel_values", "option"]
    assert kwargs["pixel_values"] is X
    assert wrapper.modules_to_save["default"].calls == []


def model_with_two_adapters() -> PeftModel:
    """`default` has a tower and an embedding of its own, `other` just the embedding."""
    model = get_peft_model(Model(), LoraConfig(target_modules=["proj"], modules_to_save=["tower", "embed_tokens"]))
    model.add_adapter("other", LoraConfig(target_modules=["proj"], modules_to_save=["embed_tokens"]))
    for wrapper in aux_wrappers(model).values():
        assert isinstance(wrapper, ModulesToSaveWrapper)
        shift(wrapper.modules_to_save)
    return model


@NEEDS_X
@pytest.mark.row("passthrough: disable_adapter()")
def test_disable_adapter_gives_the_unwrapped_model() -> None:
    plain, batch = Model(), Model.batch()
    expected = plain(**batch)
    model = get_peft_model(plain, LoraConfig(target_modules=["proj"], modules_to_save=["tower", "embed_tokens"]))
    for wrapper in aux_wrappers(model).values():
        assert isinstance(wrapper, ModulesToSaveWrapper)
        shift(wrapper.modules_to_save)
    trained = model(**batch)
    with model.disable_adapter():
        base = model(**batch)
    assert same(base, expected)
    assert not same(base, trained)
    assert same(model(**batch), trained)


@NEEDS_X
@pytest.mark.row("second adapter")
def test_adapter_without_a_tower_uses_the_original_one() -> None:
    model, batch = model_with_two_adapters(), Model.batch()
    tower = aux_wrappers(model)["base_model.model.tower"]
    first = model(**batch)
    model.set_adapter("other")
    position = torch.zeros_like(batch["pixel_values"])
    expected = tower.original_module(batch["pixel_values"], position)
    assert same(tower(pixel_values=batch["pixel_values"], pixel_position_ids=position), expected)
    assert not same(model(**batch), first)
    model.set_adapter("default")
    assert same(model(**batch), first)


@NEEDS_X
@pytest.mark.row("second adapter")
def test_deleting_the_active_adapter_falls_back() -> None:
    if not hasattr(ModulesToSaveWrapper, "delete_adapter"):
        pytest.skip("PEFT before 0.16 cannot delete an adapter that has modules_to_save")
    model, batch = model_with_two_adapters(), Model.batch()
    model.set_adapter("other")
    expected = model(**batch)
    model.set_adapter("default")
    model.delete_adapter("default")
    assert model.active_adapters == ["other"]
    assert same(model(**batch), expected)
