"""pytest plugin for upstream's suite: no model hub, only the wanted tests, and a list of what was collected.

It runs in the suite's own process, where `tests` is upstream's package. Hence it stands alone, outside of ours.
"""

from __future__ import annotations

import functools
import importlib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Where `hub_online_once` keeps what it has seen, up to 0.17.1 and since.
_HUB_ACCESSES = (("tests.testing_common", "HUB_MODEL_ACCESSES"), ("tests.testing_utils", "_HUB_MODEL_ACCESSES"))
# What looks into a cache folder of the caller's choice, which is empty when a test has just made it.
_DOWNLOADS = (
    ("huggingface_hub.file_download", "_hf_hub_download_to_cache_dir"),
    ("huggingface_hub._snapshot_download", "snapshot_download"),
)
_errors: dict[str, str] = {}


class _Seen(defaultdict[str, int]):
    """Says of every model that it was asked for before."""

    def __contains__(self, key: object) -> bool:
        return True


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options that the comparer uses."""
    parser.addoption("--wanted", help="JSON list of the node ids to run; the others are deselected")
    parser.addoption("--collected", help="JSON file to write the collected node ids and the collection errors to")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker that some releases use and do not register, and stand in for downloads."""
    config.addinivalue_line("markers", "skipf: upstream's misspelt skipif")
    for name, function in _DOWNLOADS:
        try:
            module = importlib.import_module(name)
        except ImportError:  # a suite that loads nothing
            continue
        setattr(module, function, _downloading(getattr(module, function)))


def _downloading(inner: Callable[..., Any]) -> Callable[..., Any]:
    """Put a stand-in into the cache folder that a call names, as a download would, before the call looks there."""
    home = Path(importlib.import_module("huggingface_hub.constants").HF_HUB_CACHE)

    @functools.wraps(inner)
    def download(*args: Any, **kwargs: Any) -> Any:
        repository, folder = kwargs.get("repo_id", *args[:1]), kwargs.get("cache_dir")
        if folder is not None and kwargs.get("repo_type") in (None, "model"):
            name = f"models--{repository.replace('/', '--')}"
            if (home / name).exists() and not (Path(folder) / name).exists():
                shutil.copytree(home / name, Path(folder) / name)
        return inner(*args, **kwargs)

    return download


def pytest_collectstart() -> None:
    """Keep upstream's `hub_online_once` from going online for a model that it has not seen."""
    for module, name in _HUB_ACCESSES:
        try:
            utilities = importlib.import_module(module)
        except ImportError:  # a collection error of the test files, and reported as such
            continue
        if type(getattr(utilities, name, None)) is dict:
            setattr(utilities, name, _Seen(lambda: 1))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note the files that cannot be imported."""
    if report.failed:
        _errors[report.nodeid] = str(report.longrepr)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the wanted tests."""
    if wanted := config.getoption("wanted"):
        ids = set(json.loads(Path(wanted).read_text("utf-8")))
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in ids])
        items[:] = [item for item in items if item.nodeid in ids]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write what was collected."""
    if target := session.config.getoption("collected"):
        result = {"ids": [item.nodeid for item in session.items], "errors": _errors}
        Path(target).write_text(json.dumps(result), "utf-8")
