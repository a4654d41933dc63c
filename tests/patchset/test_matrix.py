"""tox.ini and the workflow are as the table of the matrix has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchset.pins import load, read_toml
from tests import matrix


@pytest.mark.parametrize("path", [matrix.TOX, matrix.WORKFLOW], ids=lambda path: path.name)
def test_generated(path: Path) -> None:
    text = path.read_text("utf-8")
    assert matrix.generated(path) == text, "run `python -m tests.matrix`"
    assert text.count("# matrix: ") == 2 * text.count("# matrix: end")


def test_every_line_is_in_the_default_set() -> None:
    pairs = read_toml(matrix.TABLE)["pair"]
    newest = {release.line: release.version for release in load()}
    assert [pair["peft"] for pair in pairs if "default" in pair] == list(newest.values())
    tried = {version for pair in pairs for version in [pair["peft"], *pair.get("also", [])]}
    assert tried == {release.version for release in load()}
