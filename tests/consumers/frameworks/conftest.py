"""Run a framework's program on the installed patched PEFT, or on another build of the same release; write what was seen.

`@pytest.mark.shows("trl", "stock", "SFT")` says what a passing test shows: of which framework, with which PEFT (`stock`, `local`
for the local version, `patched` for the installed one), in which of its trainers or commands. Where the environment variable
`RESULTS` names a folder, a file is written there for each framework; `python -m tests.frameworks` makes the table of them.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from patchset.doctor.frameworks import frameworks
from patchset.pins import find, load
from tests.consumers.frameworks import tiny_gemma3, tiny_llama
from tests.consumers.frameworks.program import Program, wheel

ROOT = Path(__file__).parents[3]
# Where other builds of the same release are installed.
OTHER = {"stock": "PEFT_OTHER", "local": "PEFT_LOCAL"}


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny models and data: `model` with `data`, which has images, and `text` with `texts`."""
    folder = tmp_path_factory.mktemp("work")
    tiny_gemma3.write_dataset(folder / "data")
    if importlib.metadata.version("transformers") >= "5":  # before, the processor is written otherwise
        tiny_gemma3.write_model(folder / "model")
    tiny_llama.write_model(folder / "text")
    tiny_llama.write_dataset(folder / "texts")
    return folder


@pytest.fixture(scope="session")
def program(work: Path) -> Program:
    """Runs a program of the environment in `work`; `side` puts another PEFT before the installed one."""

    def run(*command: str, side: str = "patched", **variables: str) -> subprocess.CompletedProcess[str]:
        path = [str(ROOT), *([os.environ[OTHER[side]]] if side in OTHER else [])]
        # a framework that checks versions has to do so
        kept = {name: value for name, value in os.environ.items() if name != "DISABLE_VERSION_CHECK"}
        added = {"PYTHONPATH": os.pathsep.join(path), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", **variables}
        return subprocess.run(
            [str(Path(sys.executable).with_name(command[0])), *command[1:]],
            cwd=work,
            env={**kept, **added},
            capture_output=True,
            text=True,
            check=False,
            timeout=1200,
        )

    return run


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "shows(framework, side, what): what a passing test shows")


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Hand what each test shows on to its report."""
    for item in items:
        for mark in item.iter_markers("shows"):
            item.user_properties.append(("shows", list(mark.args)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write what was seen, framework by framework."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in getattr(report, "user_properties", ()):
                if name == "shows":
                    framework, side, what = value
                    found.setdefault(framework, {}).setdefault(side, {})[what] = outcome
    if folder := os.environ.get("RESULTS"):
        for framework, shown in found.items():
            result = described(framework) | {"shown": shown}
            path = Path(folder, f"{framework}{result['version']}-peft{result['wheel']}.json")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")


def described(framework: str) -> dict[str, Any]:
    """A framework, what it says about peft, and what it ran with."""
    version = importlib.metadata.version(framework)
    own = [one for one in frameworks(sys.path) if one.name == framework]
    return {
        "date": datetime.date.today().isoformat(),
        "framework": framework,
        "version": version,
        "pin": str(own[0].pin) if own else "",
        "checks": sorted({str(check) for one in own for check in one.checks if not check.guard}),
        "compares": sorted({str(check) for one in own for check in one.checks if check.guard}),
        "wheel": wheel(),
        # the day alone would not tell runs of one day on two trees apart
        "tree": find(re.split("[+-]", wheel())[0], load()).tree,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("torch", "transformers")},
    }
