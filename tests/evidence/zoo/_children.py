"""Wrap each child that a forward pass calls, in turn, and compare the outputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from peft.utils.other import ModulesToSaveWrapper
from torch import Tensor, nn

# What stock PEFT before 0.20 says.
KNOWN = re.compile(r"forward\(\) missing 1 required positional argument: 'x'")


def run(model: nn.Module, inputs: dict[str, Any]) -> list[Tensor]:
    """One forward pass; all tensors of the output, in order."""
    torch.manual_seed(0)
    with torch.no_grad():
        return list(tensors(model(**inputs)))


def tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from tensors(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from tensors(one)


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    """Whether two outputs are equal, but for what another order of memory does to the last digits."""
    return len(left) == len(right) and all(
        a.shape == b.shape and torch.allclose(a.float(), b.float(), rtol=1e-4, atol=1e-5, equal_nan=True)
        if not (a.is_complex() or b.is_complex())
        else torch.allclose(a, b, equal_nan=True)
        for a, b in zip(left, right, strict=True)
    )


def called(model: nn.Module, inputs: dict[str, Any]) -> dict[str, bool]:
    """The children that a forward pass calls, and whether a call came with keywords only."""
    found: dict[str, bool] = {}
    handles = []

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            found[name] = found.get(name, False) or bool(kwargs and not args)

        return hook

    for name, module in model.named_modules():
        if name:
            handles.append(module.register_forward_pre_hook(note(name), with_kwargs=True))
    try:
        run(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def alike(names: dict[str, bool]) -> dict[str, list[str]]:
    """Children grouped by name without numbers and by how they are called: those of repeated layers are one group."""
    groups: dict[str, list[str]] = {}
    for name, keywords in names.items():
        groups.setdefault(f"{re.sub(r'[0-9]+', '#', name)}:{keywords}", []).append(name)
    return groups


def outcome(model: nn.Module, name: str, inputs: dict[str, Any], expected: list[Tensor]) -> str:
    """What becomes of the output when a child is wrapped: `same`, `crash`, `differs`, `not wrappable`, or an error."""
    parent = model.get_submodule(name.rpartition(".")[0])
    child = model.get_submodule(name)
    try:
        wrapper = ModulesToSaveWrapper(child, "default")
        wrapper.set_adapter("default")
    except Exception as error:
        return f"not wrappable: {line(error)}"
    setattr(parent, name.rpartition(".")[2], wrapper.eval())
    try:
        return "same" if same(run(model, inputs), expected) else "differs"
    except Exception as error:
        return "crash" if KNOWN.search(str(error)) else line(error)
    finally:
        setattr(parent, name.rpartition(".")[2], child)


def line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
