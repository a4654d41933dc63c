"""A short run of the fuzz; CONTRIBUTING names the long one."""

from __future__ import annotations

import pytest

from tests.patchset.fuzz import TARGETS, Target, fuzz


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_ends_in_one_line(target: Target) -> None:
    failures = fuzz(target, 60, 1)
    assert not failures, "\n".join(told for _, told in failures)
