"""One sequence: a model, what is done to it, and what has to agree with the reference after each step.

Operations are dictionaries that JSON can hold, so that a sequence can be written down and replayed.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.oracle.agreement import Differs, same, same_weights
from tests.oracle.left import INNER_LIST, LEFT, OWN_SET, TAKEN
from tests.oracle.names import inner_list, kind_of, taken, twice
from tests.oracle.reference import Adapter, Part, Reference, Request, Resolved, overlaps, resolve
from tests.oracle.releases import Behaviour
from tests.oracle.subject import Subject, quiet
from tests.oracle.trees import Node, Tree

IDS = torch.tensor([[0, 1, 2], [3, 4, 1]])  # every row of the vocabulary
RATE = 0.5
# a RAM disk, where there is one
SCRATCH = next((folder for folder in ("/dev/shm",) if Path(folder).is_dir()), None)


class Trial:
    """A sequence under way.

    Attributes:
        tree: The base model.
        behaviour: What the installed release does.
        reference: The plain reference.
        subject: PEFT's model; none before the first adapter.
        active: The active adapter's name.
        files: Saved adapters by the name they were saved under: the folder, and what the reference says is in it.
        plan: What was done until now.
        refused: Adapters that were refused, rightly, by the reason.
        leave: Faults of stock that are not compared, see `left`.
        left: Those that were met.
    """

    def __init__(self, tree: Tree, behaviour: Behaviour, leave: frozenset[str] = LEFT) -> None:
        self.tree = tree
        self.behaviour = behaviour
        self.leave = leave
        self.left: Counter[str] = Counter()
        self.scratch = Path(tempfile.mkdtemp(prefix="oracle-", dir=SCRATCH))
        self.plan: list[dict[str, Any]] = []
        self.refused: Counter[str] = Counter()
        self.files: dict[str, tuple[Path, Adapter]] = {}
        self.saves = 0
        self.added = 0
        self.restart()

    def restart(self) -> None:
        """Begin anew with the base model; saved files stay."""
        self.reference = Reference(self.tree)
        self.subject: Subject | None = None
        self.active = ""
        self.wrapped: set[str] = set()  # what was ever saved whole, or had tokens, in this model
        self.deleted: list[
            Resolved
        ] = []  # of deleted adapters: PEFT's layers stay when the last adapter of one is gone

    def close(self) -> None:
        """Throw away the files."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    @property
    def adapters(self) -> dict[str, Adapter]:
        """The adapters that the model has."""
        return self.reference.adapters

    @property
    def model(self) -> Subject:
        """PEFT's model, once there is one."""
        assert self.subject
        return self.subject

    def fresh(self) -> nn.Module:
        """The base model, untouched."""
        model = self.tree.build(tied=True)
        model.load_state_dict(self.tree.weights)
        return model

    def do(self, op: str, **arguments: Any) -> None:
        """Do one operation and compare.

        Raises:
            Differs: PEFT is not where the reference is.
        """
        self.plan.append({"op": op, **arguments})
        with quiet():
            getattr(self, f"do_{op}")(**arguments)

    def attempt(self, what: str, action: Callable[[], Any]) -> Any:
        """Something that has to work.

        Raises:
            Differs: It raises an exception.
        """
        try:
            return action()
        except Differs:
            raise
        except Exception as error:
            raise Differs(f"{what} raises {type(error).__name__}", str(error)) from error

    # operations

    def do_add(self, name: str, **asked: Any) -> None:
        """A new adapter; it becomes active and is trained for a step."""
        request = Request.from_json(asked)
        modules = resolve(self.tree, request)

        def action() -> None:
            if self.subject is None:
                self.subject = Subject.create(self.fresh(), name, request)
            else:
                self.subject.add(name, request)

        if not self.may_add(f"add {kind_of(modules)}", request, modules, action):
            return
        adapter = Adapter.new(self.tree, self.reference.base, request)
        adapter.lora = self.attempt("initialize", lambda: self.model.randomize_lora(name, self.added))
        self.added += 1
        if set(adapter.lora) != set(modules.lora):
            raise Differs("other LoRA layers", f"{sorted(adapter.lora)}, not {sorted(modules.lora)}")
        self.adapters[name] = adapter
        self.wrapped |= set(modules.saved)
        if self.active:
            self.agree("after add_adapter", trainable=False)
        self.do_switch(name)
        self.do_train(name)

    def do_switch(self, name: str, copied: bool = False) -> None:
        """Make an adapter the active one, perhaps of a deep copy to go on with."""
        if copied and not self.bound:
            self.subject = Subject(self.attempt("deepcopy", lambda: copy.deepcopy(self.model.model)))
        self.attempt("set_adapter", lambda: self.model.model.set_adapter(name))
        self.active = name
        self.agree("after set_adapter")

    def do_train(self, name: str) -> None:
        """A step with the active adapter, if it has anything to train."""
        if not self.adapters[name].trainable(self.tree):
            return
        self.attempt("train", lambda: self.model.train(name, IDS, RATE))
        self.reference.train(self.adapters[name], IDS, RATE)
        self.agree("after training")

    def do_disable(self) -> None:
        """Adapters off and on again."""

        def action() -> Tensor:
            with self.model.disabled():
                return self.model.output(IDS)

        output = self.attempt("disable", action)
        same("output while disabled", output, self.reference.output(None, IDS))
        self.agree("after disabling")

    def do_save(self, name: str) -> None:
        """Write an adapter to a folder."""
        self.saves += 1
        folder = self.scratch / str(self.saves)
        found = self.attempt("save", lambda: self.model.save(name, folder))
        self.files[name] = (found, self.adapters[name].snapshot())

    def do_load_alone(self, name: str, into: str, trainable: bool) -> None:
        """A saved adapter into the base model of another process, under any name."""
        folder, adapter = self.files[name]
        subject = self.attempt("load", lambda: Subject.load(self.fresh(), folder, into, trainable))
        same("output after load", self.attempt("forward", lambda: subject.output(IDS)), self.output(adapter))
        same_weights("keys after load", subject.state(into), adapter.keys)
        if trainable or self.behaviour.freezes_loaded:
            self.same_trainable("after load", subject, into if trainable else "", {into: adapter})

    def do_load_together(self, names: Sequence[str]) -> None:
        """All adapters into one base model; goes on with that."""
        if self.taken_in_turn(names):
            return
        for name in names:
            self.do_save(name)
        subject = self.attempt("load", lambda: Subject.load(self.fresh(), self.files[names[0]][0], names[0], True))
        self.subject = subject
        self.wrapped = {path for adapter in self.adapters.values() for path in adapter.modules.saved}
        self.deleted = []
        for name in names[1:]:
            self.attempt("load one more", lambda name=name: subject.load_more(self.files[name][0], name))
        for name in names:
            self.do_switch(name)

    def do_reload(self, name: str) -> None:
        """An adapter's saved weights in place of those that it has."""
        folder, adapter = self.files[name]
        self.attempt("load over", lambda: self.model.load_more(folder, name))
        self.adapters[name] = adapter.snapshot()
        self.do_switch(self.active)

    def do_delete(self, name: str, then: str) -> None:
        """Delete an adapter, the active one perhaps; another is active then."""
        lora = [adapter.modules.lora for adapter in self.adapters.values()]
        follows = self.behaviour.follows_delete and lora[0] and all(paths == lora[0] for paths in lora)
        if not follows:
            # PEFT chooses who is active next from one of the LoRA layers; where that has none, the copy that was active
            # is left with its gradients, in stock as well
            self.do_switch(then)
        self.attempt("delete", lambda: self.model.model.delete_adapter(name))
        self.deleted.append(self.adapters.pop(name).modules)
        if follows:
            (self.active,) = self.model.model.active_adapters
            self.agree("after delete")
        if self.behaviour.survives_delete:
            self.do_switch(then)
        else:
            self.same_keys("after delete")
            self.restart()

    @property
    def can_mix(self) -> bool:
        """Whether all adapters have LoRA, which PEFT wants, and the same modules, so that a row can have any of them."""
        wrapped = [(adapter.modules.saved, adapter.modules.tokens) for adapter in self.adapters.values()]
        lora = all(adapter.lora for adapter in self.adapters.values())
        same_modules = all(modules == wrapped[0] for modules in wrapped) and self.wrapped <= set(wrapped[0][0])
        return lora and not self.bound and same_modules

    def do_mix(self, names: list[str]) -> None:
        """An adapter for each row of the batch, by name; too many names are an error."""
        modules = next(iter(self.adapters.values())).modules
        supported = all(self.tree.nodes[path].kind in ("linear", "embedding") for path in modules.saved)
        if supported and len(names) == len(IDS):
            rows = [self.output(self.adapters.get(name))[row] for row, name in enumerate(names)]
            output = self.attempt("mixed batch", lambda: self.model.output(IDS, adapter_names=names))
            same("output of a mixed batch", output, torch.stack(rows))
            return
        try:
            # a copy, since stock leaves its hooks on the model after an error
            Subject(copy.deepcopy(self.model.model)).output(IDS, adapter_names=names)
        except (TypeError, ValueError) as error:
            text = str(error)
            told = "only supported for" in text if len(names) == len(IDS) else "adapter_names" in text or not supported
            if told:
                return
            raise Differs("a mixed batch is refused in other words", text) from error
        except Exception as error:
            raise Differs(f"a mixed batch raises {type(error).__name__}", str(error)) from error
        raise Differs("a mixed batch is not refused", str(names))

    def do_merge(self, merge: bool, names: list[str] | None) -> None:
        """Merge or unload a copy of the model, the active adapter or the one that is named."""
        name = names[0] if names else self.active
        adapter = self.adapters[name].snapshot()
        if self.bound:
            return
        model = copy.deepcopy(self.model.model)
        if merge:
            plain = self.attempt("merge", lambda: model.merge_and_unload(adapter_names=names))
        else:
            plain = self.attempt("unload", model.unload)
            adapter.lora = {}
            adapter.rows = {}
        what = ("merge" if merge else "unload") + (" of a named adapter" if names else "")
        expected = adapter.over(self.reference.base)
        same_weights(f"weights after {what}", plain.state_dict(), expected)
        with torch.no_grad():
            output = self.attempt(f"forward after {what}", lambda: plain(IDS))
        same(f"output after {what}", output, self.reference.run(expected, IDS))

    # what is right

    def output(self, adapter: Adapter | None) -> Tensor:
        """What the reference says."""
        return self.reference.output(adapter, IDS)

    def may_add(self, what: str, request: Request, modules: Resolved, action: Callable[[], Any]) -> bool:
        """Add an adapter, or see it refused where that is right.

        Returns:
            Whether it was added. If not, the other adapters are as before, and the model has been thrown away.

        Raises:
            Differs: It is refused without a reason, or not refused, or nobody is told.
        """
        own = overlaps(modules, modules)
        there = [*(adapter.modules for adapter in self.adapters.values()), *self.deleted]
        others = [pair for used in there for pair in overlaps(modules, used)]
        lists = [path for path in modules.saved if self.tree.nodes[path].kind == "list"]
        bound = [path for path in self.bound if any(f"{path}.".startswith(f"{saved}.") for saved in modules.saved)]
        with quiet() as caught:
            try:
                action()
            except Exception as error:
                text = str(error)
                if request.bare and isinstance(error, (TypeError, ValueError)):
                    self.refused["a string for a list"] += 1
                    self.restart()
                    return False
                if isinstance(error, (AttributeError, TypeError)) and self.owns_set and self.leaves(OWN_SET):
                    self.restart()
                    return False
                if inner_list(self.tree, request, modules) and self.leaves(INNER_LIST):
                    self.restart()
                    return False
                if (
                    lists
                    or twice(request, self.adapters.values())
                    or taken(self.tree, request, modules, self.adapters.values())
                ):
                    self.refused["by PEFT itself"] += 1  # in words of its own
                    self.restart()
                    return False
                reasons = [first == second or (first in text and second in text) for first, second in own + others]
                # by its class: the wrapper does not know the module's name
                reasons += ["is bound to the original module" in text for _ in bound]
                reasons += [name in text for name in modules.unmatched]
                if not isinstance(error, (TypeError, ValueError)) or not reasons:
                    raise Differs(f"{what} raises {type(error).__name__}", text) from error
                if not any(reasons):
                    raise Differs("refused without the modules' names", text) from error
                self.refused[
                    "one adapter's own modules" if own else "other adapters' modules" if others else "forward or name"
                ] += 1
                nested = any(first != second and first in text and second in text for first, second in others)
                if self.adapters and nested:
                    self.agree("after a refusal", trainable=False)
                self.restart()
                return False
        said = " ".join(str(warning.message) for warning in caught)
        if lists:
            raise Differs("a list of modules is wrapped", str(lists))
        for name in modules.unmatched:
            if name not in said:
                raise Differs("a name that means nothing is not said", name)
        if bound:
            raise Differs("a copy that cannot train is not refused", str(bound))
        if taken(self.tree, request, modules, self.adapters.values()) and self.leaves(TAKEN):
            self.restart()
            return False
        return True

    def taken_in_turn(self, names: Sequence[str]) -> bool:
        """Whether a name of one adapter means a module in the wrappers of those that come before it."""
        adapters = [self.adapters[name] for name in names]
        return any(
            taken(self.tree, adapter.request, adapter.modules, adapters[:index])
            for index, adapter in enumerate(adapters)
        ) and self.leaves(TAKEN)

    def leaves(self, fault: str) -> bool:
        """Whether this fault of stock is left as it is; it is counted then."""
        if fault in self.leave:
            self.left[fault] += 1
        return fault in self.leave

    @property
    def owns_set(self) -> bool:
        """Whether the model has a child where the release wants a set of names."""
        return not self.behaviour.keeps_set and "modules_to_save" in self.tree.nodes

    @cached_property
    def bound(self) -> list[str]:
        """The modules whose `forward` no copy can have; a deep copy of the model is broken by them."""
        return [path for path, node in self.tree.nodes.items() if node.forward == "closure"]

    def agree(self, when: str, trainable: bool = True) -> None:
        """The model is where the reference is."""
        adapter = self.adapters[self.active]
        same(f"output {when}", self.attempt(f"forward {when}", lambda: self.model.output(IDS)), self.output(adapter))
        if trainable:
            self.same_trainable(when, self.model, self.active, self.adapters)
        self.same_keys(when)

    def same_keys(self, when: str) -> None:
        """What would be saved of each adapter."""
        for name, other in self.adapters.items():
            state = self.attempt(f"state dict {when}", lambda name=name: self.model.state(name))
            same_weights(f"keys {when}", state, other.keys)

    def same_trainable(self, when: str, subject: Subject, active: str, adapters: dict[str, Adapter]) -> None:
        """What requires gradients, and that these are the adapter's own weights."""
        found = subject.trainable()
        expected: dict[tuple[str, Part], Tensor] = {}
        if active:
            parts = adapters[active].trainable(self.tree)
            expected = {(active, part): value for part, value in parts.items()}
        missing = sorted(map(str, expected.keys() - found.keys()))
        more = found.keys() - expected.keys()
        if self.behaviour.originals_train:
            passive = {path for other in adapters.values() for path in other.modules.saved}
            passive |= self.wrapped if subject is self.subject else set()
            passive -= set(adapters[active].modules.saved) if active else set()
            tensors = {id(self.tree.weights[name]) for path in passive for name in self.tree.inside(path)}
            more = {(owner, part) for owner, part in more if owner or id(self.tree.weights[part[1]]) not in tensors}
        if missing or more:
            raise Differs(f"trainable {when}", f"missing {missing}, more {sorted(map(str, more))}")
        for key, value in expected.items():
            same(f"trained weights {when}", found[key].detach(), value)


def replay(
    tree: dict[str, Any], plan: list[dict[str, Any]], behaviour: Behaviour, leave: frozenset[str]
) -> Differs | None:
    """Do a sequence again.

    Returns:
        What differs, if anything does.
    """
    sequence = Trial(Tree(Node.from_json(tree)), behaviour, leave)
    try:
        for step in plan:
            sequence.do(**step)
    except Differs as found:
        return found
    finally:
        sequence.close()
    return None
