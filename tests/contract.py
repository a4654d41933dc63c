"""Which PEFT is installed, what stock is known to get wrong, and a table that says so.

The behaviour tests (`tests/wrappers`, `tests/models`, `tests/oracle`) run against whatever `peft` can be imported, stock or patched.
Two markers tell the story:

- `@pytest.mark.row("keywords only")` names the row of the forward contract (DESIGN section 5) that a test belongs to.
- `@pytest.mark.stock_fails("<0.20", raises=TypeError, match="missing 1 required")` says that stock PEFT gets this
  wrong in the releases of the specifier. There the test must fail, in its body, with that exception and a message that
  the pattern finds; anything else, passing included, is a failure. On patched PEFT and on stock out of range the
  marker does nothing: the test has to pass. Of several markers, the one nearest to the function whose specifier
  matches counts. Where the patches leave a fault as it is, `left="<0.16"` names the patched releases in which the test
  must fail as on stock.

The run ends with one line for each row: its side and its result. One run on stock and one on patched can be compared
line by line. Where the environment variable `RESULTS` names a file, the same is written there as JSON, see `write`.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

# Before anything imports transformers: no test may reach for the hub.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

LOCAL_LABEL = "kwargs"  # a patched release is X.Y.Z+kwargs.N
OUTCOMES = ("passed", "xfailed", "failed", "error", "skipped")


@dataclass(frozen=True)
class Installed:
    """The PEFT that `import peft` finds.

    Attributes:
        release: The upstream release, without the local label.
        patched: Whether the version carries this project's local label.
        label: One line for people, naming PEFT and the libraries that matter to it.
    """

    release: Version
    patched: bool
    label: str

    @property
    def side(self) -> str:
        """`patched` or `stock`."""
        return "patched" if self.patched else "stock"


@cache
def installed() -> Installed:
    """Import PEFT and read its version.

    The module's own `__version__` counts, not the metadata, so that a tree on `PYTHONPATH` is seen for what it is. The
    import is late, so that the tests of the tool need no torch.
    """
    import peft
    import torch
    import transformers

    version = Version(peft.__version__)
    label = f"peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}"
    return Installed(Version(version.public), (version.local or "").split(".")[0] == LOCAL_LABEL, label)


@pytest.fixture(scope="session")
def peft_installed() -> Installed:
    """The installed PEFT, for tests that differ by release."""
    return installed()


@dataclass(frozen=True)
class StockFailure:
    """The arguments of a `stock_fails` marker.

    Attributes:
        releases: PEP 440 specifier of the stock releases that fail.
        raises: What the test body must raise there.
        match: Pattern that `re.search` must find in the exception's text.
        left: PEP 440 specifier of the patched releases that fail in the same way; none by default.
    """

    releases: str
    raises: type[BaseException] | tuple[type[BaseException], ...]
    match: str
    left: str | None = None

    def applies(self, peft: Installed) -> bool:
        """Whether `peft` must fail."""
        releases = self.left if peft.patched else self.releases
        return releases is not None and peft.release in SpecifierSet(releases)

    def __str__(self) -> str:
        kinds = self.raises if isinstance(self.raises, tuple) else (self.raises,)
        return f"{' or '.join(kind.__name__ for kind in kinds)} matching {self.match!r}"


def known_failure(item: pytest.Item) -> StockFailure | None:
    """The `stock_fails` marker of `item` that applies to the installed PEFT, if there is one."""
    for mark in item.iter_markers("stock_fails"):
        failure = StockFailure(*mark.args, **mark.kwargs)
        if failure.applies(installed()):
            return failure
    return None


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Turn the known failure of stock into an expected one, strictly.

    Only the test's body is inside: a fixture that raises the same exception is still an error. pytest's own `xfail`
    has no message match, hence this.
    """
    failure = known_failure(pyfuncitem)
    if failure is None:
        return (yield)
    try:
        yield
    except failure.raises as error:
        if re.search(failure.match, str(error)):
            pytest.xfail(f"{installed().side} {installed().release}: {failure}")
        raise
    pytest.fail(f"{installed().side} {installed().release} passes, but is marked to fail with {failure}")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", "row(name): the row of the forward contract that the test belongs to")
    config.addinivalue_line(
        "markers",
        "stock_fails(releases, raises, match, left): what stock PEFT must fail with, and where; patched in left",
    )


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Hand each test's row on to its report, so that it gets through pytest-xdist too."""
    for item in items:
        row = item.get_closest_marker("row")
        if row is not None:
            item.user_properties.append(("row", row.args[0]))


def count_rows(stats: dict[str, list[Any]]) -> dict[str, Counter[str]]:
    """Outcomes by contract row, in order of appearance."""
    rows: dict[str, Counter[str]] = {}
    for outcome in OUTCOMES:
        for report in stats.get(outcome, []):
            for name, value in getattr(report, "user_properties", ()):
                if name == "row":
                    rows.setdefault(str(value), Counter())[outcome] += 1
    return rows


def result_of(counts: Counter[str]) -> str:
    """What a row's outcomes come to, in words."""
    total = counts.total()
    if bad := counts["failed"] + counts["error"]:
        return f"FAILED ({bad} of {total})"
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    if counts["xfailed"]:
        return f"broken, as known ({counts['xfailed']} of {total}{skipped})"
    if not counts["passed"]:
        return f"not run ({counts['skipped']} skipped)"
    return f"holds ({counts['passed']}{skipped})"


def write(file: Path, stats: dict[str, list[Any]], rows: dict[str, Counter[str]], status: int) -> None:
    """Write what a run came to.

    The object has `date`; `peft`, `python`, `torch` and `transformers`: versions; `side`: `stock` or `patched`; `ok`: whether
    each test did as it must, a marked one failing on stock; `outcomes`: number of tests by outcome, and `rows`: the
    same for each row of the contract. `xfailed` are those that failed as their `stock_fails` says.
    """
    import peft
    import torch
    import transformers

    modules = {module.__name__: module.__version__ for module in (peft, torch, transformers)}
    outcomes = {outcome: len(stats[outcome]) for outcome in OUTCOMES if outcome in stats}
    made = {"date": datetime.date.today().isoformat(), "python": platform.python_version()}
    found = {**made, **modules, "side": installed().side, "ok": status == 0}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**found, "outcomes": outcomes, "rows": rows}, indent=2, sort_keys=True) + "\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Print the contract's rows: row, side, result."""
    rows = count_rows(terminalreporter.stats)
    if not rows or hasattr(config, "workerinput"):  # a worker of pytest-xdist has a part of the tests only
        return
    if file := os.environ.get("RESULTS"):
        write(Path(file), terminalreporter.stats, rows, exitstatus)
    width = max(map(len, rows))
    terminalreporter.section(f"contract: {installed().label}")
    for row in sorted(rows):
        terminalreporter.line(f"{row:<{width}}  {installed().side:<7}  {result_of(rows[row])}")
