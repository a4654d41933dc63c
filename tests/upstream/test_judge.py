"""The judge judged: a patch that forgets ``adapter_names`` must not get past upstream's own tests."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("pytest_reportlog")
pytest.importorskip("transformers")

from patchset.pins import chosen
from tests.evidence.upstream._compare import REGRESSION, compare
from tests.evidence.upstream._sides import Side, patched, stock
from tests.evidence.upstream._suite import Suite

FILE = "tests/test_custom_models.py"
TAKEN = 'adapter_names = kwargs.pop("adapter_names", None)'  # in AuxiliaryTrainingWrapper.forward


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Side, Side]:
    """A release, stock and patched, and the patched side broken."""
    release = chosen()
    folders = [tmp_path_factory.mktemp(name) for name in ("stock", "patched", "broken")]
    ours = patched(release, folders[1])
    site = folders[2] / "site"
    shutil.copytree(ours.site, site)
    module = site / "peft" / "utils" / "other.py"
    text = module.read_text("utf-8")
    assert text.count(TAKEN) == 1
    module.write_text(text.replace(TAKEN, f"{TAKEN}; adapter_names = None"), "utf-8")
    return stock(release, folders[0]), replace(ours, name="broken", site=site, results=folders[2] / "results")


def test_a_patch_that_drops_adapter_names_is_caught(sides: tuple[Side, Side], tmp_path: Path) -> None:
    """Upstream's test that mixed batches refuse other layers passes on stock, and is named as a regression."""
    suites = [Suite(side, tmp_path, 0) for side in sides]  # they ask for nothing of the hub
    names = [name for name in suites[0].collect([FILE]) if "::TestMixedAdapterBatches::" in name]
    result = compare((names, names), *(suite.once(names) for suite in suites))
    caught = [difference.test for difference in result.fatal]
    assert any("unsupported_layer_raises" in test for test in caught)
    assert len(caught) < len(names)
    assert {difference.verdict for difference in result.fatal} == {REGRESSION}


def test_the_release_that_is_judged_is_ours(sides: tuple[Side, Side]) -> None:
    """Each side imports its own PEFT, not the other's and not one of the environment."""
    for side, version in zip(sides, (chosen().version, chosen().patched_version), strict=True):
        assert f'__version__ = "{version}"' in Path(side.site / "peft" / "__init__.py").read_text("utf-8")
