"""Run a framework's program on the installed patched PEFT, or on stock of the same release."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.consumers.frameworks.tiny_gemma3 import write_dataset, write_model

ROOT = Path(__file__).parents[3]
KNOWN = "TypeError: AuxiliaryTrainingWrapper.forward() missing 1 required positional argument: 'x'"

Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny `model` and the `data`."""
    folder = tmp_path_factory.mktemp("work")
    write_model(folder / "model")
    write_dataset(folder / "data")
    return folder


@pytest.fixture(scope="session")
def program(work: Path) -> Program:
    """Runs a program of the environment in `work`; `stock=True` puts stock PEFT (PEFT_OTHER) before the patched."""

    def run(*command: str, stock: bool = False) -> subprocess.CompletedProcess[str]:
        path = [str(ROOT), *([os.environ["PEFT_OTHER"]] if stock else [])]
        variables = {"PYTHONPATH": os.pathsep.join(path), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
        return subprocess.run(
            [str(Path(sys.executable).with_name(command[0])), *command[1:]],
            cwd=work,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    return run
