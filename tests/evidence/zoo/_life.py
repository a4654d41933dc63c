"""Beyond the forward pass: wrap by `modules_to_save`, train a step, save, reload, disable and merge, beside the unwrapped model.

The judge is the model itself: a copy of it in which the same modules, without PEFT, take the same step. What it cannot do either is no
fault of PEFT's.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Iterable
from typing import Any

import peft
import torch
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import Tensor, nn

from tests.evidence.zoo import ELSEWHERE, _children

STEP = 1e-2
# LoRA wants a layer; one that is never called leaves all that happens to the modules to save.
TARGET = "zoo_target"


class Unfit(Exception):
    """The unwrapped model cannot take the step."""


def names(model: nn.Module, called: dict[str, bool]) -> list[str]:
    """What to give to `modules_to_save`, one at a time.

    Children that are called with keywords only, one of those alike; and last names that a module has inside another that has it, too.
    """
    alike = _children.alike({name: keywords for name, keywords in called.items() if keywords})
    return [*(group[0] for group in alike.values()), *sorted(nested(model, set(called)))]


def nested(model: nn.Module, called: set[str]) -> set[str]:
    """Last names that are those of a module and of one inside it, the outer one called."""
    found = set()
    for name, _ in model.named_modules():
        last = name.rpartition(".")[2]
        if name in called and not last.isdecimal() and len(matched(model.get_submodule(name), last)):
            found.add(last)
    return found


def matched(model: nn.Module, name: str) -> list[str]:
    """The modules that a name in `modules_to_save` means: whose names end with it, the ones inside others left out."""
    found: list[str] = []
    for key, _ in model.named_modules():
        if key.endswith(name) and not any(key.startswith(f"{outer}.") for outer in found):
            found.append(key)
    return found


def outcome(model: nn.Module, name: str, inputs: dict[str, Any], untouched: list[Tensor]) -> str:
    """What becomes of a name: `whole`, `unfit: ...` if the unwrapped model cannot do it, or the step that failed, and how.

    `elsewhere: ...` is a fault of PEFT's that has nothing to do with the name.

    Args:
        model: the unwrapped model, which is left as it is.
        name: what to give to `modules_to_save`.
        inputs: of its forward pass.
        untouched: its output.
    """
    step = "unwrapped"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            base = copy.deepcopy(model)
            base.add_module(TARGET, nn.Linear(1, 1))
            modules = matched(base, name)
            expected = _reference(base, modules, inputs)
            step = "wrap"
            config = peft.LoraConfig(r=1, target_modules=[TARGET], modules_to_save=[name])
            wrapped = peft.get_peft_model(copy.deepcopy(base), config)
            step = "forward"
            _equal(_children.run(wrapped, inputs), untouched, "the output before training")
            step = "train"
            copies = {key: _active(wrapped, key) for key in modules}
            _step(wrapped, (p for part in copies.values() for p in part.parameters()), inputs)
            for key, part in copies.items():
                _same_weights(part, expected.get_submodule(key), key)
            trained = _children.run(expected, inputs)
            _equal(_children.run(wrapped, inputs), trained, "the output after training")
            step = "save"
            with tempfile.TemporaryDirectory() as folder:
                wrapped.save_pretrained(folder, save_embedding_layers=False)
                step = "reload"
                again = peft.PeftModel.from_pretrained(copy.deepcopy(base), folder)
            _equal(_children.run(again, inputs), trained, "the output after reloading")
            step = "disable"
            with wrapped.disable_adapter():
                _equal(_children.run(wrapped, inputs), untouched, "the output with adapters disabled")
            step = "merge"
            merged = wrapped.merge_and_unload()
            if any(isinstance(module, AuxiliaryTrainingWrapper) for module in merged.modules()):
                raise AssertionError("a wrapper is left")
            _equal(_children.run(merged, inputs), trained, "the output after merging")
    except Unfit as error:
        return f"unfit: {error}"
    except Exception as error:
        if step == "forward" and _children.KNOWN.search(str(error)):
            return "crash"
        if step in ("wrap", "reload") and _is_elsewhere(base, error):
            step = ELSEWHERE
        return f"{step}: {_children.line(error)}"
    return "whole"


def _is_elsewhere(base: nn.Module, error: Exception) -> bool:
    """Whether PEFT wraps no module of that class, or, with LoRA alone, neither wraps nor reloads the model."""
    if isinstance(error, TypeError) and "cannot be applied to modules of type" in str(error):
        return True
    try:
        alone = peft.get_peft_model(copy.deepcopy(base), peft.LoraConfig(r=1, target_modules=[TARGET]))
        with tempfile.TemporaryDirectory() as folder:
            alone.save_pretrained(folder, save_embedding_layers=False)
            peft.PeftModel.from_pretrained(copy.deepcopy(base), folder)
    except type(error) as same:
        return str(same) == str(error)
    return False


def _reference(base: nn.Module, modules: Iterable[str], inputs: dict[str, Any]) -> nn.Module:
    """A copy of the model after the step; its modules are copies of their own, as tied weights come apart when wrapped.

    Raises:
        Unfit: it cannot take the step.
    """
    found = copy.deepcopy(base).requires_grad_(False)
    parts = []
    for key in modules:
        part = copy.deepcopy(found.get_submodule(key))
        setattr(found.get_submodule(key.rpartition(".")[0]), key.rpartition(".")[2], part)
        parts.append(part.requires_grad_(True))
    try:
        _step(found, (p for part in parts for p in part.parameters()), inputs)
    except Exception as error:
        raise Unfit(_children.line(error)) from error
    return found


def _step(model: nn.Module, parameters: Iterable[nn.Parameter], inputs: dict[str, Any]) -> None:
    """One step of gradient descent, in which each weight with a gradient moves by at most `STEP`."""
    trained = list(dict.fromkeys(parameters))
    if not all(p.requires_grad for p in trained):
        raise AssertionError("a parameter of the copy does not train")
    torch.manual_seed(0)
    with torch.enable_grad():
        floats = [
            out.float() for out in _children.tensors(model(**inputs)) if out.is_floating_point() and out.requires_grad
        ]
        if not floats:
            raise RuntimeError("no output depends on it")
        torch.stack([out.pow(2).mean() for out in floats]).sum().backward()
    with torch.no_grad():
        for p in trained:
            if p.grad is not None:
                p -= STEP * p.grad / p.grad.abs().max().clamp_min(1e-12)
                p.grad = None


def _active(model: nn.Module, key: str) -> nn.Module:
    """The copy that trains, of the module with that name."""
    copies = getattr(model.get_base_model().get_submodule(key), "modules_to_save", {})
    if "default" not in copies:
        raise AssertionError(f"{key} is not wrapped")
    return copies["default"]


def _same_weights(left: nn.Module, right: nn.Module, key: str) -> None:
    theirs = dict(right.named_parameters())
    for name, parameter in left.named_parameters():
        if not torch.allclose(parameter, theirs[name], rtol=1e-3, atol=STEP / 20, equal_nan=True):
            raise AssertionError(f"{key}.{name} is trained otherwise")


def _equal(left: list[Tensor], right: list[Tensor], what: str) -> None:
    if not _children.same(left, right):
        raise AssertionError(f"{what} is another")
