"""Weights that several modules share: trained, saved, reloaded, merged."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.other import ModulesToSaveWrapper, TrainableTokensWrapper
from torch import Tensor, nn

major = Version(transformers.__version__).major
ids = torch.tensor([[3, 4, 5, 6], [7, 8, 3, 9]])
BATCH = {"input_ids": ids, "labels": ids}
OFF = "Tensor-likes are not close"
# What stock does with the LM head's rows, by release.
HEAD_ROWS = {
    "raises": (AssertionError, AttributeError, ValueError),
    "match": f"{OFF}|embedding_dim|unknown layer type",
}
keeps_tied = pytest.mark.skipif(major >= 5, reason="transformers 5 saves what is no longer tied")
by_names = pytest.mark.skipif(major < 5, reason="transformers 4 names tied modules by the class")


def llama(tied: bool = True) -> nn.Module:
    """A language model; its weights are large enough for an error to show."""
    config = transformers.LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=32, tie_word_embeddings=tied, pad_token_id=0,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5)
    return model


def logits(model: nn.Module) -> Tensor:
    """In evaluation mode."""
    return model.eval()(**BATCH).logits


def train(model: nn.Module) -> None:
    """One step, and a push in other directions to every copy and row, so that none looks like another."""
    model(**BATCH).loss.backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, ModulesToSaveWrapper):
                for parameter in module.modules_to_save.parameters():
                    parameter.add_(torch.randn_like(parameter))
            elif isinstance(module, TrainableTokensWrapper) and not module.token_adapter.tied_adapter:
                for parameter in module.token_adapter.trainable_tokens_delta.values():
                    parameter.add_(torch.randn_like(parameter))


def lives(folder: Path, **options: Any) -> None:
    """Trains, saves, reloads, merges, and saves and loads what was merged; the output stays the same."""
    plain = llama()
    fresh = copy.deepcopy(plain)
    model = get_peft_model(plain, LoraConfig(target_modules=["gate_proj"], **options))
    train(model)
    expected = logits(model)
    model.save_pretrained(folder / "adapter", save_embedding_layers=False)
    torch.testing.assert_close(logits(PeftModel.from_pretrained(fresh, folder / "adapter")), expected)
    merged = model.merge_and_unload()
    torch.testing.assert_close(logits(merged), expected, rtol=1e-3, atol=1e-3)
    merged.save_pretrained(folder / "merged")
    loaded = type(merged).from_pretrained(folder / "merged")
    torch.testing.assert_close(logits(loaded), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("indices", [[3, 4], {"embed_tokens": [3, 4]}], ids=["list", "embed_tokens"])
@pytest.mark.row("tied weights: rows of the embedding")
def test_rows_of_the_embedding(indices: Any, tmp_path: Path) -> None:
    lives(tmp_path, trainable_token_indices=indices)


@pytest.mark.stock_fails("<0.19", **HEAD_ROWS)
@pytest.mark.row("tied weights: the same rows of embedding and LM head")
def test_same_rows_of_both(tmp_path: Path) -> None:
    lives(tmp_path, trainable_token_indices={"embed_tokens": [3, 4], "lm_head": [3, 4]})


@pytest.mark.stock_fails(">=0.15", **HEAD_ROWS, left=">=0.15")
@pytest.mark.row("tied weights: rows of the LM head")
def test_rows_of_the_head(tmp_path: Path) -> None:
    lives(tmp_path, trainable_token_indices={"lm_head": [3, 4]})


@pytest.mark.stock_fails(">=0.15", **HEAD_ROWS, left=">=0.15")
@pytest.mark.row("tied weights: other rows of the LM head than of the embedding")
def test_other_rows_of_the_head(tmp_path: Path) -> None:
    lives(tmp_path, trainable_token_indices={"embed_tokens": [3, 4], "lm_head": [5, 6]})


@pytest.mark.stock_fails(">=0.15", raises=ValueError, match="unknown layer type", left=">=0.15")
@pytest.mark.row("tied weights: rows of the embedding, the LM head saved whole")
def test_rows_of_the_embedding_and_a_saved_head(tmp_path: Path) -> None:
    lives(tmp_path, trainable_token_indices={"embed_tokens": [3, 4]}, modules_to_save=["lm_head"])


@keeps_tied
@pytest.mark.parametrize("names", [["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"]], ids="-".join)
@pytest.mark.stock_fails("<0.19", raises=AssertionError, match=OFF, left="<0.19")
@pytest.mark.row("tied weights: saved whole, merged, loaded (transformers 4)")
def test_saved_whole_transformers_4(names: list[str], tmp_path: Path) -> None:
    lives(tmp_path, modules_to_save=names)


@by_names
@pytest.mark.parametrize("names", [["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"]], ids="-".join)
@pytest.mark.row("tied weights: saved whole, merged, loaded (transformers 5)")
def test_saved_whole_transformers_5(names: list[str], tmp_path: Path) -> None:
    lives(tmp_path, modules_to_save=names)


def second_adapter(tied: bool) -> None:
    """A second adapter for other rows works, and leaves the first alone."""
    model = get_peft_model(
        llama(tied), LoraConfig(target_modules=["gate_proj"], trainable_token_indices={"embed_tokens": [3, 4]})
    )
    train(model)
    first = logits(model)
    other = LoraConfig(target_modules=["gate_proj"], trainable_token_indices={"embed_tokens": [5, 6]})
    model.add_adapter("other", other)
    torch.testing.assert_close(logits(model), first)
    model.set_adapter("other")
    train(model)
    second = logits(model)
    assert not torch.equal(first, second)
    model.set_adapter("other")
    torch.testing.assert_close(logits(model.merge_and_unload()), second, rtol=1e-3, atol=1e-3)


@by_names
@pytest.mark.stock_fails("==0.18.*", raises=ValueError, match="unknown layer type")
@pytest.mark.row("tied weights: a second adapter with rows (transformers 5)")
def test_second_adapter_transformers_5() -> None:
    second_adapter(tied=True)


@keeps_tied
@pytest.mark.row("tied weights: a second adapter with rows (transformers 4)")
def test_second_adapter_transformers_4() -> None:
    second_adapter(tied=True)


@pytest.mark.row("untied weights: a second adapter with rows")
def test_second_adapter_untied() -> None:
    second_adapter(tied=False)


def t5() -> nn.Module:
    """One embedding under three names."""
    config = transformers.T5Config(
        vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0, pad_token_id=0
    )
    return transformers.T5ForConditionalGeneration(config)


@pytest.mark.filterwarnings("always")
@pytest.mark.stock_fails(">=0.15", raises=AssertionError, match="in silence")
@pytest.mark.row("tied modules: a copy that no forward pass reaches is said")
def test_module_with_several_names(recwarn: pytest.WarningsRecorder) -> None:
    model = get_peft_model(t5(), LoraConfig(target_modules=["q"], modules_to_save=["shared"]))
    model(**BATCH).loss.backward()
    copies = {n: p.grad for n, p in model.named_parameters() if "shared.modules_to_save" in n}
    said = [str(w.message) for w in recwarn if "embed_tokens" in str(w.message)]
    assert said or None not in copies.values(), "not trained, in silence"


@pytest.mark.row("tied modules: rows of an embedding with several names")
def test_rows_of_a_module_with_several_names() -> None:
    model = get_peft_model(t5(), LoraConfig(target_modules=["q"], trainable_token_indices=[3, 4]))
    model(**BATCH).loss.backward()
    rows = [p.grad for n, p in model.named_parameters() if "trainable_tokens_delta" in n]
    assert rows
    assert None not in rows
