"""Compare two sides' outcomes test by test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from tests.evidence.upstream._results import Outcome

# How bad a difference is. The first three make the comparison fail.
LOST, REGRESSION, BAD_NEW, FLAKY, FIXED, OTHERWISE = (
    "lost",  # a test without a result, or one of stock's that the patched tree no longer has
    "regression",  # passed or was skipped on stock, and does not pass on patched
    "failing new test",  # a test of our patches that fails
    "flaky",  # differed, and came out the same when run again alone
    "fixed",  # did not pass on stock, and does on patched
    "other message",  # does not pass on either, for another reason
)
FATAL = (LOST, REGRESSION, BAD_NEW)


@dataclass(frozen=True)
class Difference:
    """A test whose outcome is not the same on both sides; an outcome is None where there is no result."""

    test: str
    verdict: str
    stock: Outcome | None
    patched: Outcome | None


@dataclass
class Comparison:
    """The result of a comparison.

    Attributes:
        collected: the number of tests, by side.
        same: the number of tests with the same outcome, by kind; `failed` and `error` with the same message too.
        unserved: the tests among them that need a file of the model hub for which there is no stand-in.
        new: the number of tests that only the patched side has, by kind of outcome.
        differences: every other test.
    """

    collected: dict[str, int]
    same: Counter[str] = field(default_factory=Counter)
    unserved: list[str] = field(default_factory=list)
    new: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    @property
    def fatal(self) -> list[Difference]:
        return [difference for difference in self.differences if difference.verdict in FATAL]

    def json(self) -> dict[str, object]:
        """The comparison for a JSON file."""
        return {**asdict(self), "same": dict(self.same), "new": dict(self.new), "regressions": len(self.fatal)}


def compare(
    collected: tuple[Iterable[str], Iterable[str]], stock: Mapping[str, Outcome], patched: Mapping[str, Outcome]
) -> Comparison:
    """Compare test by test.

    Args:
        collected: the node ids that pytest collected, stock's and patched's: each must have a result.
        stock: stock's outcomes by node id.
        patched: patched's.
    """
    old, ours = (dict.fromkeys(names) for names in collected)
    result = Comparison({"stock": len(old), "patched": len(ours)})
    for name in old | ours:
        before, after = stock.get(name), patched.get(name)
        if name not in old and after is not None and not after.bad:
            result.new[after.kind] += 1
        elif name in old and name in ours and before and after and before.same(after):
            result.same[before.kind] += 1
            if before.unserved:
                result.unserved.append(name)
        else:
            verdict = judge(before, after, new=name not in old)
            result.differences.append(Difference(name, verdict, before, after))
    return result


def judge(stock: Outcome | None, patched: Outcome | None, *, new: bool = False) -> str:
    """The verdict on a test whose outcomes differ, or that is new and does not pass."""
    if patched is None or (stock is None and not new):
        return LOST
    if stock is None:
        return BAD_NEW
    if stock.kind != patched.kind and patched.kind in ("passed", "xpassed"):
        return FIXED
    return OTHERWISE if stock.bad or stock.kind == patched.kind else REGRESSION


def settle(comparison: Comparison, stock: Mapping[str, Outcome], patched: Mapping[str, Outcome]) -> None:
    """Take the differing tests' outcomes of a second run into account.

    A test that comes out the same on both sides in a run of its own is flaky: it is still named, and no regression.
    """
    for index, difference in enumerate(comparison.differences):
        before, after = stock.get(difference.test), patched.get(difference.test)
        if before is not None and after is not None and before.kind == after.kind and difference.verdict != OTHERWISE:
            comparison.differences[index] = Difference(difference.test, FLAKY, difference.stock, difference.patched)
