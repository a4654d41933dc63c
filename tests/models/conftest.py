"""Fixed seeds, and quiet libraries."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _seed() -> None:
    """The same weights and batches in every test, whatever ran before."""
    torch.manual_seed(0)
