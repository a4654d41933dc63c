"""Breaks the installed `peft` on purpose, one way at a time, and sees the oracle catch it: `python -m tests.oracle.mutants`.

Each mutation is of the running process alone. The status is 1 if one of them is not caught, or if the unbroken one differs.
"""

from __future__ import annotations

import contextlib
import copy
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from unittest import mock

import torch
from peft.tuners.lora import LoraModel
from peft.utils import save_and_load
from peft.utils.other import ModulesToSaveWrapper, TrainableTokensWrapper
from torch import nn

from tests.contract import installed
from tests.oracle.chunks import chunk

CHUNKS = 10  # to look into before a mutation counts as missed

Mutation = Callable[[], contextlib.AbstractContextManager[Any]]


def method(owner: type, name: str, change: Callable[..., Any]) -> Mutation:
    """Replace a method; the change is called with the old one first."""
    old = getattr(owner, name)

    def new(self: Any, *args: Any, **kwargs: Any) -> Any:
        return change(old, self, *args, **kwargs)

    return lambda: mock.patch.object(owner, name, new)


def frozen(old: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    """The first parameter of a copy does not train."""
    old(self, *args, **kwargs)
    for module in self.modules_to_save.values():
        next(module.parameters()).requires_grad_(False)


def swapped(old: Any, self: Any, adapter_name: str) -> dict[str, str]:
    """Two weights of one shape change places when they are loaded."""
    keys = old(self, adapter_name)
    shapes = self.state_dict()
    for one in keys:
        for other in keys:
            if one < other and shapes[keys[one]].shape == shapes[keys[other]].shape:
                return keys | {one: keys[other], other: keys[one]}
    return keys


def unmerged(old: Any, self: Any, *args: Any, **kwargs: Any) -> nn.Module:
    """Merging leaves out the copy."""
    old(self, *args, **kwargs)
    return self.original_module


def first(old: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    """The copy that was made first is called, whichever is active."""
    return next(iter(self.modules_to_save.values()))(*args, **kwargs)


def shared(old: Any, self: Any, adapter_name: str, *args: Any, **kwargs: Any) -> None:
    """A second adapter gets the first one's copy instead of its own."""
    copies = list(self.modules_to_save.values())
    old(self, adapter_name, *args, **kwargs)
    if copies and adapter_name in self.modules_to_save:
        self.modules_to_save[adapter_name] = copies[0]


def untied(old: Any, self: Any, adapter_name: str, *args: Any, **kwargs: Any) -> None:
    """A second adapter's copy is one of the first one's, trained weights and all."""
    copies = list(self.modules_to_save.values())
    new = adapter_name not in self.modules_to_save
    old(self, adapter_name, *args, **kwargs)
    if copies and new:
        self.modules_to_save[adapter_name] = copy.deepcopy(copies[0]).requires_grad_(False)


def halved(old: Any, self: Any, adapter_name: str, state: Any) -> dict[str, torch.Tensor]:
    """A weight is not saved."""
    return dict(list(old(self, adapter_name, state).items())[1:])


def still_on(old: Any, self: Any, enabled: bool) -> None:
    """Disabling does nothing."""
    old(self, True)


def unswitched(old: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    """Trained tokens stay with the adapter that was active first."""
    if not self.active_adapters:
        old(self, *args, **kwargs)


def undeleted(old: Any, self: Any, name: str) -> None:
    """Deleting leaves the configuration."""
    kept = self.peft_config[name]
    old(self, name)
    self.peft_config[name] = kept


def unfollowed(old: Any, self: Any, name: str, new_active_adapters: list[str] | None) -> None:
    """Deleting an adapter leaves wrappers that it has no part in alone, whoever is active then."""
    if name in self.modules_to_save:
        old(self, name, new_active_adapters=new_active_adapters)


@contextlib.contextmanager
def renamed() -> Iterator[None]:
    """Keys are rewritten by string, as if no model called a module `original_module`."""
    old = save_and_load.get_peft_model_state_dict

    def new(*args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        return {key.replace(".original_module.", "."): value for key, value in old(*args, **kwargs).items()}

    with (
        mock.patch("peft.peft_model.get_peft_model_state_dict", new),
        mock.patch("tests.oracle.subject.get_peft_model_state_dict", new),
    ):
        yield


TOKENS_FORWARD = method(
    TrainableTokensWrapper,
    "_forward_wrapped",
    lambda old, self, *args, **kwargs: self.original_module(*args, **kwargs),
)
MUTATIONS: dict[str, Mutation] = {
    "a parameter is frozen": method(ModulesToSaveWrapper, "set_adapter", frozen),
    "weights are swapped on load": method(ModulesToSaveWrapper, "adapter_state_dict_load_map", swapped),
    "merging ignores the copy": method(ModulesToSaveWrapper, "unload_and_optionally_merge_module", unmerged),
    "the first copy is called": method(ModulesToSaveWrapper, "_forward_wrapped", first),
    "adapters share a copy": method(ModulesToSaveWrapper, "update", shared),
    "a copy of a copy": method(ModulesToSaveWrapper, "update", untied),
    "a weight is not saved": method(ModulesToSaveWrapper, "adapter_state_dict", halved),
    "disabling does nothing": method(ModulesToSaveWrapper, "enable_adapters", still_on),
    "trained tokens are not used": TOKENS_FORWARD,
    "trained tokens are not switched": method(TrainableTokensWrapper, "set_adapter", unswitched),
    "keys are rewritten by string": renamed,
}
if hasattr(ModulesToSaveWrapper, "delete_adapter"):  # 0.15 has none, and its model is given up after a deletion
    MUTATIONS |= {
        "a deleted adapter is not gone": method(LoraModel, "delete_adapter", undeleted),
        "who is active after deletion is not followed": method(ModulesToSaveWrapper, "delete_adapter", unfollowed),
    }


@cache
def sound(number: int) -> frozenset[str]:
    """How sequences of a chunk differ in the unbroken one; in no way."""
    found = chunk(number)
    print(
        f"unbroken, chunk {number}: {sum(found.differing.values())} of {found.sequences} sequences differ", flush=True
    )
    return frozenset(found.differing)


def main() -> int:
    print(installed().label)
    missed, differing = [], sound(0)
    for name, mutation in MUTATIONS.items():
        start = time.perf_counter()
        new: dict[str, int] = {}
        # a rare combination of operations is not in every chunk
        for number in range(CHUNKS):
            known = sound(number)
            differing |= known
            with mutation():
                found = chunk(number)
            new = {kind: count for kind, count in found.differing.items() if kind not in known}
            if new:
                break
        seconds = time.perf_counter() - start
        print(f"{'caught' if new else 'MISSED'} {name}: {new} (chunk {number}, {seconds:.0f} s)", flush=True)
        if not new:
            missed.append(name)
    return 1 if missed or differing else 0


if __name__ == "__main__":
    sys.exit(main())
