"""Fixtures for the tool's tests: real sdists, a copy of the checkout to break, and the tool run as users run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from patchset.dist.build import build_wheels
from patchset.pins import Release, find, load
from patchset.sources.sdists import Sdists
from tests.patchset.tool import Run, copied, environment


@pytest.fixture(scope="session")
def release() -> Release:
    """A release that stacks pin, with a series of several patches."""
    return find("0.18.1", load())


@pytest.fixture(scope="session")
def sdist(release: Release) -> bytes:
    """Its real sdist, from the cache or the index."""
    return Sdists().obtain(release)


@pytest.fixture(scope="session")
def wheel(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of that release, as the checkout builds it."""
    return build_wheels([release], tmp_path_factory.mktemp("dist"))[0]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout without trees and sdists, for a test to change."""
    return copied(tmp_path / "checkout")


@pytest.fixture
def tool() -> Run:
    """Run ``python -m patchset`` in a checkout, with variables added to or (None) taken from the environment."""

    def run(checkout: Path, *arguments: str, **variables: str | None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "patchset", *arguments],
            cwd=checkout,
            env=environment(**variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    return run
