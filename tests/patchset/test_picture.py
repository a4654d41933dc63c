"""The committed picture is that of the results beside it."""

from __future__ import annotations

from tests.evidence.picture import PICTURE, digest


def test_the_picture_was_drawn_from_the_results() -> None:
    assert f"sha256:{digest()}" in PICTURE.read_text("utf-8"), "run `tox -e picture`"
