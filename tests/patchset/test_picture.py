"""The committed pictures are those of the results beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evidence.picture import PICTURES, digest


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_was_drawn_from_the_results(path: Path) -> None:
    assert f"sha256:{digest()}" in path.read_text("utf-8"), "run `tox -e picture`"
