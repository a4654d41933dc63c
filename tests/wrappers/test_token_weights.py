"""Trainable tokens: scaled embeddings, LM heads, and what unmerging gives back."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, TrainableTokensConfig, get_peft_model
from torch import nn

from .heads import Net
from .modules import IDS, ScaledEmbedding, base_of, train


@pytest.mark.stock_fails("<0.18", raises=AssertionError, match="without its scale")
@pytest.mark.row("trainable tokens: a scaled embedding keeps its scale")
def test_scaled_embedding(tmp_path: Path) -> None:
    plain = Net()
    plain.emb = ScaledEmbedding(6, 4)
    fresh = copy.deepcopy(plain)
    expected = plain(IDS)
    model = get_peft_model(plain, LoraConfig(target_modules=["dense"], trainable_token_indices={"emb": [1, 3]}))
    assert torch.allclose(model(IDS), expected), "without its scale"
    train(model)
    trained = model(IDS)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(PeftModel.from_pretrained(fresh, tmp_path)(IDS), trained)
    torch.testing.assert_close(model.merge_and_unload()(IDS), trained)


@pytest.mark.stock_fails(">=0.16,<0.18", raises=AttributeError, match="embedding_dim")
@pytest.mark.row("trainable tokens: an LM head")
def test_lm_head() -> None:
    model = get_peft_model(
        Net(head=nn.Linear(4, 6, bias=False)),
        LoraConfig(target_modules=["dense"], trainable_token_indices={"head": [1, 3]}),
    )
    train(model)
    expected = model(IDS)
    torch.testing.assert_close(model.merge_and_unload()(IDS), expected)


@pytest.mark.stock_fails(">=0.15", raises=AssertionError, match="without its bias")
@pytest.mark.stock_fails(">=0.16,<0.18", raises=AttributeError, match="embedding_dim")
@pytest.mark.row("trainable tokens: an LM head with a bias")
def test_bias_of_the_lm_head() -> None:
    plain = Net()
    expected = plain(IDS)
    model = get_peft_model(plain, LoraConfig(target_modules=["dense"], trainable_token_indices={"head": [1, 3]}))
    assert torch.allclose(model(IDS), expected), "without its bias"


@pytest.mark.stock_fails("<0.21", raises=AssertionError, match="not the base model's rows", left="<0.21")
@pytest.mark.row("trainable tokens: unmerged, the base model is as before")
def test_unmerge_after_random_initialisation() -> None:
    peft_config = TrainableTokensConfig(target_modules=["emb"], token_indices=[1, 2], init_weights=False)
    model = get_peft_model(Net(), peft_config)
    weight = base_of(model).emb.base_layer.weight
    before = weight.detach().clone()
    model.merge_adapter()
    assert not torch.equal(weight, before)
    model.unmerge_adapter()
    assert torch.equal(weight, before), "not the base model's rows"
