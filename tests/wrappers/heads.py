"""A small model with a head to save, and adapters for it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.other import ModulesToSaveWrapper
from torch import Tensor, nn

from .modules import IDS, base_of, shift, train


class Net(nn.Module):
    """An embedding, two layers and a head; `head` may be given."""

    def __init__(self, head: nn.Module | None = None) -> None:
        super().__init__()
        self.emb = nn.Embedding(6, 4)
        self.dense = nn.Linear(4, 4)
        self.proj = nn.Linear(4, 4)
        self.head = head if head is not None else nn.Linear(4, 6)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.proj(self.dense(self.emb(ids))))


def config(*names: str, target: str = "dense", **options: Any) -> LoraConfig:
    """LoRA on one layer, and `names` to save."""
    return LoraConfig(target_modules=[target], modules_to_save=list(names) or None, **options)


def wrapper(model: PeftModel, name: str = "head") -> ModulesToSaveWrapper:
    """The wrapper in place of the user's module `name`."""
    return base_of(model).get_submodule(name)


def two_adapters(first: LoraConfig, second: LoraConfig) -> PeftModel:
    """A model with `default` and `other`, whose copies of every saved module differ from the original; first active."""
    model = get_peft_model(Net(), first)
    model.add_adapter("other", second)
    for module in model.modules():
        if isinstance(module, ModulesToSaveWrapper):
            shift(module.modules_to_save)
    model.set_adapter("default")
    return model


def reloaded(plain: nn.Module, peft_config: LoraConfig, folder: Path) -> tuple[Tensor, Tensor]:
    """What the trained model gives, and what it gives after it was saved and loaded into the same base model."""
    fresh = copy.deepcopy(plain)
    model = get_peft_model(plain, peft_config)
    train(model)
    model.save_pretrained(folder)
    return model(IDS), PeftModel.from_pretrained(fresh, folder)(IDS)


def trainable(model: nn.Module, part: str = "") -> set[str]:
    """Names of the parameters that train, of those with `part` in the name."""
    return {name for name, p in model.named_parameters() if p.requires_grad and part in name}
