"""The comparer of upstream's tests, on a miniature suite: what it must catch, name, and not lose."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import pytest

from tests.evidence.upstream._compare import BAD_NEW, FIXED, FLAKY, LOST, OTHERWISE, REGRESSION, compare, settle
from tests.evidence.upstream._results import CUT, Outcome, Store, needs_hub, read_log, reason
from tests.evidence.upstream._sides import Side
from tests.evidence.upstream._suite import Suite

PASSED, FAILED, SKIPPED = Outcome("passed"), Outcome("failed", "AssertionError"), Outcome("skipped", "no GPU")

MiniSide = Callable[..., Suite]

PEFT = """
def forward(x, adapter_names=None):
    if adapter_names is not None and len(adapter_names) != len(x):
        raise ValueError("length mismatch")
    return list(zip(x, adapter_names or []))
"""
TESTS = """
import pytest
import peft
from tests.testing_utils import hub_online_once

def test_plain():
    assert peft.forward([1]) == []

@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_mixed_batch(names):
    assert len(peft.forward([0] * len(names), adapter_names=names)) == len(names)

def test_length():
    with pytest.raises(ValueError, match="length"):
        peft.forward([1], adapter_names=["a", "b"])

def test_offline():
    assert hub_online_once("org/model")

def test_other_host():
    import socket
    socket.create_connection(("192.0.2.1", 80))

@pytest.mark.skip(reason="no GPU")
def test_gpu():
    pass
"""
UTILITIES = """
_HUB_MODEL_ACCESSES = {}

def hub_online_once(model):
    return model in _HUB_MODEL_ACCESSES
"""


@pytest.fixture
def side(tmp_path: Path) -> MiniSide:
    """Make a side with the miniature suite; keyword arguments replace PEFT or the tests."""

    def make(name: str, peft: str = PEFT, tests: str = TESTS) -> Suite:
        tree, site = tmp_path / name / "tree", tmp_path / name / "site"
        for folder, files in {
            tree / "tests": {
                "__init__.py": "",
                "testing_common.py": UTILITIES.replace("_HUB", "HUB"),  # up to 0.17.1
                "testing_utils.py": UTILITIES,
                "test_mini.py": tests,
            },
            site: {"peft.py": peft},
        }.items():
            folder.mkdir(parents=True)
            for file, text in files.items():
                (folder / file).write_text(text)
        return Suite(Side(name, tree, site, tmp_path / name / "results"), tmp_path / "hub", 0)

    return make


def test_a_patch_that_drops_adapter_names_is_caught(side: MiniSide) -> None:
    """The tests that pass on stock and fail with the broken patch are named as regressions; no other is."""
    stock = side("stock")
    broken = side("patched", peft=PEFT.replace("return", "adapter_names = None\n    return"))
    names = stock.collect()
    result = compare((names, broken.collect()), stock.run(names), broken.run(names))
    assert [difference.test for difference in result.fatal] == [
        "tests/test_mini.py::test_mixed_batch[names0]",
        "tests/test_mini.py::test_mixed_batch[names1]",
    ]
    assert {difference.verdict for difference in result.differences} == {REGRESSION}
    assert result.collected == {"stock": 7, "patched": 7}
    assert result.same == {"passed": 3, "failed": 1, "skipped": 1}


def test_another_host_is_out_of_reach_and_said_so(side: MiniSide) -> None:
    """A test that asks another host fails at once, and is listed as one that could not be served."""
    stock = side("stock")
    names = stock.collect()
    outcomes = stock.run(names)
    assert compare((names, names), outcomes, outcomes).unserved == ["tests/test_mini.py::test_other_host"]


@pytest.mark.parametrize("module", ["testing_common", "testing_utils"])
def test_no_model_is_looked_up_online(side: MiniSide, module: str) -> None:
    """Wherever upstream's `hub_online_once` lies, it takes each model for one that it has seen."""
    stock = side("stock", tests=TESTS.replace("testing_utils", module))
    name = "tests/test_mini.py::test_offline"
    assert stock.once([name]) == {name: PASSED}


def test_an_interrupted_run_goes_on_where_it_was(side: MiniSide) -> None:
    """A test with a result on disk is not run again; one without is."""
    stock = side("stock")
    names = stock.collect()
    kept = Outcome("failed", "kept")
    stock.store.add({names[0]: kept})
    counts: list[int] = []
    outcomes = stock.run(names, counts.append)
    assert outcomes[names[0]] == kept
    assert outcomes.keys() == set(names)
    assert counts == [1, len(names) - 1]
    assert stock.run(names) == outcomes


def test_a_file_that_cannot_be_imported_counts_as_an_error(side: MiniSide) -> None:
    """A file that breaks only on patched is lost tests and a failing new one: fatal, and never silent."""
    stock, broken = side("stock"), side("patched", tests="import missing_module\n")
    names = stock.collect()
    theirs = broken.collect()
    assert theirs == ["tests/test_mini.py"]
    result = compare((names, theirs), stock.run(names), broken.run(theirs))
    assert [difference.verdict for difference in result.fatal] == [LOST] * 7 + [BAD_NEW]
    assert "missing_module" in str(result.fatal[-1].patched)


def test_a_dying_interpreter_loses_no_test_silently(side: MiniSide) -> None:
    """A test that kills pytest has no result, which fails the comparison."""
    tests = TESTS + "\ndef test_dies():\n    import os\n    os._exit(3)\n"
    stock = side("stock", tests=tests)
    names = stock.collect()
    outcomes = stock.run(names)
    result = compare((names, names), outcomes, outcomes)
    assert [(difference.test, difference.verdict) for difference in result.fatal] == [
        ("tests/test_mini.py::test_dies", LOST)
    ]


@pytest.mark.parametrize(
    ("stock", "patched", "verdict"),
    [
        (PASSED, FAILED, REGRESSION),
        (PASSED, SKIPPED, REGRESSION),
        (SKIPPED, FAILED, REGRESSION),
        (PASSED, None, LOST),
        (None, PASSED, LOST),
        (FAILED, PASSED, FIXED),
        (SKIPPED, PASSED, FIXED),
        (SKIPPED, Outcome("skipped", "no disk"), OTHERWISE),
        (FAILED, Outcome("failed", "KeyError"), OTHERWISE),
        (FAILED, Outcome("error", "KeyError"), OTHERWISE),
    ],
)
def test_each_difference_has_its_verdict(stock: Outcome | None, patched: Outcome | None, verdict: str) -> None:
    """Of a test that both sides collected."""
    sides = [{} if outcome is None else {"a": outcome} for outcome in (stock, patched)]
    result = compare((["a"], ["a"]), *sides)
    assert [difference.verdict for difference in result.differences] == [verdict]


def test_new_tests_are_counted_apart() -> None:
    """A passing one is only counted, a failing one is fatal."""
    result = compare((["a"], ["a", "b", "c"]), {"a": PASSED}, {"a": PASSED, "b": PASSED, "c": FAILED})
    assert (dict(result.same), dict(result.new)) == ({"passed": 1}, {"passed": 1})
    assert [(difference.test, difference.verdict) for difference in result.fatal] == [("c", BAD_NEW)]


def test_a_flaky_test_is_named_and_not_fatal() -> None:
    """A second run in which both sides agree settles it; one in which they differ again does not."""
    result = compare((["a", "b"], ["a", "b"]), {"a": PASSED, "b": PASSED}, {"a": FAILED, "b": FAILED})
    settle(result, {"a": PASSED, "b": PASSED}, {"a": PASSED, "b": FAILED})
    assert [(difference.test, difference.verdict) for difference in result.differences] == [
        ("a", FLAKY),
        ("b", REGRESSION),
    ]
    assert json.loads(json.dumps(result.json()))["regressions"] == 1


def test_reports_become_one_outcome(tmp_path: Path) -> None:
    """A failing teardown outweighs a passing test; a line that was cut off is not read."""
    log = tmp_path / "log.jsonl"
    crash = {"reprcrash": {"message": "ValueError: at 0x7f01 in /tmp/abc/x.py\nmore"}}
    reports = [
        ("a", "setup", "passed", None),
        ("a", "call", "passed", None),
        ("a", "teardown", "failed", crash),
        ("b", "setup", "skipped", ["file.py", 1, "Skipped: no GPU"]),
        ("c", "setup", "passed", None),
    ]
    lines = [
        json.dumps(
            {"$report_type": "TestReport", "nodeid": name, "when": when, "outcome": outcome, "longrepr": longrepr}
        )
        for name, when, outcome, longrepr in reports
    ]
    log.write_text("\n".join([*lines, '{"$report_type": "TestRep']))
    assert read_log(log) == {
        "a": Outcome("error", "ValueError: at 0x in /x.py"),
        "b": Outcome("skipped", "Skipped: no GPU"),
    }


def test_messages_that_differ_by_run_alone_are_the_same() -> None:
    """Addresses, folders and measured times."""
    assert reason("took 1.25 s at /tmp/tmpabc/x 0x12") == reason("took 3.5 s at /tmp/tmpxyz/x 0xff")
    assert reason("KeyError: 'a'") != reason("KeyError: 'b'")
    assert needs_hub("OSError: We couldn't connect to the hub")
    assert not needs_hub("AssertionError")


def test_the_store_keeps_outcomes_by_file(tmp_path: Path) -> None:
    """What is added later wins; nothing else is lost."""
    store = Store(tmp_path)
    store.add({"tests/a.py::one": PASSED, "tests/b.py::two": FAILED})
    store.add({"tests/a.py::three": SKIPPED})
    assert store.load("tests/a.py") == {"tests/a.py::one": PASSED, "tests/a.py::three": SKIPPED}
    assert astuple(store.load("tests/b.py")["tests/b.py::two"]) == astuple(FAILED)


def test_our_version_in_a_message_is_no_difference() -> None:
    stock = Outcome("skipped", ("not for peft_version='1.0.1', " + "x" * 300)[:CUT])
    patched = Outcome("skipped", ("not for peft_version='1.0.1+kwargs.1', " + "x" * 300)[:CUT])
    assert stock.same(patched)
    assert patched.same(stock)
    assert not stock.same(Outcome("skipped", patched.reason.replace("not", "only")))
    assert not stock.same(Outcome("failed", patched.reason))
    assert not Outcome("failed", "short").same(Outcome("failed", "short of something"))
