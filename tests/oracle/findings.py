"""What many sequences came to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.agreement import Differs
from tests.oracle.sequence import Trial


@dataclass
class Findings:
    """What many sequences came to.

    Attributes:
        sequences: How many there were.
        steps: How many operations they had.
        operations: The same by operation.
        refused: Adapters that were refused, rightly, by the reason.
        left: Faults of stock that were met and not compared.
        differing: Sequences that ended with a difference, by its kind.
        shortest: The shortest of them, by kind: `detail`, `tree` and `plan`.
    """

    sequences: int = 0
    steps: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    differing: Counter[str] = field(default_factory=Counter)
    shortest: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, difference: Differs, trial: Trial) -> None:
        """Note a difference that has just been found."""
        self.differing[difference.kind] += 1
        example = {"detail": difference.detail, "tree": trial.tree.root.as_json(), "plan": trial.plan[:]}
        known = self.shortest.get(difference.kind)
        if known is None or _size(example) < _size(known):
            self.shortest[difference.kind] = example

    def count(self, trial: Trial) -> None:
        """Note a sequence that is over."""
        if trial.plan:
            self.sequences += 1
            self.steps += len(trial.plan)
            self.operations.update(step["op"] for step in trial.plan)
            self.refused.update(trial.refused)
            self.left.update(trial.left)

    def merge(self, other: Findings) -> None:
        """Add those of other sequences."""
        self.sequences += other.sequences
        self.steps += other.steps
        self.operations += other.operations
        self.refused += other.refused
        self.left += other.left
        self.differing += other.differing
        for kind, example in other.shortest.items():
            self.shortest[kind] = min(self.shortest.get(kind, example), example, key=_size)

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        failures = [
            {"kind": kind, "sequences": count, **self.shortest[kind]} for kind, count in self.differing.most_common()
        ]
        counters = {"operations": self.operations, "refused": self.refused, "left": self.left}
        counts = {name: dict(counter.most_common()) for name, counter in counters.items()}
        return {"sequences": self.sequences, "steps": self.steps, **counts, "failures": failures}


def _size(example: dict[str, Any]) -> tuple[int, int]:
    return len(example["plan"]), len(str(example["tree"]))
