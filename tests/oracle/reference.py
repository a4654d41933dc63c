"""The reference: what each adapter is, in plain dictionaries, and the unwrapped model run with them.

It knows nothing of wrappers. An adapter's weights are tensors by the name that they replace in the base model.
"""

from __future__ import annotations

import copy
import re
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from tests.oracle.trees import Tree

PREFIX = "base_model.model."  # of every key in an adapter's file
RANK = 2
SCALING = 2.0
Part = tuple[
    str, str
]  # what a weight is to its adapter (`saved`, `lora_A`, `lora_B`, `tokens`), and the name in the base


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Attributes:
        save: The names for `modules_to_save`.
        targets: The names for LoRA's `target_modules`; none: LoRA is there, but targets nothing.
        tokens: The embedding's name and the rows for `trainable_token_indices`.
        bare: Whether the one name to save is handed in as a string instead of a list.
    """

    save: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    tokens: tuple[str, tuple[int, ...]] | None = None
    bare: bool = False

    def as_json(self) -> dict[str, Any]:
        """The fields that are not at their default."""
        return {key: value for key, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Request:
        """The inverse of `as_json`, lists being what JSON made of tuples."""
        tokens = found.get("tokens")
        rows = (tokens[0], tuple(tokens[1])) if tokens else None
        return cls(tuple(found.get("save", ())), tuple(found.get("targets", ())), rows, found.get("bare", False))


@dataclass(frozen=True)
class Resolved:
    """The modules that a request means, by path.

    Attributes:
        saved: Those trained whole: the end of their path is a name, and they are inside of no other such module.
        lora: The linear layers with LoRA.
        tokens: The embedding with trained rows, as a tuple of none or one.
        unmatched: Names that mean no module.
    """

    saved: tuple[str, ...]
    lora: tuple[str, ...]
    tokens: tuple[str, ...]
    unmatched: tuple[str, ...]

    @property
    def uses(self) -> list[tuple[str, str]]:
        """All of them, each with what is done to it."""
        kinds = {"saved": self.saved, "lora": self.lora, "tokens": self.tokens}
        return [(path, kind) for kind, paths in kinds.items() for path in paths]


def is_inside(inner: str, outer: str) -> bool:
    """Whether a path is below another."""
    return inner.startswith(f"{outer}.")


def resolve(tree: Tree, request: Request) -> Resolved:
    """The modules that a request means in the base model; adapters that are there already do not matter."""
    saved: list[str] = []
    for path in tree.nodes:
        if any(is_inside(path, outer) for outer in saved):
            continue
        if any(path.endswith(name) for name in request.save):
            saved.append(path)
    unmatched = tuple(name for name in request.save if not any(path.endswith(name) for path in tree.nodes))

    # LoRA leaves alone what modules_to_save names, here by whole names
    left_alone = [re.compile(rf"(^|.*\.){re.escape(name)}($|\..*)") for name in request.save]
    lora = tuple(
        path
        for path in tree.nodes
        if any(f".{path}".endswith(f".{name}") for name in request.targets)
        and not any(pattern.match(path) for pattern in left_alone)
    )
    tokens = tuple(path for path in tree.nodes if request.tokens and path.endswith(request.tokens[0]))
    return Resolved(tuple(saved), lora, tokens, unmatched)


def overlaps(one: Resolved, other: Resolved) -> list[tuple[str, str]]:
    """Pairs of modules, one of each, of which one lies inside the other, or which are one module used in two ways."""
    pairs = []
    for first, kind in one.uses:
        for second, other_kind in other.uses:
            nested = is_inside(first, second) or is_inside(second, first)
            clash = kind != other_kind if first == second else nested
            if clash:
                pairs.append((first, second))
    return pairs


@dataclass
class Adapter:
    """An adapter's weights.

    Attributes:
        request: What was asked for.
        modules: What that means.
        saved: Weights and buffers of the modules trained whole, by name; names that are tied inside one module hold
            one tensor.
        lora: A and B by path.
        rows: The trained rows by path.
    """

    request: Request
    modules: Resolved
    saved: dict[str, Tensor] = field(default_factory=dict)
    lora: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    rows: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def new(cls, tree: Tree, base: dict[str, Tensor], request: Request) -> Adapter:
        """An adapter as it is before it is trained; LoRA's weights are the caller's."""
        modules = resolve(tree, request)
        adapter = cls(request, modules)
        for path in modules.saved:
            copies: dict[int, Tensor] = {}
            for name in tree.inside(path):
                copies.setdefault(id(base[name]), base[name].clone())
                adapter.saved[name] = copies[id(base[name])]
        for path in modules.tokens:
            assert request.tokens
            adapter.rows[path] = base[f"{path}.weight"][list(request.tokens[1])].clone()
        return adapter

    def snapshot(self) -> Adapter:
        """A copy; what was tied stays so."""
        return copy.deepcopy(self)

    @property
    def keys(self) -> dict[str, Tensor]:
        """What its file holds."""
        found = {f"{PREFIX}{name}": value for name, value in self.saved.items()}
        for path, (a, b) in self.lora.items():
            found |= {f"{PREFIX}{path}.lora_A.weight": a, f"{PREFIX}{path}.lora_B.weight": b}
        for path, rows in self.rows.items():
            found[f"{PREFIX}{path}.token_adapter.trainable_tokens_delta"] = rows
        return found

    def trainable(self, tree: Tree) -> dict[Part, Tensor]:
        """What trains while it is active; of tied names the first stands for all."""
        found: dict[Part, Tensor] = {}
        seen: set[int] = set()
        for name, value in self.saved.items():
            if not is_buffer(name) and id(value) not in seen:
                seen.add(id(value))
                found["saved", name] = value
        for path, (a, b) in self.lora.items():
            found |= {("lora_A", path): a, ("lora_B", path): b}
        found |= {("tokens", path): rows for path, rows in self.rows.items()}
        return found

    def over(self, base: dict[str, Tensor]) -> dict[str, Tensor]:
        """The base model's weights with this adapter's in their place."""
        weights = base | self.saved
        for path, (a, b) in self.lora.items():
            weights[f"{path}.weight"] = weights[f"{path}.weight"] + SCALING * (b @ a)
        for path, rows in self.rows.items():
            assert self.request.tokens
            index = torch.tensor(self.request.tokens[1])
            weights[f"{path}.weight"] = weights[f"{path}.weight"].index_copy(0, index, rows)
        return weights


class Reference:
    """The unwrapped model, without ties, run with whatever weights it is handed.

    Attributes:
        tree: The tree that it is built from.
        base: The base model's weights.
        adapters: By name.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.model = tree.build(tied=False).requires_grad_(False)
        self.base = tree.weights
        self.adapters: dict[str, Adapter] = {}

    def run(self, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
        """The output with these weights."""
        return functional_call(self.model, weights, (ids,))

    def output(self, adapter: Adapter | None, ids: Tensor) -> Tensor:
        """The output with an adapter active, or none."""
        with torch.no_grad():
            return self.run(adapter.over(self.base) if adapter else self.base, ids)

    def train(self, adapter: Adapter, ids: Tensor, rate: float) -> None:
        """One step of gradient descent on `loss`, in place; buffers just grow."""
        parts = list(adapter.trainable(self.tree).values())
        for part in parts:
            part.requires_grad_(True)
        loss(self.run(adapter.over(self.base), ids)).backward()
        for part in parts:
            part.requires_grad_(False)
            if part.grad is not None:
                part -= rate * part.grad
            part.grad = None
        for buffer in {id(value): value for name, value in adapter.saved.items() if is_buffer(name)}.values():
            buffer += rate


def is_buffer(name: str) -> bool:
    """Whether this is not a parameter."""
    return name.endswith(".offset")


def loss(output: Tensor) -> Tensor:
    """What is trained for; no weight is at its best to begin with."""
    return (output - 0.3).square().sum()
