"""Real models of transformers with tiny configurations and random weights, and what to do with each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.other import ModulesToSaveWrapper
from torch import Tensor, nn

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Tiny:
    """A model to build, and how to train it.

    Attributes:
        build: Gives a fresh model, with random weights.
        batch: Gives inputs with labels, so that the model's output has a loss.
        target: LoRA's `target_modules`.
        save: The `modules_to_save`.
    """

    build: Callable[[], nn.Module]
    batch: Callable[[], Batch]
    target: str | list[str]
    save: tuple[str, ...]

    def lora(self, **options: Any) -> LoraConfig:
        """A LoRA configuration for this model, without dropout."""
        return LoraConfig(r=4, target_modules=self.target, modules_to_save=list(self.save), **options)

    def wrap(self, model: nn.Module | None = None, **options: Any) -> PeftModel:
        """The model in PEFT; a fresh one unless `model` is given."""
        return get_peft_model(model if model is not None else self.build(), self.lora(**options))


def llama() -> Tiny:
    """Text: every decoder layer calls `self_attn(hidden_states=...)`."""
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    ids = torch.randint(3, 64, (2, 9))
    return Tiny(
        lambda: transformers.LlamaForCausalLM(config),
        lambda: {"input_ids": ids, "labels": ids},
        ["gate_proj", "down_proj"],
        ("self_attn",),
    )


def bert() -> Tiny:
    """Text: `embeddings(input_ids=...)`, and three modules inside whose names end in `embeddings`."""
    config = transformers.BertConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    ids = torch.randint(3, 64, (2, 9))
    return Tiny(
        lambda: transformers.BertForSequenceClassification(config),
        lambda: {"input_ids": ids, "labels": torch.tensor([0, 1])},
        ["query", "value"],
        ("embeddings", "classifier"),
    )


def speecht5() -> Tiny:
    """Speech to text: `encoder(input_values=...)` holds a `wrapped_encoder`, whose name ends in `encoder` too."""
    config = transformers.SpeechT5Config(
        vocab_size=64, hidden_size=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=48,
        decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=48, conv_dim=(16, 16), conv_stride=(5, 4),
        conv_kernel=(10, 8), num_feat_extract_layers=2, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
        hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, positional_dropout=0.0,
        feat_proj_dropout=0.0, encoder_layerdrop=0.0, decoder_layerdrop=0.0, mask_time_prob=0.0,
    )  # fmt: skip
    sound = torch.randn(2, 400)
    labels = torch.randint(3, 64, (2, 6))
    return Tiny(
        lambda: transformers.SpeechT5ForSpeechToText(config),
        lambda: {"input_values": sound, "labels": labels},
        r".*decoder.*\.(q_proj|v_proj)",
        ("encoder",),
    )


def wav2vec2() -> Tiny:
    """Audio: every encoder layer calls `attention(hidden_states, attention_mask=...)`, positional and keyword."""
    config = transformers.Wav2Vec2Config(
        vocab_size=32, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        conv_dim=(16, 16), conv_stride=(5, 4), conv_kernel=(10, 8), num_feat_extract_layers=2,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, hidden_dropout=0.0, attention_dropout=0.0,
        activation_dropout=0.0, feat_proj_dropout=0.0, final_dropout=0.0, layerdrop=0.0, apply_spec_augment=False,
        ctc_loss_reduction="mean",
    )  # fmt: skip
    sound = torch.randn(2, 600)
    labels = torch.randint(3, 32, (2, 4))
    return Tiny(
        lambda: transformers.Wav2Vec2ForCTC(config),
        lambda: {"input_values": sound, "labels": labels},
        ["intermediate_dense"],
        ("attention", "feature_projection"),
    )


def gemma3() -> Tiny:
    """Vision and language: `vision_tower(pixel_values=...)`."""
    text = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "image_size": 16, "patch_size": 4, "vision_use_head": False,
    }  # fmt: skip
    config = transformers.Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=60, boi_token_index=58,
        eoi_token_index=59,
    )  # fmt: skip
    ids = torch.tensor([[2, 58, 60, 60, 60, 60, 59, 7, 8], [2, 58, 60, 60, 60, 60, 59, 9, 4]])
    batch = {
        "input_ids": ids,
        "labels": ids.masked_fill(ids >= 58, -100),
        "token_type_ids": (ids == 60).long(),
        "pixel_values": torch.randn(2, 3, 16, 16),
    }
    return Tiny(
        lambda: transformers.Gemma3ForConditionalGeneration(config),
        lambda: batch,
        r".*language_model.*\.(q_proj|v_proj)",
        ("vision_tower", "multi_modal_projector"),
    )


def gemma4() -> Tiny:
    """Vision and language: `vision_tower(pixel_values=..., ...)` and `embed_vision(inputs_embeds=...)`."""
    text = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "global_head_dim": 16,
        "vocab_size_per_layer_input": 64, "hidden_size_per_layer_input": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 4, "head_dim": 8, "patch_size": 4, "pooling_kernel_size": 2,
        "position_embedding_size": 16,
    }  # fmt: skip
    config = transformers.Gemma4Config(
        text_config=text, vision_config=vision, image_token_id=60, video_token_id=61, audio_token_id=62,
        boi_token_id=58, eoi_token_id=59,
    )  # fmt: skip
    ids = torch.tensor([[2, 58, 60, 60, 60, 60, 59, 7, 8], [2, 58, 60, 60, 60, 60, 59, 9, 4]])
    grid = torch.tensor([[x, y] for y in range(4) for x in range(4)])  # 16 patches, pooled 2x2 to 4 soft tokens
    batch = {
        "input_ids": ids,
        "labels": ids.masked_fill(ids >= 58, -100),
        "mm_token_type_ids": (ids == 60).long(),
        "pixel_values": torch.rand(2, 16, 3 * 4 * 4),
        "image_position_ids": grid.expand(2, 16, 2),
    }
    return Tiny(
        lambda: transformers.Gemma4ForConditionalGeneration(config),
        lambda: batch,
        r".*language_model.*\.(q_proj|v_proj)",
        ("vision_tower", "embed_vision"),
    )


def copied(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights, safe from training."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def rebuilt(tiny: Tiny, weights: dict[str, Tensor]) -> nn.Module:
    """A fresh model with these weights."""
    model = tiny.build()
    model.load_state_dict(weights)
    return model


def train(model: nn.Module, batch: Batch, steps: int = 2, lr: float = 1e-2) -> list[float]:
    """Train what is trainable, in training mode, and leave the model in evaluation mode.

    Returns:
        The loss before each step.
    """
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    return losses


@torch.no_grad()
def outputs(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Loss and logits, in evaluation mode."""
    result = model.eval()(**batch)
    return {"loss": result.loss, "logits": result.logits}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Equal to the last bit."""
    return all(torch.equal(left[name], right[name]) for name in left)


def wrappers(model: nn.Module) -> dict[str, ModulesToSaveWrapper]:
    """The `modules_to_save` wrappers of `model`, by name, outermost first."""
    return {name: m for name, m in model.named_modules() if isinstance(m, ModulesToSaveWrapper)}


def outer_wrappers(model: nn.Module) -> dict[str, ModulesToSaveWrapper]:
    """The ones that are in no other wrapper."""
    found = wrappers(model)
    return {name: m for name, m in found.items() if not any(name.startswith(f"{other}.") for other in found)}


def reached(tiny: Tiny) -> set[str]:
    """Parameters of the plain model that a backward pass reaches, were all of them to train."""
    model = tiny.build().requires_grad_(True)
    model(**tiny.batch()).loss.backward()
    return {name for name, p in model.named_parameters() if p.grad is not None}


def untrained(model: PeftModel, tiny: Tiny, adapter: str = "default") -> list[str]:
    """Parameters of the active copies that should train, and are frozen, had no gradient, or equal the original."""
    expected, found = reached(tiny), []
    for name, wrapper in outer_wrappers(model.base_model.model).items():
        original = dict(wrapper.original_module.named_parameters())
        copy = dict(wrapper.modules_to_save[adapter].named_parameters())
        keys = {full.removeprefix(f"{name}.") for full in expected if full.startswith(f"{name}.")}
        assert keys, f"nothing to train in {name}"
        for key in sorted(keys):
            p, before = copy.get(key), original.get(key)  # None where another wrapper took the place
            if p is None or before is None or not p.requires_grad or p.grad is None or torch.equal(p, before):
                found.append(f"{name}.{key}")
    return found


def save(model: PeftModel, folder: Path) -> None:
    """Save the adapters as safetensors; these models have no name on a hub to look up a vocabulary size."""
    model.save_pretrained(folder, save_embedding_layers=False)
    assert list(folder.rglob("adapter_model.safetensors"))
