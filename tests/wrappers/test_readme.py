"""The README's command that shows whether the installed PEFT has the fix."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import peft
import pytest


@pytest.mark.stock_fails("<0.20", raises=AssertionError, match=r"self, x: 'torch.Tensor', \*args")
def test_see_that_it_works() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    ((code, shown),) = re.findall(
        r'^python -c "(import .*)"\n```\n.*?```text\n(.*?)\n', readme, re.MULTILINE | re.DOTALL
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert printed == f"{peft.__version__} {shown.partition(' ')[2]}"
