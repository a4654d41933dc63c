"""A model whose modules hold namesakes, and what can be said of its wrappers."""

from __future__ import annotations

import torch
from peft import LoraConfig, PeftModel
from peft.utils.other import ModulesToSaveWrapper
from torch import Tensor, nn

from .modules import base_of

PREFIX = "base_model.model."


class Embeddings(nn.Module):
    """Bert's embeddings in small."""

    def __init__(self) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(6, 4)
        self.position_embeddings = nn.Embedding(3, 4)
        self.LayerNorm = nn.LayerNorm(4)

    def forward(self, ids: Tensor) -> Tensor:
        return self.LayerNorm(self.word_embeddings(ids) + self.position_embeddings.weight[: ids.shape[1]])


class SelfAttention(nn.Module):
    """ViT's inner `attention.attention`."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(4, 4)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.query(hidden).tanh()


class Attention(nn.Module):
    """ViT's outer `attention`."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = SelfAttention()
        self.output = nn.Linear(4, 4)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.output(self.attention(hidden))


class Encoder(nn.Module):
    """An encoder that holds an `encoder`, as several vision and speech models do."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
        self.norm = nn.LayerNorm(4)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.norm(self.encoder(hidden))


class Bert(nn.Module):
    """Three modules with a namesake inside, and a head that a suffix finds."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.attention = Attention()
        self.encoder = Encoder()
        self.dense = nn.Linear(4, 4)
        self.lm_head = nn.Linear(4, 6)

    def forward(self, ids: Tensor) -> Tensor:
        return self.lm_head(self.dense(self.encoder(self.attention(self.embeddings(ids)))))


class Head(nn.Linear):
    """A layer that owns a child of the given name."""

    def __init__(self, child: str) -> None:
        super().__init__(6, 6)
        self.child = child
        self.add_module(child, nn.Linear(6, 6))

    def forward(self, hidden: Tensor) -> Tensor:
        return self.get_submodule(self.child)(super().forward(hidden))


class Namesakes(Bert):
    """Owns children named as a wrapper's attribute, inside `head` and beside `proj`; always with the same weights."""

    def __init__(self, child: str) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            super().__init__()
            self.head, self.proj = Head(child), nn.Linear(6, 6)
            self.child = child
            self.add_module(child, nn.ModuleDict({"proj": nn.Linear(6, 6)}))

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.get_submodule(f"{self.child}.proj")(self.proj(super().forward(ids))))


def config(*names: str) -> LoraConfig:
    """LoRA on a layer that has nothing to do with it, and `names` to save."""
    return LoraConfig(target_modules=["dense"], modules_to_save=list(names))


def wrapper_at(model: PeftModel, name: str) -> ModulesToSaveWrapper:
    """The wrapper that took the place of the user's module `name`."""
    wrapper = base_of(model).get_submodule(name)
    assert isinstance(wrapper, ModulesToSaveWrapper)
    return wrapper


def untrained(wrapper: ModulesToSaveWrapper, adapter: str = "default") -> list[str]:
    """Parameters of the adapter's copy that are frozen, had no gradient, or have not moved."""
    copy, original = wrapper.modules_to_save[adapter], dict(wrapper.original_module.named_parameters())
    return [
        name
        for name, p in copy.named_parameters()
        if not p.requires_grad or p.grad is None or torch.equal(p, original[name])
    ]
