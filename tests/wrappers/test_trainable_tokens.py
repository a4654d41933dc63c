"""`TrainableTokensWrapper` by keyword equals the positional call, whatever its state."""

from __future__ import annotations

import functools
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.other import TrainableTokensWrapper
from torch import Tensor, nn

from .modules import NEEDS_X, TOKENS_NEED_X, ScaledEmbedding, own_error, wrap_tokens

IDS = torch.tensor([[0, 1, 2], [3, 4, 1], [3, 3, 0]])
HIDDEN = torch.arange(24.0).reshape(2, 3, 4)
NAMES = ["default", "__base__"]

# A module, the keyword that its own forward uses for the input, and an input.
WRAPPED = [
    pytest.param(lambda: nn.Embedding(6, 4), "input", IDS, id="Embedding"),
    pytest.param(lambda: nn.Embedding(6, 4, padding_idx=1), "input", IDS, id="Embedding with padding_idx"),
    pytest.param(lambda: ScaledEmbedding(6, 4), "input_ids", IDS, id="scaled embedding, input_ids"),
]
wrapped = pytest.mark.parametrize(("make", "keyword", "value"), WRAPPED)


@wrapped
@TOKENS_NEED_X
@pytest.mark.row("trainable tokens: active")
def test_active(make: Any, keyword: str, value: Tensor) -> None:
    wrapper = wrap_tokens(make())
    expected = wrapper(value)
    assert not torch.equal(expected, wrapper.original_module(value)), "the trained rows must show"
    assert torch.equal(wrapper(**{keyword: value}), expected)


@wrapped
@TOKENS_NEED_X
@pytest.mark.row("trainable tokens: disabled, none active, unknown")
def test_passthrough(make: Any, keyword: str, value: Tensor) -> None:
    wrapper = wrap_tokens(make())
    original = wrapper.original_module(value)
    wrapper.enable_adapters(False)
    assert torch.equal(wrapper(value), original)
    assert torch.equal(wrapper(**{keyword: value}), original)
    wrapper.enable_adapters(True)
    wrapper.token_adapter._active_adapter = []  # as PEFT does it for both of these
    for active in ([], "elsewhere"):
        wrapper._active_adapter = active
        assert torch.equal(wrapper(**{keyword: value}), original)


@wrapped
@TOKENS_NEED_X
@pytest.mark.row("trainable tokens: merged")
def test_merged(make: Any, keyword: str, value: Tensor) -> None:
    wrapper = wrap_tokens(make())
    wrapper.token_adapter.merge()
    merged = wrapper(value)
    assert torch.equal(wrapper(**{keyword: value}), merged)
    assert torch.equal(merged, wrapper.original_module(value)), "merged rows are in the base layer"
    wrapper.enable_adapters(False)  # unmerges on the next call
    disabled = wrapper(**{keyword: value})
    assert not wrapper.token_adapter.merged
    assert not torch.equal(disabled, merged)
    assert torch.equal(disabled, wrapper.original_module(value))


@wrapped
@TOKENS_NEED_X
@pytest.mark.row("trainable tokens: second adapter")
def test_second_adapter(make: Any, keyword: str, value: Tensor) -> None:
    wrapper = wrap_tokens(make())
    first = wrapper(value)
    wrapper.update("other", token_indices=[0, 2], tied_adapter=None)
    with torch.no_grad():
        wrapper.token_adapter.trainable_tokens_delta["other"].sub_(1.0)
    wrapper.set_adapter("other")
    second = wrapper(value)
    assert not torch.equal(first, second)
    assert torch.equal(wrapper(**{keyword: value}), second)
    wrapper.set_adapter("default")
    assert torch.equal(wrapper(**{keyword: value}), first)


def tied_pair() -> tuple[TrainableTokensWrapper, TrainableTokensWrapper]:
    """A wrapped embedding and an LM head with the same weights that follows it."""
    embedding, head = nn.Embedding(6, 4), nn.Linear(4, 6, bias=False)
    head.weight = embedding.weight
    embed = wrap_tokens(embedding)
    return embed, TrainableTokensWrapper(head, "default", token_indices=[1, 3], tied_adapter=embed.token_adapter)


@TOKENS_NEED_X
@pytest.mark.row("trainable tokens: tied to an LM head")
@pytest.mark.parametrize("enabled", [True, False])
def test_tied_head(enabled: bool) -> None:
    embed, tied = tied_pair()
    embed.enable_adapters(enabled)
    tied.enable_adapters(enabled)
    expected = tied(HIDDEN)
    assert torch.equal(tied(input=HIDDEN), expected)
    assert torch.equal(embed(input=IDS), embed(IDS))
    assert torch.equal(expected, tied.original_module(HIDDEN)) is not enabled


@NEEDS_X
@pytest.mark.row("trainable tokens: tied to an LM head, mixed batch")
def test_tied_head_in_a_mixed_batch() -> None:
    embed, tied = tied_pair()
    expected = tied(HIDDEN, adapter_names=NAMES)
    # a processor may add up one row otherwise than two
    torch.testing.assert_close(expected[0], tied(HIDDEN)[0])
    torch.testing.assert_close(expected[1], tied.original_module(HIDDEN)[1])
    assert torch.equal(tied(input=HIDDEN, adapter_names=NAMES), expected)
    assert torch.equal(embed(input=IDS[:2], adapter_names=NAMES), embed(IDS[:2], adapter_names=NAMES))


@TOKENS_NEED_X
@pytest.mark.row("trainable tokens: gradients")
def test_gradients_by_keyword_reach_the_trained_rows_only() -> None:
    wrapper = wrap_tokens(nn.Embedding(6, 4))
    wrapper(input=IDS).sum().backward()
    by_keyword = wrapper.token_adapter.trainable_tokens_delta["default"].grad.clone()
    wrapper.zero_grad()
    wrapper(IDS).sum().backward()
    assert torch.equal(by_keyword, wrapper.token_adapter.trainable_tokens_delta["default"].grad)
    assert by_keyword.abs().sum() > 0


class Forward:
    """A `forward` that is an object: it cannot be bound, and looks nothing up of the embedding."""

    def __call__(self, ids: Tensor) -> Tensor:
        return ids


def scripted() -> Any:
    """A scripted function, which has no signature."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(lookup)


def lookup(input: Tensor) -> Tensor:
    return input


# What a class's `forward` may be, and the keyword for its first parameter.
FORWARDS = [
    pytest.param(Forward, "ids", id="callable object"),
    pytest.param(scripted, "input", id="scripted function"),
    pytest.param(lambda: torch.neg, "input", id="builtin"),
    pytest.param(lambda: staticmethod(functools.partial(lookup)), "input", id="partial"),
    pytest.param(lambda: lambda self, *args, **kwargs: nn.Embedding.forward(self, *args, **kwargs), "input", id="any"),
    pytest.param(lambda: lambda self, *, ids: nn.Embedding.forward(self, ids), "ids", id="keyword-only"),
]


@pytest.mark.row("trainable tokens: any kind of forward")
@pytest.mark.parametrize(("forward", "keyword"), FORWARDS)
def test_any_kind_of_forward_wraps(forward: Any, keyword: str) -> None:
    wrapper = wrap_tokens(type("Custom", (nn.Embedding,), {"forward": forward()})(6, 4))
    assert torch.equal(wrapper(IDS), nn.functional.embedding(IDS, wrapper.weight))


@TOKENS_NEED_X
@pytest.mark.row("trainable tokens: any kind of forward")
@pytest.mark.parametrize(("forward", "keyword"), FORWARDS)
def test_any_kind_of_forward_by_keyword(forward: Any, keyword: str) -> None:
    wrapper = wrap_tokens(type("Custom", (nn.Embedding,), {"forward": forward()})(6, 4))
    assert torch.equal(wrapper(**{keyword: IDS}), wrapper(IDS))


class ByAnyName(nn.Embedding):
    """Takes its input by names that no signature tells."""

    def forward(self, **kwargs: Tensor) -> Tensor:
        return super().forward(kwargs["input_ids"])


@TOKENS_NEED_X
@pytest.mark.row("trainable tokens: any kind of forward")
def test_an_unknown_keyword_is_no_silent_pass_by_the_adapter() -> None:
    wrapper = wrap_tokens(ByAnyName(6, 4))
    wrapper.enable_adapters(False)
    assert torch.equal(wrapper(input_ids=IDS), wrapper.original_module(input_ids=IDS))
    wrapper.enable_adapters(True)
    with pytest.raises(TypeError, match="input.*input_ids"):
        wrapper(input_ids=IDS)


@pytest.mark.row("trainable tokens: further arguments, by position")
@pytest.mark.parametrize("merged", [False, True])
def test_further_arguments_are_left_out_as_in_stock(merged: bool) -> None:
    class Times(nn.Embedding):
        def forward(self, input_ids: Tensor, times: float = 1.0) -> Tensor:
            return super().forward(input_ids) * times

    wrapper = wrap_tokens(Times(6, 4))
    expected = wrapper(IDS)
    if merged:
        wrapper.token_adapter.merge()
    assert torch.equal(wrapper(IDS, 3.0), expected)
    assert torch.equal(wrapper(IDS, times=3.0), expected)
    assert torch.equal(wrapper(IDS, nonsense=3.0), expected)
    wrapper.enable_adapters(False)
    assert torch.equal(wrapper(IDS, 3.0), wrapper.original_module(IDS, 3.0))


@TOKENS_NEED_X
@pytest.mark.row("passthrough: arguments unchanged and once")
def test_the_original_gets_the_arguments_unchanged_while_disabled() -> None:
    wrapper = wrap_tokens(ScaledEmbedding(6, 4))
    wrapper.enable_adapters(False)
    calls = []
    wrapper.original_module.register_forward_pre_hook(lambda _, args, kw: calls.append((args, kw)), with_kwargs=True)
    wrapper(input_ids=IDS)
    [(args, kwargs)] = calls
    assert args == ()
    assert list(kwargs) == ["input_ids"]
    assert kwargs["input_ids"] is IDS


@TOKENS_NEED_X
@pytest.mark.row("trainable tokens: pickled")
def test_a_pickled_wrapper_is_called_by_keyword() -> None:
    wrapper = wrap_tokens(ScaledEmbedding(6, 4))
    assert torch.equal(pickle.loads(pickle.dumps(wrapper))(input_ids=IDS), wrapper(IDS))


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"nonsense": IDS}, {"x": IDS}, {"input": None}],
    ids=["nothing", "unknown keyword", "x", "None"],
)
@pytest.mark.parametrize("enabled", [True, False], ids=["active", "disabled"])
@pytest.mark.stock_fails(">=0.15", raises=AssertionError, match="M's own error|no error from the module")
@pytest.mark.row("forward: M's own error")
def test_rejected_arguments_give_the_modules_own_error(kwargs: dict[str, Tensor], enabled: bool) -> None:
    embedding = nn.Embedding(6, 4)
    wrapper = wrap_tokens(embedding)
    wrapper.enable_adapters(enabled)
    assert own_error(wrapper, **kwargs) == own_error(embedding, **kwargs), "not M's own error"


class Lookup(nn.Module):
    """A model that calls its embedding by keyword, with the name of the embedding's own parameter."""

    def __init__(self, embedding: nn.Embedding, keyword: str) -> None:
        super().__init__()
        self.embed_tokens = embedding
        self.proj = nn.Linear(4, 4)
        self.keyword = keyword

    def forward(self, ids: Tensor) -> Tensor:
        return self.proj(self.embed_tokens(**{self.keyword: ids}))


@pytest.mark.parametrize(
    ("embedding", "keyword"), [(nn.Embedding, "input"), (ScaledEmbedding, "input_ids")], ids=["plain", "scaled"]
)
@TOKENS_NEED_X
@pytest.mark.row("trainable tokens: end to end, saved and reloaded")
def test_end_to_end(embedding: type[nn.Embedding], keyword: str, tmp_path: Path, peft_installed: Any) -> None:
    config = LoraConfig(target_modules=["proj"], trainable_token_indices={"embed_tokens": [1, 3]})
    plain = Lookup(embedding(6, 4), keyword)
    weights = {name: value.clone() for name, value in plain.state_dict().items()}
    model = get_peft_model(plain, config)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    before = model(IDS)
    for _ in range(3):
        optimizer.zero_grad()
        model(IDS).pow(2).mean().backward()
        optimizer.step()
    after = model(IDS)
    assert not torch.equal(before, after)

    model.save_pretrained(tmp_path)
    fresh = Lookup(embedding(6, 4), keyword)
    fresh.load_state_dict(weights)
    assert torch.equal(PeftModel.from_pretrained(fresh, tmp_path)(IDS), after)
    with model.disable_adapter():
        base = model(IDS)
    fresh = Lookup(embedding(6, 4), keyword)
    fresh.load_state_dict(weights)
    assert torch.equal(base, fresh(IDS))
    # Before 0.18 stock leaves the scale out of an active layer and applies it in a merged one, whatever the call.
    if embedding is nn.Embedding or peft_installed.release.release >= (0, 18):
        torch.testing.assert_close(model.merge_and_unload()(IDS), after)
