"""One model type: build it small, run it, wrap its children."""

from __future__ import annotations

import gc
from typing import Any

import torch
import transformers
from torch import nn

from tests.evidence.zoo import _children, _inputs, _library, _life
from tests.evidence.zoo._shrink import WAYS, shrunken

LARGEST = 100_000_000  # parameters: more would not fit, with a copy, into the memory that a type has


class Unserved(Exception):
    """A type could not be built or run; `stage` says how far it came."""

    def __init__(self, stage: str, error: Exception | str) -> None:
        text = error if isinstance(error, str) else f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        super().__init__(text)
        self.stage = stage


_FAR = ("configuration", "build", "run", "random")  # how far a try came


def examine(model_type: str, like: dict[str, Any] | None = None) -> dict[str, Any]:
    """What stock or patched PEFT does to a type.

    Args:
        model_type: as in transformers' mappings.
        like: what was found before, with the same transformers: it is built and fed as it was then.

    Returns:
        `type`; and `class`, `way` (how it was shrunken), `inputs` (modalities), `parameters`, `called` and `tried` (numbers of children), `crash`,
        `differs`, `other`, `unwrappable` (of those tried, by name), `life` (names in `modules_to_save`, and what became of those that
        did not train, save, reload and merge as the unwrapped model); or `stage` and `reason`, where it could not be run.
    """
    try:
        way, model, inputs, kinds, expected = runnable(model_type, like)
    except Unserved as error:
        return {"type": model_type, "stage": error.stage, "reason": str(error)}
    names = _children.called(model, inputs)
    groups = _children.alike(names)
    outcomes = {group[0]: _children.outcome(model, group[0], inputs, expected) for group in groups.values()}
    lives = {name: _life.outcome(model, name, inputs, expected) for name in _life.names(model, names)}
    known = ("same", "crash", "differs")
    return {
        "type": model_type,
        "class": type(model).__name__,
        "way": way,
        "inputs": sorted(kinds),
        "parameters": sum(p.numel() for p in model.parameters()),
        "called": len(names),
        "keyword_only": sum(names.values()),
        "tried": len(outcomes),
        "same": sum(outcome == "same" for outcome in outcomes.values()),
        "crash": [name for name, outcome in outcomes.items() if outcome == "crash"],
        "differs": [name for name, outcome in outcomes.items() if outcome == "differs"],
        "unwrappable": {name: outcome for name, outcome in outcomes.items() if outcome.startswith("not wrappable")},
        "other": {
            name: outcome
            for name, outcome in outcomes.items()
            if outcome not in known and not outcome.startswith("not wrappable")
        },
        "life": {"names": len(lives), "not whole": {name: what for name, what in lives.items() if what != "whole"}},
    }


Run = tuple[str, nn.Module, _inputs.Inputs, frozenset[str], list[torch.Tensor]]


def runnable(model_type: str, like: dict[str, Any] | None = None) -> Run:
    """How a type was shrunken, the small model, inputs that it takes, their modalities, and its output.

    Raises:
        Unserved: there is none; of all tries, the one that came farthest is told.
    """
    best: Unserved | None = None
    for way in [like["way"]] if like else WAYS:
        for name in [like["class"]] if like else _library.classes(model_type):
            try:
                return _try(model_type, name, way, like["inputs"] if like else None)
            except Unserved as error:
                gc.collect()
                if best is None or _FAR.index(error.stage) > _FAR.index(best.stage):
                    best = error
    raise best or Unserved("configuration", "no class")


def _try(model_type: str, name: str, way: str, modalities: list[str] | None) -> Run:
    try:
        config = shrunken(model_type, way)
    except Exception as error:
        raise Unserved("configuration", error) from error
    model = build(name, config)
    failure: Unserved | None = None
    choices = [*_inputs.kinds(model)] or [frozenset()]
    for kinds in choices if modalities is None else [frozenset(modalities)]:
        recipe = _inputs.Recipe(model, kinds)
        for _ in range(6):
            try:
                inputs = recipe.inputs()
                expected = _children.run(model, inputs)
            except Exception as error:
                failure = failure or Unserved("run", error)
                if not _inputs.mend(recipe, error):
                    break
                continue
            if not expected:
                failure = Unserved("run", "no tensor comes out")
            elif _children.same(_children.run(model, inputs), expected):
                return way, model, inputs, kinds, expected
            else:
                failure = Unserved("random", "two runs of the same model differ")
            break
    raise failure or Unserved("run", "no inputs")


def build(name: str, config: transformers.PretrainedConfig) -> nn.Module:
    try:
        kind = getattr(transformers, name)
    except AttributeError as error:
        raise Unserved("build", error) from error
    try:
        with torch.device("meta"):
            size = sum(p.numel() for p in kind(config).parameters())
    except Exception:
        size = 0  # some cannot be made without memory; the real attempt tells
    if size > LARGEST:
        raise Unserved("build", f"{size:,} parameters are too many")
    torch.manual_seed(0)
    try:
        model: nn.Module = kind(config).eval()
    except Exception as error:
        raise Unserved("build", error) from error
    for parameter in model.parameters():
        # left as the memory was, where a model counts on its checkpoint
        if parameter.is_floating_point() and parameter.numel() and not bool(parameter.detach().abs().max() < 1e3):
            torch.nn.init.normal_(parameter, std=0.02)
    return model
