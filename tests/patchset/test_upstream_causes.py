"""The list of causes for what fails on both sides, against the committed results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.evidence.upstream._causes import UNKNOWN, Cause, by_cause, causes

RESULTS = {
    path.stem: json.loads(path.read_text("utf-8"))["failed"]
    for path in sorted((Path(__file__).parents[1] / "evidence" / "results" / "upstream").glob("*.json"))
}


@pytest.mark.parametrize("entry", causes(), ids=lambda entry: entry.message.pattern[:40])
def test_every_entry_explains_a_committed_result(entry: Cause) -> None:
    """An entry that explains nothing any more is to be taken out, one whose stand-in was changed above all."""
    assert set(entry.releases) <= set(RESULTS)
    assert any(entry.explains(message, release) for release, failed in RESULTS.items() for message in failed)


def test_most_of_what_fails_on_both_sides_has_a_known_cause() -> None:
    """Four fifths of the committed results, all releases together."""
    known = causes()
    found = [by_cause(failed, release, known) for release, failed in RESULTS.items()]
    total = sum(count.total() for count in found)
    assert sum(count[UNKNOWN] for count in found) <= total / 5


def test_what_no_entry_explains_is_counted_as_unknown() -> None:
    """So is a message that an entry explains for another release only."""
    (entry,) = [entry for entry in causes() if entry.message.search("Please specify `num_layers` in `peft_config`")]
    failed = {"Please specify `num_layers` in `peft_config`": 2, "something else": 1}
    assert by_cause(failed, "0.18.1", [entry]) == {entry.cause: 2, UNKNOWN: 1}
    assert by_cause(failed, "0.21.2", [entry]) == {UNKNOWN: 3}
