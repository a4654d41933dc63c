"""`W(*args, **kwargs)`: arguments and return values pass through `ModulesToSaveWrapper` unchanged and once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from .modules import NEEDS_X, KeywordOnly, Model, Recorder, Tower, own_error, wrap

X, POSITION = torch.arange(12.0).reshape(3, 4), torch.ones(3, 4)

X_BY_POSITION = pytest.mark.stock_fails("<0.20", raises=AssertionError, match="assert 1 == 0")


@dataclass
class Output:
    """A dataclass as return value; transformers' own outputs are like it."""

    last_hidden_state: Tensor


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        pytest.param((), {"pixel_values": X, "pixel_position_ids": POSITION}, marks=[NEEDS_X], id="keywords"),
        pytest.param((), {"x": X}, marks=[X_BY_POSITION], id="a keyword called x"),
        pytest.param((), {"input": X, "self_": 1}, marks=[NEEDS_X], id="keyword names of PEFT's own methods"),
        pytest.param((X,), {}, id="positional"),
        pytest.param((X, POSITION, 2.0), {}, id="several positional"),
        pytest.param((X,), {"pixel_position_ids": POSITION}, id="mixed"),
        pytest.param((None,), {"option": None}, id="None is handed on"),
        pytest.param((), {}, marks=[NEEDS_X], id="nothing"),
        pytest.param((), {"adapter": "a", "active_adapter": "b"}, marks=[NEEDS_X], id="adapter, active_adapter"),
    ],
)
@pytest.mark.row("forward: arguments reach the copy unchanged and once")
def test_arguments_reach_the_active_copy(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    wrapper = wrap(Recorder())
    wrapper(*args, **kwargs)
    [(seen_args, seen_kwargs)] = wrapper.modules_to_save["default"].calls
    assert wrapper.original_module.calls == []
    assert len(seen_args) == len(args)
    assert all(seen is given for seen, given in zip(seen_args, args, strict=True))
    assert list(seen_kwargs) == list(kwargs), "order and names"
    assert all(seen_kwargs[name] is kwargs[name] for name in kwargs)


@pytest.mark.parametrize("by_keyword", [pytest.param(True, marks=[NEEDS_X]), False], ids=["keyword", "positional"])
@pytest.mark.parametrize(
    "result",
    [X, (X, None), [X], {"a": X}, OrderedDict(a=X), Output(X), None, "text"],
    ids=["tensor", "tuple", "list", "dict", "OrderedDict", "dataclass", "None", "str"],
)
@pytest.mark.row("forward: the return value comes back unchanged")
def test_return_value_comes_back_unchanged(result: object, by_keyword: bool) -> None:
    wrapper = wrap(Recorder())
    wrapper.modules_to_save["default"].result = result
    assert (wrapper(pixel_values=X) if by_keyword else wrapper(X)) is result


@NEEDS_X
@pytest.mark.row("forward: keywords only")
@pytest.mark.parametrize("module", [Tower(), KeywordOnly()], ids=["tower", "keyword-only signature"])
def test_keywords_only_equal_the_copy_called_alone(module: nn.Module) -> None:
    wrapper = wrap(module)
    kwargs = {"inputs_embeds": X} if isinstance(module, KeywordOnly) else {"pixel_values": X, "pixel_position_ids": X}
    expected = wrapper.modules_to_save["default"](**kwargs)
    torch.testing.assert_close(wrapper(**kwargs), expected, rtol=0, atol=0)
    assert not torch.equal(expected, wrapper.original_module(**kwargs)), "the copy must differ for this test to count"


@pytest.mark.row("forward: mixed")
def test_mixed_equals_the_copy_called_alone() -> None:
    wrapper = wrap(Tower())
    expected = wrapper.modules_to_save["default"](X, POSITION, 3.0)
    for got in (wrapper(X, POSITION, scale=3.0), wrapper(X, scale=3.0, pixel_position_ids=POSITION)):
        torch.testing.assert_close(got, expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [nn.Linear, nn.LayerNorm])
@pytest.mark.row("forward: positional")
def test_positional_equals_the_copy_called_alone(kind: type[nn.Module]) -> None:
    wrapper = wrap(nn.Linear(4, 4) if kind is nn.Linear else nn.LayerNorm(4))
    torch.testing.assert_close(wrapper(X), wrapper.modules_to_save["default"](X), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("module", "args", "kwargs"),
    [
        pytest.param(nn.Linear(4, 4), (), {}, id="nothing to a Linear"),
        pytest.param(Tower(), (), {}, id="nothing to a tower"),
        pytest.param(Tower(), (), {"pixel_values": X}, id="one missing"),
        pytest.param(Tower(), (), {"pixel_value": X}, id="unknown keyword"),
        pytest.param(Tower(), (), {"x": X}, id="a keyword x that the module has not"),
    ],
)
@pytest.mark.stock_fails("<0.20", raises=AssertionError, match=r"M's own error")
@pytest.mark.row("forward: M's own error")
def test_rejected_arguments_give_the_modules_own_error(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    expected = own_error(module, *args, **kwargs)
    assert own_error(wrap(module), *args, **kwargs) == expected, "not M's own error"


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        pytest.param((X, POSITION), {"nonsense": 1}, id="unknown keyword"),
        pytest.param((X, POSITION), {"pixel_values": X}, id="given twice"),
        pytest.param((X, POSITION, 1.0, 2.0), {}, id="one too many"),
        pytest.param((torch.ones(3, 5), POSITION), {}, id="wrong shape"),
    ],
)
@pytest.mark.row("forward: M's own error")
def test_errors_of_a_positional_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    module = Tower()
    assert own_error(wrap(module), *args, **kwargs) == own_error(module, *args, **kwargs)


@NEEDS_X
@pytest.mark.row("forward: a PeftModel equals the unwrapped model, and trains")
def test_peft_model_equals_the_unwrapped_one_and_trains() -> None:
    model, batch = Model(), Model.batch()
    expected = model(**batch)
    peft_model = get_peft_model(model, LoraConfig(target_modules=["proj"], modules_to_save=["tower", "embed_tokens"]))
    torch.testing.assert_close(peft_model(**batch), expected, rtol=0, atol=0)

    trainable = {name: p for name, p in peft_model.named_parameters() if p.requires_grad}
    assert sum("modules_to_save.default" in name for name in trainable) == 5, "the tower's four, the embedding's one"
    before = {name: p.detach().clone() for name, p in trainable.items()}
    optimizer = torch.optim.SGD(trainable.values(), lr=0.1)
    for _ in range(2):  # LoRA's A gets a gradient only once B is no longer zero
        optimizer.zero_grad()
        peft_model(**batch).pow(2).mean().backward()
        optimizer.step()
    assert [name for name, p in trainable.items() if torch.equal(p, before[name])] == []
