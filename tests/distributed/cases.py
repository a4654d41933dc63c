"""What is trained in every engine: tiny models, and what PEFT is asked to train in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from tests.models import tiny

STEPS, RATE = 3, 0.1


def place(root: Path, *names: str) -> Path:
    """The folder of an engine, or of a case in an engine, by their names."""
    return root.joinpath(*(name.replace(" ", "-") for name in names))


@dataclass(frozen=True)
class Case:
    """A model and its configuration of PEFT.

    Attributes:
        make: Gives what to build and its batch of two rows.
        layer: The class of the layers that FSDP shards.
        options: Of `LoraConfig`, besides those of the model.
        tied: Whether embedding and head are one.
    """

    make: Callable[[], tiny.Tiny]
    layer: str
    options: dict[str, Any]
    tied: bool = False

    def model(self) -> tiny.Tiny:
        """The model, the same weights and batch in every process."""
        torch.manual_seed(0)
        return self.make()

    def base(self) -> nn.Module:
        """The base model."""
        made = self.model()
        torch.manual_seed(1)
        model = made.build()
        model.config.use_cache = False
        return model

    def batch(self) -> tiny.Batch:
        """Both rows."""
        return self.model().batch()

    def config(self) -> LoraConfig:
        """LoRA with weights that are not zero, so that every parameter has a gradient."""
        made = self.model()
        options = {"r": 4, "target_modules": made.target, "modules_to_save": list(made.save) or None}
        return LoraConfig(**{**options, "init_lora_weights": False, **self.options})

    def wrap(self, model: nn.Module) -> PeftModel:
        """The model in PEFT."""
        torch.manual_seed(2)
        return get_peft_model(model, self.config())


def llama(tied: bool = False) -> tiny.Tiny:
    """A text model without modules to save."""
    made = tiny.llama()

    def build() -> nn.Module:
        config = made.build().config
        config.tie_word_embeddings = tied
        torch.manual_seed(1)
        return transformers.LlamaForCausalLM(config)

    return replace(made, build=build, save=())


LAYER = "LlamaDecoderLayer"
CASES = {
    "vision tower": Case(tiny.gemma4, "Gemma4TextDecoderLayer", {}, tied=True),
    "Gemma 4, LoRA alone": Case(tiny.gemma4, "Gemma4TextDecoderLayer", {"modules_to_save": None}, tied=True),
    "self_attn": Case(tiny.llama, LAYER, {}),
    "embedding and head": Case(llama, LAYER, {"modules_to_save": ["embed_tokens", "lm_head"]}),
    "embedding, tied": Case(lambda: llama(True), LAYER, {"modules_to_save": ["embed_tokens"]}, tied=True),
    "trainable tokens": Case(llama, LAYER, {"trainable_token_indices": [3, 4]}),
    "trainable tokens, tied": Case(lambda: llama(True), LAYER, {"trainable_token_indices": [3, 4]}, tied=True),
    "LoRA alone": Case(llama, LAYER, {}),
}
if not hasattr(transformers, "Gemma4ForConditionalGeneration"):
    del CASES["vision tower"], CASES["Gemma 4, LoRA alone"]
