"""Small modules to wrap, and what several test modules say of stock."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import PeftModel
from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper, TrainableTokensWrapper
from torch import Tensor, nn

# Tokens of two rows.
IDS = torch.tensor([[0, 1, 2], [3, 4, 1]])

# Every stock wrapper, or just the trainable-tokens one, needs a positional `x` in these releases.
NEEDS_X = pytest.mark.stock_fails("<0.20", raises=TypeError, match="missing 1 required positional argument: 'x'")
TOKENS_NEED_X = pytest.mark.stock_fails(
    ">=0.15", raises=TypeError, match="missing 1 required positional argument: 'x'"
)


class Recorder(nn.Module):
    """Keeps what each call handed in, and returns `result` itself."""

    def __init__(self, result: object = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.result = result
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def forward(self, *args: Any, **kwargs: Any) -> object:
        self.calls.append((args, kwargs))
        return self.result


class Tower(nn.Module):
    """A vision tower in small: two inputs and an option, the way that Gemma 4 calls its own, by keyword."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, pixel_values: Tensor, pixel_position_ids: Tensor, scale: float = 1.0) -> Tensor:
        return self.norm(self.linear(pixel_values) + pixel_position_ids) * scale


class KeywordOnly(nn.Module):
    """A module whose own signature admits no positional argument."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, *, inputs_embeds: Tensor) -> Tensor:
        return self.linear(inputs_embeds)


class ScaledEmbedding(nn.Embedding):
    """Gemma's scaled word embedding in small: its parameter is called `input_ids`, and it scales what it looks up."""

    def __init__(self, num_embeddings: int, embedding_dim: int, embed_scale: float = 2.0) -> None:
        super().__init__(num_embeddings, embedding_dim)
        self.register_buffer("embed_scale", torch.tensor(embed_scale), persistent=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        return super().forward(input_ids) * self.embed_scale


class Model(nn.Module):
    """Calls its children the way that real models do: the embedding and the head by position, the tower by keyword."""

    def __init__(self, vocab: int = 10, width: int = 4) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab, width)
        self.tower = Tower(width)
        self.proj = nn.Linear(width, width)
        self.lm_head = nn.Linear(width, vocab, bias=False)

    def forward(self, input_ids: Tensor, pixel_values: Tensor) -> Tensor:
        hidden = self.embed_tokens(input_ids)
        seen = self.tower(pixel_values=pixel_values, pixel_position_ids=torch.zeros_like(pixel_values))
        return self.lm_head(self.proj(hidden + seen))

    @staticmethod
    def batch(rows: int = 3, width: int = 4) -> dict[str, Tensor]:
        """Inputs for `forward`, by keyword."""
        return {"input_ids": torch.randint(0, 10, (rows, 5)), "pixel_values": torch.randn(rows, 5, width)}


def shift(module: nn.Module, by: float = 0.5) -> None:
    """Change every parameter, as training would, so that a copy and its original can be told apart."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(by * torch.randn_like(parameter))


def wrap(module: nn.Module, adapter: str = "default") -> ModulesToSaveWrapper:
    """`module` in a wrapper whose active copy is no longer equal to the original."""
    wrapper = ModulesToSaveWrapper(module, adapter)
    wrapper.set_adapter(adapter)
    shift(wrapper.modules_to_save[adapter])
    return wrapper


def wrap_tokens(module: nn.Module, adapter: str = "default", indices: tuple[int, ...] = (1, 3)) -> Any:
    """`module` in a trainable-tokens wrapper whose trained rows are no longer equal to the original ones."""
    wrapper = TrainableTokensWrapper(module, adapter, token_indices=list(indices))
    wrapper.set_adapter(adapter)
    with torch.no_grad():
        wrapper.token_adapter.trainable_tokens_delta[adapter].add_(1.0)
    return wrapper


def aux_wrappers(model: nn.Module) -> dict[str, AuxiliaryTrainingWrapper]:
    """The wrappers inside `model`, by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, AuxiliaryTrainingWrapper)}


def base_of(model: PeftModel) -> nn.Module:
    """The user's model inside a `PeftModel`."""
    return model.base_model.model


def own_error(module: nn.Module, *args: Any, **kwargs: Any) -> tuple[type[Exception], str]:
    """What `module` raises for these arguments: its type and its text."""
    try:
        module(*args, **kwargs)
    except (TypeError, ValueError, RuntimeError) as error:
        return type(error), str(error)
    raise AssertionError("no error from the module")


def train(model: nn.Module, steps: int = 2) -> None:
    """A few steps on what is trainable, on a model that takes `IDS`."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        model(IDS).pow(2).mean().backward()
        optimizer.step()
