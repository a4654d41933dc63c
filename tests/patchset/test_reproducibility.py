"""The matrix of builds says what differs; `tests.evidence.reproducibility` runs it in minutes."""

from __future__ import annotations

import sys

import pytest

from patchset.pins import ROOT
from tests.evidence import reproducibility
from tests.evidence.reproducibility import Missing, Place


def test_the_last_run_had_every_row() -> None:
    lines = (ROOT / "tests" / "evidence" / "results" / "reproducibility.md").read_text("utf-8").splitlines()
    (header,) = [number for number, line in enumerate(lines) if line.startswith("| ---")]
    said = {line.split(" | ")[0].removeprefix("| "): line.split(" | ")[2] for line in lines[header + 1 :]}
    assert list(said) == [name for name, _ in reproducibility.rows()]
    assert set(said.values()) == {"the same |"}


def test_another_wheel_a_failure_and_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(place: Place) -> bytes:
        raise RuntimeError("why")

    def lacks(place: Place) -> bytes:
        raise Missing("what")

    monkeypatch.setattr(sys, "argv", ["reproducibility"])
    monkeypatch.setattr(reproducibility, "rows", lambda: iter([("a", lambda place: b""), ("b", fails), ("c", lacks)]))
    assert reproducibility.main() == 1
    printed = capsys.readouterr().out
    assert "| a | e3b0c44298fc1c14 | **another one** |" in printed
    assert "| b |  | **failed**: why |" in printed
    assert "| c |  | not run: what |" in printed
    monkeypatch.setattr(reproducibility, "rows", lambda: iter([("c", lacks)]))
    assert reproducibility.main() == 0
