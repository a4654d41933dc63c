"""`TrainableTokensWrapper` by keyword equals the positional call, whatever its state."""

from __future__ import annotations

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
    assert torch.equal(expected[0], tied(HIDDEN)[0])
    assert torch.equal(expected[1], tied.original_module(HIDDEN)[1])
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


@pytest.mark.parametrize("kwargs", [{}, {"nonsense": IDS}, {"x": IDS}], ids=["nothing", "unknown keyword", "x"])
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
