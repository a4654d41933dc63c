"""Why tests fail on both sides: the committed list of known causes, and messages sorted by it."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LISTING = Path(__file__).parent / "causes.toml"
UNKNOWN = "cause unknown"


@dataclass(frozen=True)
class Cause:
    """One entry of the list.

    Attributes:
        message: searched for in a message, as `_results.reason` gives it.
        cause: a sentence.
        releases: the releases that it is about; all where it is empty.
        changed: whether a stand-in was made or mended since the committed results; a full run has yet to show what came of it.
    """

    message: re.Pattern[str]
    cause: str
    releases: tuple[str, ...] = ()
    changed: bool = False

    def explains(self, message: str, release: str) -> bool:
        """Whether this is why a test of a release failed with a message."""
        return (not self.releases or release in self.releases) and bool(self.message.search(message))


def causes() -> list[Cause]:
    """The committed list."""
    entries = tomllib.loads(LISTING.read_text("utf-8"))["cause"]
    return [
        Cause(
            re.compile(entry["message"]),
            entry["cause"],
            tuple(entry.get("releases", ())),
            entry.get("changed", False),
        )
        for entry in entries
    ]


def by_cause(failed: Mapping[str, int], release: str, known: Iterable[Cause]) -> Counter[str]:
    """The number of tests by cause.

    Args:
        failed: the number of tests by message.
        release: the one that was tested, such as `0.18.1`.
        known: the list; the first entry that explains a message counts.
    """
    listed = list(known)
    found: Counter[str] = Counter()
    for message, count in failed.items():
        cause = next((entry.cause for entry in listed if entry.explains(message, release)), UNKNOWN)
        found[cause] += count
    return found
