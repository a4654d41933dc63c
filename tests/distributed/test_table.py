"""The tables of docs/distributed.md are those of the results."""

from __future__ import annotations

from tests.distributed import table
from tests.evidence.page_table import replaced


def test_the_page_has_the_tables_of_the_results() -> None:
    runs = table.load()
    assert runs
    page = table.PAGE.read_text("utf-8")
    assert replaced(page, table.tables(runs)) == page
