"""sentence-transformers and diffusers, with modules in `modules_to_save` that their parents call by keyword only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.consumers.frameworks.program import KNOWN, Program

LIBRARIES = ("sentence-transformers", "diffusers")


def libraries(side: str, what: str) -> pytest.MarkDecorator:
    marked = [pytest.param(name, marks=pytest.mark.shows(name, side, what)) for name in LIBRARIES]
    return pytest.mark.parametrize("library", marked)


def run(program: Program, library: str, side: str) -> str:
    command = ("python", "-m", "tests.consumers.frameworks.libraries", library, f"{side}-{library}")
    result = program(*command, side=side)
    assert (result.returncode == 0) == (side == "patched"), result.stderr
    return result.stdout + result.stderr


@libraries("stock", "training")
def test_stock_dies_at_the_first_step(work: Path, program: Program, library: str) -> None:
    assert KNOWN in run(program, library, "stock")


@libraries("patched", "training, reload")
def test_patched_trains_saves_and_loads(work: Path, program: Program, library: str) -> None:
    assert "reloaded, the same" in run(program, library, "patched")
