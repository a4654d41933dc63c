"""Small random models, as data, and the modules that they are built into.

A tree is data, so that a sequence can be written down and replayed. It can be built twice: with its ties, for PEFT, or
without any, for the reference, which says by name which weights are one.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

WIDTH = 3
VOCABULARY = 5
DTYPE = torch.float64  # differences are then mistakes, not rounding
LEAVES = ("linear", "scale", "keyword", "embedding")
FORWARDS = ("class", "method", "partial", "object", "closure")  # where a leaf's `forward` comes from
CALLS = ("position", "keyword")


@dataclass(frozen=True)
class Node:
    """A module of the tree.

    Attributes:
        name: What its parent calls it; no dots.
        kind: One of `LEAVES`, or `block` (calls its children in turn), or `list` (an `nn.ModuleList` that its parent
            goes through).
        children: Modules inside.
        forward: One of `FORWARDS`, for a leaf.
        call: One of `CALLS`: how the parent hands in the input.
        same_as: The path of an earlier leaf that this one is: the same module (`share`), or with the same weight.
        share: Whether `same_as` means the module and not only its weight.
    """

    name: str
    kind: str
    children: tuple[Node, ...] = ()
    forward: str = "class"
    call: str = "position"
    same_as: str = ""
    share: bool = False

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Node]]:
        """All modules inside by path, parents first."""
        for child in self.children:
            path = f"{prefix}{child.name}"
            yield path, child
            yield from child.walk(f"{path}.")

    def as_json(self) -> dict[str, Any]:
        """The fields that are not at their default."""
        found = {"name": self.name, "kind": self.kind}
        if self.children:
            found["children"] = [child.as_json() for child in self.children]
        for key, default in (("forward", "class"), ("call", "position"), ("same_as", ""), ("share", False)):
            if getattr(self, key) != default:
                found[key] = getattr(self, key)
        return found

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Node:
        """The inverse of `as_json`."""
        children = tuple(map(cls.from_json, found.get("children", ())))
        return cls(**{**found, "children": children})


class Scale(nn.Module):
    """A weight and a buffer that is saved; its input is called `x`, as the wrapper's once was."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(WIDTH, dtype=DTYPE))
        self.register_buffer("offset", torch.empty(WIDTH, dtype=DTYPE))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + self.offset


class Keyword(nn.Module):
    """Takes its input by keyword only."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(WIDTH, dtype=DTYPE))

    def forward(self, *, hidden_states: Tensor) -> Tensor:
        return hidden_states * self.weight


class Callee:
    """A callable object that stands for a module's `forward`, as some quantizers and hooks put there."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        return type(self.module).forward(self.module, *args, **kwargs)


class Block(nn.Module):
    """Calls its children in turn, embeddings with the token ids and all others with the hidden states."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.calls = tuple(_calls(node))

    def forward(self, hidden_states: Tensor, ids: Tensor) -> Tensor:
        for path, kind, call in self.calls:
            child = self.get_submodule(path)
            keyword = call == "keyword"
            if kind == "block":
                out = child(hidden_states=hidden_states, ids=ids) if keyword else child(hidden_states, ids)
            elif kind == "keyword":
                out = child(hidden_states=hidden_states)
            else:
                value = ids if kind == "embedding" else hidden_states
                name = "x" if kind == "scale" else "input"
                out = child(**{name: value}) if keyword else child(value)
            hidden_states = torch.tanh(hidden_states + out)  # bounded, so that no training step explodes
        return hidden_states


def _calls(node: Node, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for child in node.children:
        if child.kind == "list":
            yield from _calls(child, f"{prefix}{child.name}.")
        else:
            yield f"{prefix}{child.name}", child.kind, child.call


class Root(Block):
    """The user's model: token ids in, hidden states out."""

    def forward(self, ids: Tensor) -> Tensor:  # type: ignore[override]
        start = torch.linspace(-0.5, 0.5, WIDTH, dtype=DTYPE).expand(*ids.shape, WIDTH)
        return super().forward(start + ids[..., None] * 0.1, ids)


def _leaf(kind: str) -> nn.Module:
    if kind == "linear":
        return nn.Linear(WIDTH, WIDTH, dtype=DTYPE)
    if kind == "embedding":
        return nn.Embedding(VOCABULARY, WIDTH, dtype=DTYPE)
    return Scale() if kind == "scale" else Keyword()


def _with_forward(module: nn.Module, forward: str) -> nn.Module:
    """Put another `forward` on the instance; what it computes is the same."""
    own = type(module).forward
    made: dict[str, Callable[[], Any]] = {
        "method": lambda: types.MethodType(own, module),
        "partial": lambda: functools.partial(own, module),
        "object": lambda: Callee(module),
        # no copy of the module can be reached through this
        "closure": lambda: lambda *args, **kwargs: own(module, *args, **kwargs),
    }
    if forward in made:
        module.forward = made[forward]()
    return module


@dataclass
class Tree:
    """A tree with what is asked of it again and again.

    Attributes:
        root: The tree; its own name is not used.
        nodes: All modules by path, parents first.
    """

    root: Node
    nodes: dict[str, Node] = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = dict(self.root.walk())

    def build(self, tied: bool) -> nn.Module:
        """The model, its weights not yet set; without `tied` every name has its own module and weight."""
        model = Root(self.root)
        for path, node in self.nodes.items():
            parent, _, name = path.rpartition(".")
            module: nn.Module
            if node.kind in ("block", "list"):
                module = Block(node) if node.kind == "block" else nn.ModuleList()
            elif node.share and tied:
                module = model.get_submodule(node.same_as)
            else:
                module = _with_forward(_leaf(node.kind), node.forward)
                if node.same_as and tied:
                    module.weight = model.get_submodule(node.same_as).weight
            model.get_submodule(parent).add_module(name, module)
        return model.eval()

    @functools.cached_property
    def weights(self) -> dict[str, Tensor]:
        """The base model's parameters and buffers; names that are tied hold one tensor."""
        found: dict[str, Tensor] = {}
        generator = torch.Generator().manual_seed(0)
        for path, node in self.nodes.items():
            if node.kind in ("block", "list"):
                continue
            for name, value in _leaf(node.kind).state_dict().items():
                tied = node.same_as and (node.share or name == "weight")
                made = torch.randn(value.shape, generator=generator, dtype=DTYPE) / 2
                found[f"{path}.{name}"] = found[f"{node.same_as}.{name}"] if tied else made
        return found

    def of_kind(self, *kinds: str) -> list[str]:
        """The paths of the modules of these kinds."""
        return [path for path, node in self.nodes.items() if node.kind in kinds]

    def inside(self, path: str) -> list[str]:
        """The names of the weights of a module, its own and those of modules inside."""
        return [name for name in self.weights if name.startswith(f"{path}.")]

    @functools.cached_property
    def tied(self) -> set[str]:
        """The paths of the leaves that are, or whose weight is, shared with another."""
        later = {path: node.same_as for path, node in self.nodes.items() if node.same_as}
        return set(later) | set(later.values())
