"""Fixed seeds for the small modules."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _seed() -> None:
    """The same weights and inputs in every test, whatever ran before."""
    torch.manual_seed(0)
