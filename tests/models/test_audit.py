"""The audit against what happens: a child that a forward pass calls by keyword only is one that the audit names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from patchset._calls import ELEMENT, read
from tests.models import tiny

pytestmark = pytest.mark.row("audit: names what is called by keyword only")


def keyword_only(model: nn.Module, batch: tiny.Batch) -> set[str]:
    """Names of the modules that the forward pass calls with keywords and never with anything positional."""
    by_keyword, by_position = set(), set()

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            (by_position if args or not kwargs else by_keyword).add(name)

        return hook

    for name, module in model.named_modules():
        if name:
            module.register_forward_pre_hook(note(name), with_kwargs=True)
    with torch.no_grad():
        model(**batch)
    return by_keyword - by_position


@pytest.mark.parametrize("name", ["llama", "bert", "speecht5", "gemma3"])
def test_what_runs_is_named(name: str) -> None:
    example = getattr(tiny, name)()
    model = example.build().eval()
    files = {inspect.getsourcefile(type(module)) for module in model.modules()}
    modeling = [Path(file) for file in files if file and Path(file).name.startswith("modeling_")]
    named = {call.child for file in modeling for call in read(file.read_text(encoding="utf-8"))}
    called = {re.sub(r"\b\d+\b", ELEMENT, child) for child in keyword_only(model, example.batch())}
    assert called
    missed = {child for child in called if not any(child == one or child.endswith(f".{one}") for one in named)}
    assert not missed
