"""The tables of docs/ are those of the results, and the results are good ones."""

from __future__ import annotations

import pytest

from tests.evidence import tables
from tests.evidence.pages import PAGES, replaced
from tests.evidence.picture import cells
from tests.patchset.test_readme import page


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_the_tables_of_the_results(name: str) -> None:
    assert replaced(page(name), PAGES[name]()) == page(name), "run `python -m tests.evidence.pages`"


def test_a_table_is_put_in_its_place() -> None:
    marked = "before\n<!-- begin of the table{0} -->\nold\n<!-- end of the table{0} -->\nafter\n"
    two = marked.format("") + marked.format(" of builds")
    new = replaced(two, {"": "new\n", "builds": "newer\n"})
    assert new == two.replace("old", "new", 1).replace("old", "newer", 1)
    assert replaced(new, {"": "old\n", "builds": "old\n"}) == two
    for text in ("before\n", marked.format(" of builds"), "<!-- begin of the table -->\n"):
        with pytest.raises(ValueError, match="no place for the table"):
            replaced(text, {"": "new\n"})


def test_patched_breaks_no_model_type() -> None:
    for result in tables.read("zoo/zoo-*.json"):
        ran = [entry for entry in result["types"] if "class" in entry]
        assert not [entry["type"] for entry in ran if entry["differs"] or entry["other"]]
        if "+" in result["versions"]["peft"]:
            assert not [entry["type"] for entry in ran if entry["crash"]]


def test_both_sides_of_a_pair_ran_the_same_tests() -> None:
    for pair, sides in cells(tables.read("matrix/*.json")).items():
        assert sides.keys() == {"stock", "patched"}, pair
        assert sides["stock"]["rows"].keys() == sides["patched"]["rows"].keys(), pair


def test_upstreams_tests_have_no_regression() -> None:
    for result in tables.read("upstream/*.json"):
        assert (result["regressions"], result["differences"]) == (0, [])
        # a case of a parametrized test may not apply
        assert result["new"].keys() - {"skipped"} == {"passed"}


def test_no_sequence_differs_from_the_reference() -> None:
    for result in tables.read("oracle/*.json"):
        assert result["sequences"] >= 10_000
        assert not result["failures"]
