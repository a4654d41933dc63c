"""Some sequences of the model-based test, always the same ones; `python -m tests.oracle` runs many."""

from __future__ import annotations

import json

import pytest

from tests.oracle.agreement import Differs
from tests.oracle.chunks import chunk


@pytest.mark.row("random models and operations: as the plain reference")
@pytest.mark.stock_fails(">=0.15", raises=Differs, match="of [0-9]+ sequences differ")
def test_sequences() -> None:
    """Every output, every trainable parameter and every saved key is the reference's."""
    found = chunk(0).as_json()
    if found["failures"]:
        count = sum(failure["sequences"] for failure in found["failures"])
        raise Differs(f"{count} of {found['sequences']} sequences differ", json.dumps(found["failures"], indent=1))
