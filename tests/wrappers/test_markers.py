"""The markers of `tests/contract.py`, on a made-up `peft`: an expected failure that could hide something is no use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[1] / "contract.py"
TESTS = """
import pytest

known = pytest.mark.stock_fails("<0.20", raises=TypeError, match="argument: 'x'")
pytestmark = pytest.mark.row("a row")

@known
def test_fails_as_marked():
    raise TypeError("missing 1 required positional argument: 'x'")

@pytest.mark.stock_fails("<0.20", raises=TypeError, match="argument: 'x'", left="<0.18")
def test_fails_where_it_is_left():
    raise TypeError("argument: 'x'")

@known
def test_fails_with_another_message():
    raise TypeError("something else")

@known
def test_fails_with_another_exception():
    raise ValueError("argument: 'x'")

@known
def test_passes():
    pass

@pytest.fixture
def broken():
    raise TypeError("argument: 'x'")

@known
def test_fails_in_a_fixture(broken):
    pass
"""
Run = Callable[[str], pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `TESTS` against a made-up PEFT of the given version."""

    def run_with(version: str) -> pytest.RunResult:
        for name in ("peft", "torch", "transformers"):
            pytester.makepyfile(**{f"fakes/{name}": f"__version__ = {version!r}"})
        monkeypatch.setenv("PYTHONPATH", str(pytester.path / "fakes"))
        monkeypatch.setenv("RESULTS", str(pytester.path / "results.json"))  # not where these tests' own results go
        pytester.makeconftest(PLUGIN.read_text())
        pytester.makepyfile(TESTS)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider")

    return run_with


def test_stock_in_range(run: Run, pytester: pytest.Pytester) -> None:
    result = run("0.19.1")
    result.assert_outcomes(xfailed=2, failed=3, errors=1)
    result.stdout.fnmatch_lines(["*stock 0.19.1 passes, but is marked to fail with TypeError*"])
    result.stdout.fnmatch_lines(["*contract: peft 0.19.1*", "a row  stock*FAILED (4 of 6)"])
    written = json.loads((pytester.path / "results.json").read_text())
    assert (written["peft"], written["side"], written["ok"]) == ("0.19.1", "stock", False)
    assert written["rows"] == {"a row": written["outcomes"]} == {"a row": {"xfailed": 2, "failed": 3, "error": 1}}


def test_stock_out_of_range(run: Run) -> None:
    result = run("0.20.0+cu128")  # another's local version makes it no less stock
    result.assert_outcomes(passed=1, failed=4, errors=1)
    result.stdout.fnmatch_lines(["a row  stock*FAILED (5 of 6)"])


def test_patched(run: Run) -> None:
    result = run("0.19.1+kwargs.2")
    result.assert_outcomes(passed=1, failed=4, errors=1)
    result.stdout.fnmatch_lines(["a row  patched*FAILED (5 of 6)"])


def test_patched_where_it_is_left(run: Run) -> None:
    result = run("0.17.1+kwargs.1")
    result.assert_outcomes(xfailed=1, passed=1, failed=3, errors=1)
