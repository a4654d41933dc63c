"""`adapter_names`: one batch, several adapters, with the batch input by position or by keyword."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.utils.other import ModulesToSaveWrapper
from torch import Tensor, nn

from .modules import NEEDS_X, Recorder, ScaledEmbedding, Tower, aux_wrappers, shift, wrap, wrap_tokens

NAMES = ["default", "__base__", "other"]
IDS = torch.tensor([[0, 1, 2], [3, 4, 1], [3, 3, 0]])
LENGTH = r"Length of `adapter_names` should be the same as the number of inputs, but got {} and 3 respectively"
SUPPORTED = "Mixed batching is only supported for the following modules: Linear, Embedding, Conv1d, Conv2d, Conv3d"


class Projector(nn.Linear):
    """A supported layer whose own parameter is not called `input`."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        return super().forward(hidden_states)


# `input=` happens to be the name of PEFT's own parameter, so stock takes it from 0.20.0 on; other names never.
BROKEN_SINCE = pytest.mark.stock_fails(">=0.20", raises=TypeError, match="missing 1 required positional .* 'input'")
LAYERS = [
    pytest.param(lambda: nn.Linear(4, 2), "input", (3, 4), marks=[NEEDS_X], id="Linear"),
    pytest.param(lambda: nn.Embedding(6, 4), "input", IDS, marks=[NEEDS_X], id="Embedding"),
    pytest.param(lambda: nn.Conv1d(2, 3, 2), "input", (3, 2, 5), marks=[NEEDS_X], id="Conv1d"),
    pytest.param(lambda: nn.Conv2d(2, 3, 2), "input", (3, 2, 5, 5), marks=[NEEDS_X], id="Conv2d"),
    pytest.param(lambda: nn.Conv3d(2, 3, 2), "input", (3, 2, 5, 5, 5), marks=[NEEDS_X], id="Conv3d"),
    pytest.param(
        lambda: ScaledEmbedding(6, 4), "input_ids", IDS, marks=[NEEDS_X, BROKEN_SINCE], id="scaled embedding"
    ),
    pytest.param(
        lambda: Projector(4, 2), "hidden_states", (3, 4), marks=[NEEDS_X, BROKEN_SINCE], id="Linear's subclass"
    ),
]
layers = pytest.mark.parametrize(("make", "keyword", "value"), LAYERS)


def two_adapters(module: nn.Module) -> ModulesToSaveWrapper:
    """`module` wrapped for `default` and `other`, each trained."""
    wrapper = wrap(module)
    wrapper.update("other")
    shift(wrapper.modules_to_save["other"])
    return wrapper.eval()


def batch(value: Tensor | tuple[int, ...]) -> Tensor:
    """An input of that shape, or the one given."""
    return value if isinstance(value, Tensor) else torch.randn(value)


def by_hand(wrapper: ModulesToSaveWrapper, value: Tensor) -> Tensor:
    """What `NAMES` must give: each sample through its own module."""
    modules = {"__base__": wrapper.original_module, **wrapper.modules_to_save}
    return torch.cat([modules[name](value[i : i + 1]) for i, name in enumerate(NAMES)])


@layers
@pytest.mark.row("adapter_names: batch input by keyword")
def test_keyword_equals_positional(make: Any, keyword: str, value: Any) -> None:
    wrapper, value = two_adapters(make()), batch(value)
    expected = wrapper(value, adapter_names=NAMES)
    torch.testing.assert_close(expected, by_hand(wrapper, value))
    assert torch.equal(wrapper(**{keyword: value}, adapter_names=NAMES), expected)


@pytest.mark.row("adapter_names: batch input by position")
@pytest.mark.parametrize("kind", ["Linear", "Embedding", "Conv2d"])
def test_positional(kind: str) -> None:
    make, value = {
        "Linear": (lambda: nn.Linear(4, 2), torch.randn(3, 4)),
        "Embedding": (lambda: nn.Embedding(6, 4), IDS),
        "Conv2d": (lambda: nn.Conv2d(2, 3, 2), torch.randn(3, 2, 5, 5)),
    }[kind]
    wrapper = two_adapters(make())
    torch.testing.assert_close(wrapper(value, adapter_names=NAMES), by_hand(wrapper, value))


# What comes of it instead, deep inside the mixed batch.
NO_LENGTH_CHECK = pytest.mark.stock_fails(
    ">=0.20",
    raises=(TypeError, IndexError),
    match="expected Tensor as element . in argument 0|index 3 is out of bounds",
)


@pytest.mark.parametrize("names", [NAMES[:2], [*NAMES, "other"], []], ids=["too few", "too many", "none"])
@pytest.mark.parametrize(
    "by_keyword",
    [
        pytest.param(False, id="positional"),
        pytest.param(
            True,
            id="keyword",
            marks=[
                NEEDS_X,
                NO_LENGTH_CHECK,
            ],
        ),
    ],
)
@pytest.mark.row("adapter_names: length check")
def test_length_check(names: list[str], by_keyword: bool) -> None:
    wrapper, value = two_adapters(nn.Linear(4, 2)), torch.randn(3, 4)
    with pytest.raises(ValueError, match=LENGTH.format(len(names))):
        wrapper(adapter_names=names, input=value) if by_keyword else wrapper(value, adapter_names=names)


# Stock looks for a positional argument before it looks at the type.
NOT_THE_TYPE = pytest.mark.stock_fails(">=0.15", raises=AssertionError, match="Regex pattern did not match")
NOT_THE_TYPE_0_19 = pytest.mark.stock_fails("<0.20", raises=AssertionError, match="Regex pattern did not match")
X = torch.ones(3, 4)


@pytest.mark.parametrize(
    ("module", "call"),
    [
        pytest.param(nn.LayerNorm(4), lambda w: w(X, adapter_names=NAMES), id="positional"),
        pytest.param(Tower(), lambda w: w(X, X, adapter_names=NAMES), id="two positional"),
        pytest.param(
            nn.LayerNorm(4), lambda w: w(input=X, adapter_names=NAMES), marks=[NOT_THE_TYPE_0_19], id="input="
        ),
        pytest.param(
            Tower(),
            lambda w: w(pixel_values=X, pixel_position_ids=X, adapter_names=NAMES),
            marks=[NOT_THE_TYPE],
            id="keywords",
        ),
        pytest.param(
            Tower(),
            lambda w: w(X, pixel_position_ids=X, adapter_names=NAMES),
            id="mixed",
        ),
        pytest.param(Recorder(), lambda w: w(adapter_names=NAMES), marks=[NOT_THE_TYPE], id="nothing"),
    ],
)
@pytest.mark.row("adapter_names: unsupported type")
def test_unsupported_type(module: nn.Module, call: Callable[[nn.Module], object]) -> None:
    wrapper = two_adapters(module)
    with pytest.raises(TypeError, match=SUPPORTED):
        call(wrapper)


@pytest.mark.row("adapter_names: length check")
@pytest.mark.parametrize("enabled", [True, False], ids=["active", "disabled"])
@pytest.mark.parametrize("names", [NAMES[:2], [*NAMES, "other"], []], ids=["too few", "too many", "none"])
@pytest.mark.parametrize("kind", ["LayerNorm", "Tower", "Linear"])
def test_length_of_a_positional_input_is_checked_for_every_type(kind: str, names: list[str], enabled: bool) -> None:
    module = {"LayerNorm": nn.LayerNorm(4), "Tower": Tower(), "Linear": nn.Linear(4, 4)}[kind]
    wrapper = two_adapters(module)
    wrapper.enable_adapters(enabled)
    with pytest.raises(ValueError, match=LENGTH.format(len(names))):
        wrapper(X, X, adapter_names=names) if kind == "Tower" else wrapper(X, adapter_names=names)


# There is no check of a keyword's length, so the original answers.
RUNS = pytest.mark.stock_fails(">=0.20", raises=pytest.fail.Exception, match="DID NOT RAISE")


@layers
@RUNS
@pytest.mark.row("adapter_names: length check")
def test_length_of_a_keyword_is_checked_while_disabled(make: Any, keyword: str, value: Any) -> None:
    wrapper, value = two_adapters(make()), batch(value)
    wrapper.enable_adapters(False)
    with pytest.raises(ValueError, match=LENGTH.format(2)):
        wrapper(**{keyword: value}, adapter_names=NAMES[:2])


@NEEDS_X
@pytest.mark.row("adapter_names: batch input by keyword")
def test_keyword_input_is_taken_as_in_stock_whatever_the_layer_calls_it() -> None:
    wrapper = two_adapters(ScaledEmbedding(6, 4))
    assert torch.equal(wrapper(input=IDS, adapter_names=NAMES), wrapper(IDS, adapter_names=NAMES))


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [({"hidden_states": X}, ["input", "hidden_states"]), ({"a": X, "b": X}, ["input", "a", "b"]), ({}, ["input"])],
    ids=["another keyword", "two other keywords", "nothing at all"],
)
@pytest.mark.stock_fails(">=0.15", raises=AssertionError, match="says nothing of|an internal name")
@pytest.mark.row("adapter_names: no batch input")
def test_no_batch_input(kwargs: dict[str, Tensor], words: list[str]) -> None:
    wrapper = two_adapters(nn.Linear(4, 2))
    with pytest.raises(TypeError) as caught:
        wrapper(**kwargs, adapter_names=NAMES)
    for word in words:
        assert re.search(rf"\b{word}\b", str(caught.value)), f"{caught.value} says nothing of {word}"
    assert "_mixed_batch_forward" not in str(caught.value), "an internal name"


@pytest.mark.parametrize("by_keyword", [pytest.param(True, marks=[NEEDS_X]), False], ids=["keyword", "position"])
@pytest.mark.row("adapter_names: ignored when disabled")
def test_disabled_wrapper_ignores_adapter_names(by_keyword: bool) -> None:
    wrapper = two_adapters(nn.Linear(4, 2))
    wrapper.enable_adapters(False)
    got = wrapper(input=X, adapter_names=NAMES) if by_keyword else wrapper(X, adapter_names=NAMES)
    assert torch.equal(got, wrapper.original_module(X))


@pytest.mark.parametrize("by_keyword", [pytest.param(True, marks=[NEEDS_X]), False], ids=["keyword", "position"])
@pytest.mark.row("adapter_names: ignored when disabled")
def test_disabled_wrapper_of_an_unsupported_type_ignores_adapter_names(by_keyword: bool) -> None:
    wrapper = two_adapters(Tower())
    wrapper.enable_adapters(False)
    if by_keyword:
        got = wrapper(pixel_values=X, pixel_position_ids=X, adapter_names=NAMES)
    else:
        got = wrapper(X, X, adapter_names=NAMES)
    assert torch.equal(got, wrapper.original_module(X, X))


class RecordingLinear(Recorder, nn.Linear):
    """A supported layer that shows how it was called."""

    def __init__(self) -> None:
        nn.Linear.__init__(self, 4, 4)
        self.result, self.calls = None, []


@NEEDS_X
@pytest.mark.parametrize("kind", [RecordingLinear, Recorder])
@pytest.mark.row("passthrough: arguments unchanged and once")
def test_the_original_gets_the_arguments_unchanged_while_disabled(kind: type[Recorder]) -> None:
    wrapper = two_adapters(kind())
    wrapper.enable_adapters(False)
    wrapper(input=X, option=None, adapter_names=NAMES)
    [(args, kwargs)] = wrapper.original_module.calls
    assert args == ()
    assert list(kwargs) == ["input", "option"]
    assert kwargs["input"] is X


@pytest.mark.row("forward: adapter_names=None is no mixed batch")
@pytest.mark.parametrize("by_keyword", [pytest.param(True, marks=[NEEDS_X]), False], ids=["keyword", "position"])
def test_adapter_names_none(by_keyword: bool) -> None:
    wrapper = two_adapters(nn.LayerNorm(4))
    got = wrapper(input=X, adapter_names=None) if by_keyword else wrapper(X, adapter_names=None)
    assert torch.equal(got, wrapper.modules_to_save["default"](X))


@pytest.mark.parametrize(
    ("make", "keyword", "value"),
    [
        pytest.param(lambda: nn.Embedding(6, 4), "input", IDS, id="Embedding"),
        pytest.param(lambda: ScaledEmbedding(6, 4), "input_ids", IDS, id="scaled embedding"),
    ],
)
@NEEDS_X
@pytest.mark.stock_fails(">=0.20", raises=TypeError, match="argument: 'input'|expected Tensor as element 2")
@pytest.mark.row("trainable tokens: mixed batch")
def test_trainable_tokens(make: Any, keyword: str, value: Tensor) -> None:
    wrapper = wrap_tokens(make())
    wrapper.update("other", token_indices=[0, 2], tied_adapter=None)
    with torch.no_grad():
        wrapper.token_adapter.trainable_tokens_delta["other"].sub_(1.0)
    wrapper.eval()
    expected = wrapper(value, adapter_names=NAMES)
    assert len({tuple(row.flatten().tolist()) for row in expected}) == 3
    assert torch.equal(wrapper(**{keyword: value}, adapter_names=NAMES), expected)
    with pytest.raises(ValueError, match=LENGTH.format(2)):
        wrapper(**{keyword: value}, adapter_names=NAMES[:2])


class Lookup(nn.Module):
    """A model that calls its embedding and its head by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = ScaledEmbedding(6, 4)
        self.proj = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(input=self.proj(self.embed_tokens(input_ids=ids)))


@NEEDS_X
@BROKEN_SINCE
@pytest.mark.row("adapter_names: end to end")
def test_end_to_end() -> None:
    config = LoraConfig(target_modules=["proj"], modules_to_save=["embed_tokens", "head"], init_lora_weights=False)
    model = get_peft_model(Lookup(), config)
    model.add_adapter("other", config)
    for wrapper in aux_wrappers(model).values():
        assert isinstance(wrapper, ModulesToSaveWrapper)
        shift(wrapper.modules_to_save)
    model.eval()
    rows = []
    for i, name in enumerate(NAMES):
        if name == "__base__":
            with model.disable_adapter():
                rows.append(model(IDS[i : i + 1]))
        else:
            model.set_adapter(name)
            rows.append(model(IDS[i : i + 1]))
    torch.testing.assert_close(model(IDS, adapter_names=NAMES), torch.cat(rows))
