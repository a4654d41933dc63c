"""What ``audit`` reads in transformers' sources is what its models do when they run."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from patchset.audit.calls import Index, affected
from patchset.audit.classes import read
from tests.models import tiny

MODELS = ["llama", "bert", "speecht5", "wav2vec2", "gemma3", "gemma4"]


def by_keyword(model: nn.Module, batch: tiny.Batch) -> set[str]:
    """The names of the modules that a forward pass calls with keywords only, numbers as audit writes them."""
    found = set()

    def watch(name: str) -> None:
        def called(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if kwargs and not args:
                found.add(name)

        model.get_submodule(name).register_forward_pre_hook(called, with_kwargs=True)

    for name, _ in model.named_modules():
        if name:
            watch(name)
    with torch.no_grad():
        model(**batch)
    return {_last(name) for name in found}


def _last(name: str) -> str:
    """``vision_tower`` for ``model.vision_tower``, ``layers.<n>`` for ``model.layers.0``."""
    parts = name.split(".")
    start = max(at for at, part in enumerate(parts) if not part.isdecimal())
    return ".".join("<n>" if part.isdecimal() else part for part in parts[start:])


@pytest.mark.parametrize("name", MODELS)
def test_every_call_by_keyword_is_named(name: str) -> None:
    """And nothing that the model has, but calls otherwise."""
    if name == "gemma4" and not hasattr(transformers, "Gemma4Config"):
        pytest.skip("this transformers has no Gemma 4")
    build = getattr(tiny, name)()
    model = build.build().eval()
    types = {type(module) for module in model.modules()}
    files = {inspect.getfile(one) for one in types if ".modeling_" in one.__module__}
    children = affected(Index([read(Path(file)) for file in sorted(files)]))
    named = {child.name for child in children if child.owner in {one.__name__ for one in types}}
    its_own = {_last(name) for name, _ in model.named_modules() if name}
    assert named & its_own == by_keyword(model, build.batch())
