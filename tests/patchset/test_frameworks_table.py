"""The table of frameworks is that of the results, and says so where a run has failed."""

from __future__ import annotations

from tests.evidence import frameworks_table as program

RUN = {
    "framework": "factory", "version": "0.9.4", "pin": "<=0.17.1", "checks": ["peft<=0.17.1"], "wheel": "0.17.1-1kwargs1",
    "transformers": "5.6.0", "torch": "2.13.0+cpu", "python": "3.11.7",
    "shown": {"stock": {"SFT": "passed"}, "local": {"ImportError": "passed"}, "patched": {"SFT": "passed", "DPO": "failed"}},
}  # fmt: skip


def test_all_of_a_run_is_told() -> None:
    *_, last = program.table([RUN, RUN | {"version": "0.9.10"}, RUN | {"version": "0.9.3"}]).splitlines()
    cells = [cell.strip() for cell in last.strip("|").split("|")]
    assert cells == [
        "factory 0.9.10",
        "`peft<=0.17.1`",
        "`peft<=0.17.1`; with the local version ImportError",
        "SFT",
        "FAILED: DPO; SFT",
        "`0.17.1-1kwargs1`",
        "5.6.0, 2.13.0, 3.11",
    ]
