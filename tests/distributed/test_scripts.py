"""The scripts of docs/distributed.md, started as the page says; on CPUs with two processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.distributed.table import NO_X

PAGE = Path(__file__).parents[2] / "docs" / "distributed.md"
SCRIPTS = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL))
STARTS = re.findall(
    r"^((?:torchrun|python|accelerate launch) [^#\n]*?(\w+\.py).*?)(?:  +#.*)?$", PAGE.read_text("utf-8"), re.MULTILINE
)
ON_CPU = [(line, name) for line, name in STARTS if not line.startswith("accelerate")]


def test_each_script_is_started() -> None:
    assert SCRIPTS.keys() == {name for _, name in STARTS}


@pytest.mark.stock_fails("<0.20", raises=TypeError, match=NO_X)
@pytest.mark.parametrize(("line", "name"), ON_CPU, ids=[name for _, name in ON_CPU])
def test_script(line: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(SCRIPTS[name])
    variables = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
        **({} if torch.cuda.is_available() else {"DS_ACCELERATOR": "cpu", "ACCELERATE_USE_CPU": "true"}),
    }  # fmt: skip
    done = subprocess.run(
        line.split(), cwd=tmp_path, env={**os.environ, **variables}, capture_output=True, text=True, check=False,
        timeout=900,
    )  # fmt: skip
    if NO_X in done.stderr:
        raise TypeError(NO_X)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reloaded: " in done.stdout
    assert "False" not in done.stdout
