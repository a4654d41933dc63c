"""``python -m tests.consumers.frameworks.libraries LIBRARY FOLDER``: train a tiny model of a library, save, reload, compare.

`sentence-transformers` trains BERT's embeddings by its own trainer, `diffusers` the attention modules of a Flux transformer.
Both are called with keywords only.
"""

from __future__ import annotations

import copy
import sys
from typing import Any

import datasets
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model

STEPS = {"max_steps": 3, "per_device_train_batch_size": 2, "learning_rate": 0.01}


def sentences(folder: str) -> None:
    import sentence_transformers as st
    from sentence_transformers.losses import MultipleNegativesRankingLoss
    from sentence_transformers.models import Pooling, Transformer

    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    transformers.BertModel(transformers.BertConfig(vocab_size=32, **small)).save_pretrained("bert")
    transformers.AutoTokenizer.from_pretrained("text").save_pretrained("bert")
    words = Transformer("bert")
    base = copy.deepcopy(words.model)
    # not by `add_adapter`: what transformers loads such an adapter with knows no modules to save
    words.model = get_peft_model(words.model, LoraConfig(target_modules=["query"], modules_to_save=["embeddings"]))
    model = st.SentenceTransformer(modules=[words, Pooling(words.get_word_embedding_dimension())], device="cpu")
    before = copies(model)
    options = st.SentenceTransformerTrainingArguments(folder, report_to=[], use_cpu=True, save_strategy="no", **STEPS)
    rows = datasets.Dataset.from_dict(
        {"anchor": ["what is this ?", "a red square"] * 4, "positive": ["a circle", "red"] * 4}
    )
    st.SentenceTransformerTrainer(model, options, train_dataset=rows, loss=MultipleNegativesRankingLoss(model)).train()
    changed(before, copies(model))
    texts = ["a red square", "a blue circle ?"]
    trained, encoded = copies(model), model.encode(texts)
    words.model.save_pretrained(folder)
    words.model = PeftModel.from_pretrained(base, folder)
    same(trained, copies(model))
    assert (model.encode(texts) == encoded).all()


def images(folder: str) -> None:
    from diffusers import FluxTransformer2DModel

    def base() -> Any:
        torch.manual_seed(0)
        return FluxTransformer2DModel(
            in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8),
        )  # fmt: skip

    batch = {
        "hidden_states": torch.randn(1, 16, 4), "encoder_hidden_states": torch.randn(1, 8, 32),
        "pooled_projections": torch.randn(1, 32), "timestep": torch.tensor([0.5]),
        "img_ids": torch.zeros(16, 3), "txt_ids": torch.zeros(8, 3), "guidance": None,
    }  # fmt: skip
    config = LoraConfig(r=4, target_modules=["context_embedder", "x_embedder"], modules_to_save=["attn"])
    model = get_peft_model(base(), config)
    before = copies(model)
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        model(**batch).sample.square().mean().backward()
        optimizer.step()
    changed(before, copies(model))
    model.save_pretrained(folder)
    again = PeftModel.from_pretrained(base(), folder)
    same(copies(model), copies(again))
    with torch.no_grad():
        assert torch.equal(model.eval()(**batch).sample, again.eval()(**batch).sample)


def copies(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights of the modules to save."""
    found = {name: value.clone() for name, value in model.state_dict().items() if ".modules_to_save." in name}
    assert found
    return found


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> None:
    still = [name for name in before if torch.equal(before[name], after[name])]
    assert len(still) < len(before) / 2, still


def same(saved: dict[str, torch.Tensor], loaded: dict[str, torch.Tensor]) -> None:
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)


if __name__ == "__main__":
    {"sentence-transformers": sentences, "diffusers": images}[sys.argv[1]](sys.argv[2])
    print("reloaded, the same")
