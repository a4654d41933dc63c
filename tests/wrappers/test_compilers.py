"""`torch.compile`, `torch.export`, `torch.fx`, `torch.jit.trace`: a keyword call works where a positional one did."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from .modules import NEEDS_X, Tower, wrap, wrap_tokens

X = torch.arange(12.0).reshape(3, 4)
POSITION = torch.ones(3, 4)
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


def needs_x(releases: str) -> pytest.MarkDecorator:
    """Stock's missing `x`, as each tool reports it."""
    return pytest.mark.stock_fails(
        releases,
        raises=(TypeError, torch._dynamo.exc.TorchDynamoException),
        match=r"[Mm]issing (1 |a )?required|failed to bind arguments",
    )


@tools
@pytest.mark.parametrize("how", ["positional", "mixed", pytest.param("keywords", marks=[needs_x("<0.20")])])
@pytest.mark.parametrize("enabled", [True, False], ids=["active", "disabled"])
def test_modules_to_save(tool: Any, how: str, enabled: bool) -> None:
    wrapper = wrap(Tower())
    wrapper.enable_adapters(enabled)
    expected = (wrapper.modules_to_save["default"] if enabled else wrapper.original_module)(X, POSITION)
    traced = tool(Parent(wrapper, how), (X, POSITION))
    torch.testing.assert_close(traced(X, POSITION), expected)
    # Other inputs, so that a traced constant would show.
    torch.testing.assert_close(traced(X + 1, X - 1), wrapper(X + 1, X - 1))


@tools
@pytest.mark.parametrize("how", ["positional", pytest.param("keywords", marks=[needs_x(">=0.15")])])
def test_trainable_tokens(tool: Any, how: str) -> None:
    # Frozen, as in a model: export refuses a kept original that is part of a graph.
    wrapper = wrap_tokens(nn.Embedding(6, 4).requires_grad_(False))
    traced = tool(TokensParent(wrapper, how), (IDS,))
    torch.testing.assert_close(traced(IDS), wrapper(IDS))
    torch.testing.assert_close(traced(IDS.flip(0)), wrapper(IDS.flip(0)))


@pytest.mark.row("tracing: torch.compile(fullgraph=True)")
@NEEDS_X
def test_compiled_wrapper_called_by_keyword() -> None:
    wrapper = wrap(Tower())
    torch.testing.assert_close(compiled(wrapper, ())(pixel_values=X, pixel_position_ids=X), wrapper(X, X))


@pytest.mark.row("tracing: torch.compile(fullgraph=True)")
@NEEDS_X
def test_no_graph_break() -> None:
    torch._dynamo.reset()
    found = torch._dynamo.explain(Parent(wrap(Tower()), "keywords"))(X, X)
    assert found.graph_break_count == 0
    assert found.graph_count == 1


@pytest.mark.row("tracing: torch.compile(fullgraph=True)")
@needs_x("<0.20")
def test_compiled_gradients_equal_eager_ones() -> None:
    wrapper = wrap(Tower())
    parent = Parent(wrapper, "keywords")
    gradients = []
    for forward in (compiled(parent, ()), parent):
        wrapper.zero_grad()
        forward(X, X).pow(2).sum().backward()
        gradients.append([p.grad.clone() for p in wrapper.modules_to_save["default"].parameters()])
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.row("tracing: torch.export")
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.stock_fails("<0.20", raises=TypeError, match="[Mm]issing (1 |a )?required")
def test_exported_wrapper_called_by_keyword(strict: bool) -> None:
    wrapper, kwargs = wrap(Tower()), {"pixel_values": X, "pixel_position_ids": POSITION}
    program = torch.export.export(wrapper, (), kwargs, strict=strict)
    torch.testing.assert_close(program.module()(**kwargs), wrapper(X, POSITION))


@pytest.mark.row("tracing: the wrapper itself by position")
@pytest.mark.parametrize("tool", [compiled, exported, exported_loosely, jit_traced])
def test_wrapper_itself_by_position(tool: Any) -> None:
    wrapper = wrap(Tower())
    torch.testing.assert_close(tool(wrapper, (X, X))(X, X), wrapper(X, X))
