"""Subclasses of the wrapper by others: those written like ours, and those written for stock's `(self, x, ...)`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper, TrainableTokensWrapper
from torch import Tensor, nn

from .modules import NEEDS_X, Tower

X = torch.arange(12.0).reshape(3, 4)
NAMES = ["default", "__base__", "default"]


class _Gain(AuxiliaryTrainingWrapper):
    """A direct subclass that trains one factor for each adapter; its hooks are in the subclasses below."""

    adapter_layer_names = ("gains",)

    def init_modules(self, adapter_name: str, **kwargs: Any) -> None:
        self.gains = nn.ParameterDict({})

    def update(self, adapter_name: str, **kwargs: Any) -> None:
        super().update(adapter_name)
        self.gains[adapter_name] = nn.Parameter(torch.tensor(3.0))

    def _get_available_adapters(self) -> set[str]:
        return set(self.gains.keys())

    def gain(self, name: str = "default") -> Tensor:
        return self.gains[name]


class Gain(_Gain):
    """Its hooks hand any arguments on, as the contract has it."""

    def _forward_wrapped(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.gain() * self.original_module(*args, **kwargs)

    def _forward_wrapped_mixed_batch(self, x: Tensor, active_adapter: str, *args: Any, **kwargs: Any) -> Tensor:
        return self.gain(active_adapter) * self.original_module(x, *args, **kwargs)

    def _forward_wrapped_passthrough(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.original_module(*args, **kwargs)

    _forward_wrapped_disabled = _forward_wrapped_passthrough  # the name in 0.15


class ThirdPartyGain(_Gain):
    """Its hooks were written against stock's signatures."""

    def _check_forward_args(self, x: Tensor, *args: Any, **kwargs: Any) -> None:
        super()._check_forward_args(x, *args, **kwargs)
        assert isinstance(x, Tensor)

    def _forward_wrapped(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self.gain() * self.original_module(x, *args, **kwargs)

    def _forward_wrapped_mixed_batch(self, x: Tensor, active_adapter: str, *args: Any, **kwargs: Any) -> Tensor:
        return self.gain(active_adapter) * self.original_module(x, *args, **kwargs)

    def _forward_wrapped_passthrough(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self.original_module(x, *args, **kwargs)

    _forward_wrapped_disabled = _forward_wrapped_passthrough


class ThirdPartyForward(ThirdPartyGain):
    """Overrides `forward` itself, with stock's signature."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return super().forward(x, *args, **kwargs) + 1


class ThirdPartyToSave(ModulesToSaveWrapper):
    """A subclass of ours whose hooks were written against stock's signatures."""

    seen = 0

    def _forward_wrapped(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        self.seen += 1
        return super()._forward_wrapped(x, *args, **kwargs)


class ThirdPartyTokens(TrainableTokensWrapper):
    """The same for the trainable tokens."""

    def _forward_wrapped(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return super()._forward_wrapped(x, *args, **kwargs)

    def _forward_wrapped_mixed_batch(self, x: Tensor, active_adapter: str, *args: Any, **kwargs: Any) -> Tensor:
        return super()._forward_wrapped_mixed_batch(x, active_adapter, *args, **kwargs)


class RowByRow(ModulesToSaveWrapper):
    """Its own mixed batches, for a type that PEFT does not support."""

    def _mixed_batch_forward(
        self, pixel_values: Tensor, *args: Any, adapter_names: list[str], **kwargs: Any
    ) -> Tensor:
        modules = {"__base__": self.original_module, **self.modules_to_save}
        rows = [modules[name](row, *args, **kwargs) for name, row in zip(adapter_names, pixel_values, strict=True)]
        return torch.stack(rows)


class ByName(ModulesToSaveWrapper):
    """Calls PEFT's method with a keyword."""

    def _mixed_batch_forward(self, input: Tensor, *args: Any, adapter_names: list[str], **kwargs: Any) -> Tensor:
        return super()._mixed_batch_forward(input=input, adapter_names=adapter_names, **kwargs)


@pytest.mark.row("subclass: third-party mixed batches")
def test_overridden_mixed_batch_decides_for_itself() -> None:
    wrapper = RowByRow(Tower(), "default")
    with torch.no_grad():
        wrapper.modules_to_save["default"].linear.bias.add_(torch.arange(4.0))
    zeros = torch.zeros(4)
    mixed = wrapper(X, zeros, adapter_names=NAMES)
    torch.testing.assert_close(mixed[1], wrapper.original_module(X, zeros)[1])
    torch.testing.assert_close(mixed[::2], wrapper.modules_to_save["default"](X, zeros)[::2])
    assert not torch.allclose(mixed[0], wrapper.original_module(X, zeros)[0])
    for enabled in (True, False):
        wrapper._disable_adapters = not enabled
        with pytest.raises(ValueError, match="Length of `adapter_names`"):
            wrapper(X, zeros, adapter_names=NAMES[:2])


@NEEDS_X
@pytest.mark.row("subclass: third-party mixed batches")
def test_overridden_mixed_batch_gets_keywords_unchanged() -> None:
    wrapper = RowByRow(Tower(), "default")
    zeros = torch.zeros(4)
    mixed = wrapper(pixel_values=X, pixel_position_ids=zeros, adapter_names=NAMES)
    torch.testing.assert_close(mixed, wrapper(X, zeros, adapter_names=NAMES))


@pytest.mark.parametrize("by_keyword", [pytest.param(True, marks=[NEEDS_X]), False], ids=["keyword", "position"])
@pytest.mark.row("subclass: third-party mixed batches")
def test_mixed_batch_method_takes_its_input_by_name(by_keyword: bool) -> None:
    module = nn.Linear(4, 4)
    wrapper = ByName(module, "default")
    got = wrapper(input=X, adapter_names=NAMES) if by_keyword else wrapper(X, adapter_names=NAMES)
    torch.testing.assert_close(got, module(X))


@pytest.mark.row("subclass: direct, by position")
@pytest.mark.parametrize("kind", [Gain, ThirdPartyGain])
def test_positional(kind: type[_Gain]) -> None:
    module = nn.Linear(4, 4)
    wrapper, expected = kind(module, "default"), module(X)
    assert torch.equal(wrapper(X), 3 * expected)
    mixed = wrapper(X, adapter_names=NAMES)
    torch.testing.assert_close(mixed, torch.stack([3 * expected[0], expected[1], 3 * expected[2]]))
    with pytest.raises(ValueError, match="Length of `adapter_names`"):
        wrapper(X, adapter_names=NAMES[:2])
    wrapper.enable_adapters(False)
    assert torch.equal(wrapper(X), expected)


@pytest.mark.row("subclass: direct, by position")
@pytest.mark.parametrize("kind", [Gain, ThirdPartyGain])
def test_mixed(kind: type[_Gain]) -> None:
    module = Tower()
    assert torch.equal(kind(module, "default")(X, pixel_position_ids=X), 3 * module(X, X))


@NEEDS_X
@pytest.mark.row("subclass: direct, by keyword")
def test_keywords_only() -> None:
    module = Tower()
    wrapper, expected = Gain(module, "default"), module(X, X)
    assert torch.equal(wrapper(pixel_values=X, pixel_position_ids=X), 3 * expected)
    wrapper.enable_adapters(False)
    assert torch.equal(wrapper(pixel_values=X, pixel_position_ids=X), expected)


@pytest.mark.parametrize(
    "kind",
    [
        Gain,
        pytest.param(
            ThirdPartyGain,
            # its `_check_forward_args` asks for a positional `x`
            marks=pytest.mark.stock_fails(">=0.20", raises=TypeError, match="positional argument: 'x'"),
        ),
    ],
    ids=["Gain", "third-party"],
)
@NEEDS_X
@pytest.mark.row("subclass: direct, mixed batch by keyword")
def test_mixed_batch_by_keyword(kind: type[_Gain]) -> None:
    module = nn.Linear(4, 4)
    wrapper = kind(module, "default")
    assert torch.equal(wrapper(input=X, adapter_names=NAMES), wrapper(X, adapter_names=NAMES))


@pytest.mark.row("subclass: third-party forward(self, x, ...)")
def test_overridden_forward() -> None:
    module = nn.Linear(4, 4)
    wrapper, expected = ThirdPartyForward(module, "default"), module(X)
    assert torch.equal(wrapper(X), 3 * expected + 1)
    assert torch.equal(wrapper(x=X), 3 * expected + 1)
    wrapper.enable_adapters(False)
    assert torch.equal(wrapper(X), expected + 1)


@pytest.mark.row("subclass: third-party hooks on ModulesToSaveWrapper")
def test_overridden_hook_of_modules_to_save() -> None:
    wrapper = ThirdPartyToSave(Tower(), "default")
    assert torch.equal(wrapper(X, X), wrapper.original_module(X, X))
    assert torch.equal(wrapper(X, pixel_position_ids=X), wrapper.original_module(X, X))
    assert wrapper.seen == 2


@pytest.mark.row("subclass: third-party hooks on TrainableTokensWrapper")
def test_overridden_hooks_of_trainable_tokens() -> None:
    ids = torch.tensor([[0, 1], [2, 3], [1, 1]])
    embedding = nn.Embedding(6, 4)
    wrapper = ThirdPartyTokens(embedding, "default", token_indices=[1])
    assert torch.equal(wrapper(ids), embedding(ids))
    assert torch.equal(wrapper(ids, adapter_names=NAMES), embedding(ids))
    with torch.no_grad():
        wrapper.token_adapter.trainable_tokens_delta["default"].add_(1)
    assert not torch.equal(wrapper(ids), embedding(ids))
