"""What a patch of `forward` must not disturb: copies, pickles, names, `requires_grad`, hooks, and the class itself."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from collections.abc import Callable
from typing import Any

import peft.utils.other
import pytest
import torch
from accelerate.hooks import AlignDevicesHook, ModelHook, add_hook_to_module
from peft import LoraConfig, get_peft_model
from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper, TrainableTokensWrapper
from torch import nn

from .modules import NEEDS_X, Model, Tower, wrap, wrap_tokens

X = torch.arange(12.0).reshape(3, 4)
IDS = torch.tensor([[0, 1, 2], [3, 4, 1]])
BY_KEYWORD = {"pixel_values": X, "pixel_position_ids": X}


def saved_and_loaded(module: nn.Module) -> nn.Module:
    """A round trip through `torch.save` of the whole module."""
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


copies = pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), saved_and_loaded],
    ids=["deepcopy", "pickle", "torch.save"],
)


@copies
@pytest.mark.parametrize("by_keyword", [pytest.param(True, marks=[NEEDS_X]), False], ids=["keyword", "positional"])
@pytest.mark.row("kept: deepcopy and pickle")
def test_copies_of_a_wrapper(copied: Callable[[nn.Module], nn.Module], by_keyword: bool) -> None:
    wrapper = wrap(Tower())
    expected = wrapper.modules_to_save["default"](X, X)
    other = copied(wrapper)
    assert type(other) is ModulesToSaveWrapper
    assert torch.equal(other(**BY_KEYWORD) if by_keyword else other(X, X), expected)
    assert list(other.state_dict()) == list(wrapper.state_dict())
    assert [p.requires_grad for p in other.parameters()] == [p.requires_grad for p in wrapper.parameters()]


@copies
@pytest.mark.row("kept: deepcopy and pickle")
def test_copies_of_a_tokens_wrapper(copied: Callable[[nn.Module], nn.Module]) -> None:
    # Frozen, as in a model: before 0.21 the kept originals of trainable weights are no leaves, which deepcopy refuses.
    wrapper = wrap_tokens(nn.Embedding(6, 4).requires_grad_(False))
    assert torch.equal(copied(wrapper)(IDS), wrapper(IDS))


@pytest.mark.row("kept: state-dict keys")
def test_state_dict_keys() -> None:
    assert list(wrap(nn.Linear(2, 2)).state_dict()) == [
        "original_module.weight",
        "original_module.bias",
        "modules_to_save.default.weight",
        "modules_to_save.default.bias",
    ]
    assert sorted(wrap_tokens(nn.Embedding(6, 4)).state_dict()) == [
        "token_adapter.base_layer.weight",
        "token_adapter.trainable_tokens_delta.default",
    ]


@pytest.mark.row("kept: requires_grad")
def test_requires_grad(peft_installed: Any) -> None:
    wrapper = wrap(nn.Linear(2, 2))

    def flags() -> tuple[set[bool], set[bool]]:
        parts = (wrapper.original_module, wrapper.modules_to_save["default"])
        original, active = ({p.requires_grad for p in part.parameters()} for part in parts)
        return original, active

    assert flags() == ({False}, {True})
    wrapper.enable_adapters(False)
    # Stock 0.19.0 stopped to switch the original on.
    assert flags() == ({peft_installed.release.release < (0, 19)}, {False})
    wrapper.enable_adapters(True)
    assert flags() == ({False}, {True})


@NEEDS_X
@pytest.mark.row("kept: hooks")
def test_hooks_see_the_call_once() -> None:
    seen: list[Any] = []
    tower = Tower()
    wrapper = wrap(tower)
    for name, module in (("wrapper", wrapper), ("copy", wrapper.modules_to_save["default"]), ("original", tower)):
        module.register_forward_pre_hook(lambda m, a, k, n=name: seen.append((n, "pre", a, list(k))), with_kwargs=True)
        module.register_forward_hook(
            lambda m, a, k, out, n=name: seen.append((n, "post", a, list(k))), with_kwargs=True
        )
    wrapper(**BY_KEYWORD)
    names = list(BY_KEYWORD)
    assert seen == [
        ("wrapper", "pre", (), names),
        ("copy", "pre", (), names),
        ("copy", "post", (), names),
        ("wrapper", "post", (), names),
    ]


@NEEDS_X
@pytest.mark.row("kept: hooks")
def test_hooks_may_change_keywords_and_result() -> None:
    wrapper = wrap(Tower())
    expected = wrapper.modules_to_save["default"](X + 1, X) * 2
    wrapper.register_forward_pre_hook(lambda m, a, k: (a, {**k, "pixel_values": X + 1}), with_kwargs=True)
    wrapper.register_forward_hook(lambda m, a, out: out * 2)
    assert torch.equal(wrapper(**BY_KEYWORD), expected)


@NEEDS_X
@pytest.mark.row("kept: hooks")
def test_backward_hooks() -> None:
    seen: list[str] = []
    wrapper = wrap(Tower())
    wrapper.register_full_backward_hook(lambda m, grad_in, grad_out: seen.append("backward"))
    wrapper(**{**BY_KEYWORD, "pixel_values": X.clone().requires_grad_()}).sum().backward()
    assert seen == ["backward"]


class Doubling(ModelHook):
    """An accelerate hook that changes what comes out."""

    def post_forward(self, module: nn.Module, output: torch.Tensor) -> torch.Tensor:
        return output * 2


@NEEDS_X
@pytest.mark.row("kept: hooks")
def test_accelerate_hook_on_the_wrapper() -> None:
    wrapper = wrap(Tower())
    expected = wrapper(X, X)
    add_hook_to_module(wrapper, Doubling())
    assert torch.equal(wrapper(**BY_KEYWORD), expected * 2)


@NEEDS_X
@pytest.mark.row("kept: hooks")
def test_accelerate_hook_on_the_wrapped_module() -> None:
    tower = Tower()
    add_hook_to_module(tower, AlignDevicesHook(execution_device="cpu"))
    wrapper = wrap(tower)
    assert torch.equal(wrapper(**BY_KEYWORD), wrapper(X, X))


@NEEDS_X
@pytest.mark.row("kept: hooks")
def test_mixed_batch_with_an_accelerate_hook() -> None:
    linear = nn.Linear(4, 4)
    add_hook_to_module(linear, AlignDevicesHook(execution_device="cpu"))
    wrapper = wrap(linear)
    names = ["default", "__base__", "default"]
    assert torch.equal(wrapper(input=X, adapter_names=names), wrapper(X, adapter_names=names))


@pytest.mark.row("kept: attributes of the wrapped module")
def test_attributes_come_from_the_active_copy() -> None:
    wrapper = wrap(nn.Linear(2, 3))
    assert wrapper.out_features == 3
    assert wrapper.weight is wrapper.modules_to_save["default"].weight
    wrapper.enable_adapters(False)
    assert wrapper.weight is wrapper.original_module.weight
    with pytest.raises(AttributeError):
        _ = wrapper.nonsense


@pytest.mark.stock_fails("<0.20", raises=AssertionError, match="assert .*x: ")
@pytest.mark.row("by construction: forward is PEFT's own, once")
def test_forward_is_defined_once_in_peft() -> None:
    forward = AuxiliaryTrainingWrapper.forward
    assert str(inspect.signature(forward)).split(" ->")[0] == "(self, *args, **kwargs)"
    assert forward.__module__ == "peft.utils.other"
    assert forward.__qualname__ == "AuxiliaryTrainingWrapper.forward"
    assert forward.__code__.co_filename == peft.utils.other.__file__
    assert not hasattr(forward, "__wrapped__")
    assert forward.__closure__ is None


@pytest.mark.row("by construction: no subclass has a forward of its own")
@pytest.mark.parametrize("kind", [ModulesToSaveWrapper, TrainableTokensWrapper])
def test_subclasses_inherit_forward(kind: type[AuxiliaryTrainingWrapper]) -> None:
    assert "forward" not in vars(kind)
    assert kind.forward is AuxiliaryTrainingWrapper.forward


@pytest.mark.row("by construction: nothing is patched at run time")
def test_instances_carry_no_forward() -> None:
    model = get_peft_model(Model(), LoraConfig(target_modules=["proj"], modules_to_save=["tower"]))
    assert [name for name, module in model.named_modules() if "forward" in vars(module)] == []
