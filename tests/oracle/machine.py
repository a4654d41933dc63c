"""The sequences that hypothesis makes up."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from packaging.version import Version

from tests.oracle import choices
from tests.oracle.agreement import Differs
from tests.oracle.findings import Findings
from tests.oracle.left import LEFT
from tests.oracle.reference import Request
from tests.oracle.releases import Behaviour
from tests.oracle.sequence import Trial

INDEX = st.integers(0, 5)
# One draw for a tree or a request: many small ones would cost more than the test itself. Bytes, since of whole numbers
# hypothesis prefers the small ones.
RANDOM = st.binary(min_size=8, max_size=8).map(lambda seed: Random(int.from_bytes(seed, "big")))


def has(adapters: int = 1) -> Any:
    """For a model with so many adapters."""
    return precondition(lambda self: not self.over and len(self.trial.adapters) >= adapters)


class Machine(RuleBasedStateMachine):
    """Operations in any order on one random model."""

    release = Version("0")
    findings: Findings | None = None
    over = False
    leave = LEFT

    @initialize(random=RANDOM)
    def make(self, random: Random) -> None:
        self.trial = Trial(choices.tree(random), Behaviour.of(self.release), self.leave)

    def do(self, op: str, **arguments: Any) -> None:
        """Do an operation; what differs ends the sequence."""
        try:
            self.trial.do(op, **arguments)
        except Differs as difference:
            if self.findings is None:
                raise
            self.findings.add(difference, self.trial)
            self.over = True

    @precondition(lambda self: self.over)
    @rule()
    def rest(self) -> None:
        """After a difference, until hypothesis is through with the sequence."""

    def pick(self, index: int, among: Any) -> Any:
        names = sorted(among)
        return names[index % len(names)]

    @precondition(lambda self: not self.over and self.free())
    @rule(random=RANDOM, index=INDEX)
    def add(self, random: Random, index: int) -> None:
        others = [self.trial.adapters[name].request for name in sorted(self.trial.adapters)]
        again = others and random.random() < 0.3
        request = random.choice(others) if again else choices.request(random, self.trial.tree)
        self.do("add", name=self.pick(index, self.free()), **request.as_json())

    def free(self) -> set[str]:
        """Names for another adapter."""
        return set(choices.ADAPTERS) - set(self.trial.adapters)

    @has()
    @rule(index=INDEX, copied=st.booleans())
    def switch(self, index: int, copied: bool) -> None:
        self.do("switch", name=self.pick(index, self.trial.adapters), copied=copied)

    @has()
    @rule()
    def train(self) -> None:
        self.do("train", name=self.trial.active)

    @has()
    @rule()
    def disable(self) -> None:
        self.do("disable")

    @has()
    @rule(index=INDEX)
    def save(self, index: int) -> None:
        self.do("save", name=self.pick(index, self.trial.adapters))

    @precondition(lambda self: not self.over and self.trial.files)
    @rule(index=INDEX, into=st.sampled_from((*choices.ADAPTERS, "default")), trainable=st.booleans())
    def load_alone(self, index: int, into: str, trainable: bool) -> None:
        self.do("load_alone", name=self.pick(index, self.trial.files), into=into, trainable=trainable)

    @has()
    @rule(turn=INDEX, backwards=st.booleans())
    def load_together(self, turn: int, backwards: bool) -> None:
        names = sorted(self.trial.adapters, reverse=backwards)
        turn %= len(names)
        self.do("load_together", names=names[turn:] + names[:turn])

    @precondition(lambda self: not self.over and self.again())
    @rule(index=INDEX)
    def reload(self, index: int) -> None:
        self.do("reload", name=self.pick(index, self.again()))

    def again(self) -> set[str]:
        """Adapters that were saved, and ask for the same as then."""
        there = self.trial.adapters
        return {
            name for name, (_, old) in self.trial.files.items() if name in there and there[name].request == old.request
        }

    @has(2)
    @rule(index=INDEX, then=INDEX)
    def delete(self, index: int, then: int) -> None:
        name = self.pick(index, self.trial.adapters)
        self.do("delete", name=name, then=self.pick(then, set(self.trial.adapters) - {name}))

    @has()
    @rule(index=INDEX)
    def visit(self, index: int) -> None:
        """An adapter with another's LoRA and nothing else comes and goes, so that PEFT makes the other one active."""
        name = self.pick(index, self.trial.adapters)
        targets = self.trial.adapters[name].request.targets
        if targets and self.free():
            visitor = min(self.free())
            self.do("add", name=visitor, **Request(targets=targets).as_json())
            if not self.over and visitor in self.trial.adapters:
                self.do("delete", name=visitor, then=name)

    @has()
    @rule(rows=st.lists(INDEX, min_size=2, max_size=2), wrong=st.booleans())
    def mix(self, rows: list[int], wrong: bool) -> None:
        names = [self.pick(index, {*self.trial.adapters, "__base__"}) for index in rows]
        if self.trial.can_mix:
            self.do("mix", names=names + names[:1] if wrong else names)

    @has()
    @rule(merge=st.booleans(), index=INDEX, named=st.booleans())
    def merge(self, merge: bool, index: int, named: bool) -> None:
        names = [self.pick(index, self.trial.adapters)] if named and merge else None
        adapter = self.trial.adapters[names[0] if names else self.trial.active]
        # a merge into a tied weight changes the other module too, in stock as well
        if not self.trial.tree.tied & {*adapter.lora, *adapter.rows}:
            self.do("merge", merge=merge, names=names)

    def teardown(self) -> None:
        if hasattr(self, "trial"):
            if self.findings is not None:
                self.findings.count(self.trial)
            self.trial.close()
