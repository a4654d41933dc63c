"""`torch.compile`, `torch.export`, `torch.fx` and `torch.jit.trace` take a keyword call where they took a positional one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from .modules import NEEDS_X, TOKENS_NEED_X, Tower, wrap, wrap_tokens

X = torch.arange(12.0).reshape(3, 4)
IDS = torch.tensor([[0, 1, 2], [3, 4, 1]])


class Parent(nn.Module):
    """Calls the wrapper with positional inputs, with keywords, or with both."""

    def __init__(self, wrapper: nn.Module, how: str) -> None:
        super().__init__()
        self.wrapper = wrapper
        self.how = how

    def forward(self, pixel_values: Tensor, position: Tensor) -> Tensor:
        if self.how == "positional":
            return self.wrapper(pixel_values, position)
        if self.how == "mixed":
            return self.wrapper(pixel_values, pixel_position_ids=position)
        return self.wrapper(pixel_values=pixel_values, pixel_position_ids=position)


class TokensParent(nn.Module):
    """The same for an embedding."""

    def __init__(self, wrapper: nn.Module, how: str) -> None:
        super().__init__()
        self.wrapper = wrapper
        self.how = how

    def forward(self, ids: Tensor) -> Tensor:
        return self.wrapper(ids) if self.how == "positional" else self.wrapper(input=ids)


def compiled(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
    """One graph or an error. The eager backend needs no C++ compiler; breaks are dynamo's, not the backend's."""
    torch._dynamo.reset()
    return torch.compile(module, fullgraph=True, backend="eager")


def exported(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
    """`torch.export`, strict."""
    return torch.export.export(module, inputs, strict=True).module()


def exported_loosely(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
    """`torch.export`, by running the Python code."""
    return torch.export.export(module, inputs, strict=False).module()


def fx_traced(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
    """`torch.fx.symbolic_trace`."""
    return torch.fx.symbolic_trace(module)


def jit_traced(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
    """`torch.jit.trace`, which torch calls deprecated in favour of `torch.export`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(module, inputs)


tools = pytest.mark.parametrize(
    "tool",
    [
        pytest.param(compiled, marks=pytest.mark.row("tracing: torch.compile(fullgraph=True)")),
        pytest.param(exported, marks=pytest.mark.row("tracing: torch.export")),
        pytest.param(exported_loosely, marks=pytest.mark.row("tracing: torch.export")),
        pytest.param(fx_traced, marks=pytest.mark.row("tracing: torch.fx")),
        pytest.param(jit_traced, marks=pytest.mark.row("tracing: torch.jit.trace")),
    ],
)
