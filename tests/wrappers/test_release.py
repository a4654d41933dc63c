"""The release that is installed is the one that the environment's name says."""

from __future__ import annotations

import os
import re

import peft
import pytest
from packaging.version import Version


def test_the_environment_has_the_release_that_it_is_named_after() -> None:
    named = re.search(r"peft(\d+\.\d+\.\d+)", os.environ.get("TOX_ENV_NAME", ""))
    if named is None:
        pytest.skip("not an environment of tox for one release")
    assert Version(peft.__version__).base_version == named[1], "is the release in tests/matrix.toml?"
