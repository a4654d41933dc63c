"""Adapter files: stock's load in patched PEFT and the other way round, and they are the same bytes.

These tests need the other side of the same release. `PEFT_OTHER` names it, in one of two ways:

- a folder that holds the other `peft`, as `pip install --no-deps --target FOLDER peft==0.18.1` makes it, or `src` of a
  source tree; it goes in front of everything else, so the rest of the environment is shared;
- the Python of an environment that has it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
import pytest
from packaging.version import Version
from peft import LoraConfig, OFTConfig, PeftConfig
from safetensors.torch import load_file

from . import adapter_worker

OTHER = os.environ.get("PEFT_OTHER", "")
needs_other = pytest.mark.skipif(not OTHER, reason="PEFT_OTHER does not name the other side's PEFT")
adapters = pytest.mark.parametrize("adapter", adapter_worker.ADAPTERS)


@dataclass(frozen=True)
class Exchange:
    """What the two sides wrote and read.

    Attributes:
        ours: Folder of the adapters that this side wrote.
        theirs: The same for the other side.
        version: The other side's version.
        loaded: Digests of what the other side loaded from `ours`.
        loaded_here: Digests of what this side loaded from `ours`.
    """

    ours: Path
    theirs: Path
    version: Version
    loaded: dict[str, str]
    loaded_here: dict[str, str]


@pytest.fixture(scope="session")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Exchange:
    """Write with this side, and let the other side write and read, in one run of its Python."""
    ours, theirs = tmp_path_factory.mktemp("ours"), tmp_path_factory.mktemp("theirs")
    for adapter in adapter_worker.ADAPTERS:
        adapter_worker.write(adapter, ours)
    # Not this side's PYTHONPATH, which may be what makes it this side.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    python = OTHER
    if Path(OTHER).is_dir():
        python, environment["PYTHONPATH"] = sys.executable, str(Path(OTHER).absolute())
    run = subprocess.run(
        [python, "-m", "models.adapter_worker", str(theirs), str(ours)],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout.splitlines()[-1])
    loaded_here = {adapter: adapter_worker.read(adapter, ours) for adapter in adapter_worker.ADAPTERS}
    return Exchange(ours, theirs, Version(report["version"]), report["loaded"], loaded_here)


def config_of(adapter: str, folder: Path) -> dict[str, Any]:
    """The saved configuration."""
    return json.loads((adapter_worker.saved_in(adapter, folder) / "adapter_config.json").read_text())


@needs_other
@pytest.mark.row("adapter files: the other side is the other side")
def test_the_other_side_is_the_same_release(exchange: Exchange, peft_installed: Any) -> None:
    assert exchange.version.public == str(peft_installed.release)
    assert (exchange.version.local is None) == peft_installed.patched


@needs_other
@adapters
@pytest.mark.row("adapter files: same bytes")
def test_weights_are_byte_identical(exchange: Exchange, adapter: str) -> None:
    ours, theirs = (adapter_worker.saved_in(adapter, folder) for folder in (exchange.ours, exchange.theirs))
    assert sorted(file.name for file in ours.iterdir()) == sorted(file.name for file in theirs.iterdir())
    name = "adapter_model.safetensors"
    assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    assert load_file(ours / name), "there must be something in it"


@needs_other
@adapters
@pytest.mark.row("adapter files: same configuration, peft_version aside")
def test_configurations_are_equal(exchange: Exchange, adapter: str) -> None:
    ours, theirs = config_of(adapter, exchange.ours), config_of(adapter, exchange.theirs)
    versions = ours.pop("peft_version", None), theirs.pop("peft_version", None)
    # Sets are saved in any order.
    assert {k: sorted(v) if isinstance(v, list) else v for k, v in ours.items()} == {
        k: sorted(v) if isinstance(v, list) else v for k, v in theirs.items()
    }
    assert versions in ((None, None), (peft.__version__, str(exchange.version)))


@needs_other
@adapters
@pytest.mark.row("adapter files: the other side loads ours")
def test_the_other_side_loads_ours(exchange: Exchange, adapter: str) -> None:
    assert exchange.loaded[adapter] == exchange.loaded_here[adapter]


@needs_other
@adapters
@pytest.mark.row("adapter files: this side loads theirs")
def test_this_side_loads_theirs(exchange: Exchange, adapter: str) -> None:
    assert adapter_worker.read(adapter, exchange.theirs) == exchange.loaded_here[adapter]


VERSIONS = ["0.15.2", "0.18.1", "0.18.1+kwargs.1", "0.21.2+kwargs.12", "1.0.0+kwargs.1", "0.19.2.dev0@UNKNOWN"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.row("adapter files: any peft_version loads")
def test_any_peft_version_loads(version: str, tmp_path: Path) -> None:
    LoraConfig(target_modules=["q_proj"], modules_to_save=["vision_tower"]).save_pretrained(tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "peft_version": version}))
    config = PeftConfig.from_pretrained(tmp_path)
    assert config.modules_to_save == ["vision_tower"]
    # Releases before 0.18 have no such field, and drop it.
    assert getattr(config, "peft_version", version) == version


@pytest.mark.parametrize(
    ("version", "old"), [("0.17.1+kwargs.1", True), ("0.18.0+kwargs.1", False), ("0.21.2+kwargs.3", False)]
)
@pytest.mark.row("adapter files: PEFT's own comparison copes with the local version")
def test_oft_compares_local_versions(version: str, old: bool, tmp_path: Path, peft_installed: Any) -> None:
    if peft_installed.release.release < (0, 18):
        pytest.skip("PEFT reads peft_version since 0.18")
    OFTConfig(target_modules=["q_proj"], oft_block_size=4, use_cayley_neumann=True).save_pretrained(tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "peft_version": version}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        OFTConfig.from_pretrained(tmp_path)
    assert any("cayley-neumann" in str(warning.message) for warning in caught) is old
