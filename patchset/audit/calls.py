"""Which submodules do the classes of modelling files call without a positional argument?

Up to PEFT 0.19.1 a module in ``modules_to_save`` cannot be called that way: its wrapper's ``forward(self, x, ...)`` has no
``x`` then. A keyword that is named ``x`` is one, so such a call does not count. The files are read, not run, with the
standard library alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchset.audit.classes import Class, Source
from patchset.audit.trace import NUMBER, RESULT, Call, Steps

# Bases that make no module of a class.
_NO_BASE = frozenset({"object", "ABC", "Protocol", "Generic", "Enum", "NamedTuple", "TypedDict", "dict", "list"})
# How many methods may return what others return.
_DEEP = 5


@dataclass(frozen=True)
class Child:
    """A submodule that a class calls by keyword only, at one place at least.

    Attributes:
        file: the file of the class.
        owner: the class that makes the calls.
        path: the way from the class to it, ``model.vision_tower``; ``layers.<n>`` is every module of ``layers``.
        keywords: the keywords of those calls.
        lines: the lines of those calls.
        positional_lines: the lines of its calls with positional arguments.
    """

    file: Path
    owner: str
    path: str
    keywords: tuple[str, ...]
    lines: tuple[int, ...]
    positional_lines: tuple[int, ...]

    @property
    def name(self) -> str:
        """What names it in ``modules_to_save``: the path's last part, with its container where that is a number.

        PEFT matches the end of a module's full name, so every module whose name ends in it is meant.
        """
        parts = self.path.split(".")
        start = next(at for at in range(len(parts) - 1, -1, -1) if parts[at] != NUMBER)
        return ".".join(parts[start:])


def affected(index: Index) -> Iterator[Child]:
    """The submodules that are called by keyword only, file by file, in the order of their classes and calls."""
    for item in index.modules():
        yield from _of_class(item, index)


def _of_class(item: Class, index: Index) -> Iterator[Child]:
    calls: dict[Steps, list[Call]] = {}
    for call in item.calls:
        for steps in index.resolved(item, call.steps):
            calls.setdefault(steps, []).append(call)
    for steps, places in calls.items():
        found = [call for call in places if call.affected]
        if found and index.holds(item, steps):
            yield Child(
                file=item.source.path,
                owner=item.name,
                path=".".join(steps),
                keywords=tuple(dict.fromkeys(name for call in found for name in call.keywords)),
                lines=tuple(call.line for call in found),
                positional_lines=tuple(call.line for call in places if call.positional),
            )


@dataclass(frozen=True)
class Nested:
    """A submodule with another of the same name inside it, as far as the classes show.

    Attributes:
        file: the file of the class.
        owner: the class that has it.
        name: the name of both.
    """

    file: Path
    owner: str
    name: str


def nested(index: Index) -> Iterator[Nested]:
    """The names that mean, in ``modules_to_save``, a submodule and others inside it."""
    for item in index.modules():
        yield from (
            Nested(item.source.path, item.name, name) for name in item.children if index.has_inside(item, name)
        )


class Index:
    """All files that are read together, to find a class that one of them imports from another."""

    def __init__(self, sources: Sequence[Source]) -> None:
        """Take files that may import from each other; none of them is read again."""
        self._sources = sources
        self._families: dict[Class, list[Class]] = {}
        self._inner: dict[Class, tuple[set[str], list[Class]]] = {}
        self._classes = {(source.path.stem, name): item for source in sources for name, item in source.classes.items()}
        self._children = {name for source in sources for item in source.classes.values() for name in item.children}
        self._methods = {name for source in sources for item in source.classes.values() for name in item.methods}
        self._properties = {
            name
            for source in sources
            for item in source.classes.values()
            for name in item.properties & set(item.returns)
        }
        self._derived: dict[Class, list[Class]] = {}
        for derived in (item for source in sources for item in source.classes.values()):
            for base in self._family(derived)[1:]:
                self._derived.setdefault(base, []).append(derived)

    def modules(self) -> Iterator[Class]:
        """The classes that can be an ``nn.Module``, file by file."""
        return (item for source in self._sources for item in source.classes.values() if self.is_module(item))

    def is_module(self, item: Class) -> bool:
        """Whether a class can be an ``nn.Module``: it has a base outside the files that is not known for another."""
        family = self._family(item)
        outside = {base for one in family for base in one.bases if self._find(one.source, base) is None}
        return bool(outside - _NO_BASE)

    def holds(self, item: Class, steps: Steps) -> bool:
        """Whether the steps lead from a class's instance to a submodule, not to a method or a plain value."""
        owners = [item]
        for step in steps:
            if step == NUMBER:
                continue  # the owners are those that the container was filled with
            if any(self._has_method(owner, step) for owner in owners):
                return False
            made = [(owner.source, names) for owner in self._owners(owners, step) for names in [owner.children[step]]]
            # Below a class that stands in none of the files, what is a submodule elsewhere and a method nowhere counts.
            if not made and (owners == [item] or not self._likely(step)):
                return False
            owners = [found for source, names in made for name in names if (found := self._find(source, name))]
            if owners and not any(self.is_module(owner) for owner in owners):
                return False
        return True

    def names(self) -> set[str]:
        """The names of all submodules."""
        return self._children

    def has_inside(self, item: Class, name: str) -> bool:
        """Whether a class's submodule has one of the same name inside it, or one whose name ends so."""
        inside, seen = self._made([item], name), set()
        if not any(self.is_module(one) for one in inside):
            return False
        for one in inside:  # grows meanwhile
            if one in seen:
                continue
            seen.add(one)
            names, classes = self._below(one)
            if any(child.endswith(name) for child in names):
                return True
            inside += classes
        return False

    def resolved(self, item: Class, steps: Steps) -> set[Steps]:
        """The ways to submodules that steps stand for, where methods and properties in them say what they return."""
        if not any(step.endswith(RESULT) or step in self._properties for step in steps):
            return {steps}
        return set(self._resolved([item], (), steps, _DEEP))

    def _resolved(self, owners: list[Class], before: Steps, steps: Steps, left: int) -> Iterator[Steps]:
        if not steps:
            if before:
                yield before
            return
        step, rest = steps[0], steps[1:]
        name = step.removesuffix(RESULT)
        if step.endswith(RESULT) or any(name in one.properties for owner in owners for one in self._family(owner)):
            for way in self._returned(owners, name) if left else ():
                yield from self._resolved(owners, before, (*way, *rest), left - 1)
            return
        if step != NUMBER:
            owners = self._made(owners, step)
        yield from self._resolved(owners, (*before, step), rest, left)

    def _returned(self, owners: Iterable[Class], name: str) -> set[Steps]:
        """What a method may return, by the first class that has it."""
        found: set[Steps] = set()
        for owner in owners:
            first = next((one for one in self._family(owner) if name in one.methods), None)
            found |= first.returns.get(name, frozenset()) if first else set()
        return found

    def _below(self, item: Class) -> tuple[set[str], list[Class]]:
        """The names of a class's submodules, of which something is known, and the classes that they may be of."""
        if item not in self._inner:
            family = self._family(item)
            names = {child for base in family for child, made in base.children.items() if made}
            children = dict.fromkeys(child for base in family for child in base.children)
            made = dict.fromkeys(found for child in children for found in self._made([item], child))
            self._inner[item] = names, list(made)
        return self._inner[item]

    def _made(self, owners: Iterable[Class], child: str) -> list[Class]:
        """The classes that a child may be of."""
        makers = self._owners(owners, child)
        return [found for one in makers for name in one.children[child] if (found := self._find(one.source, name))]

    def _likely(self, name: str) -> bool:
        return name in self._children and name not in self._methods

    def _owners(self, items: Iterable[Class], child: str) -> list[Class]:
        """The classes, of the given ones, their bases and what derives from them, that make the child."""
        family = (one for item in items for one in [*self._family(item), *self._derived.get(item, [])])
        return [one for one in family if child in one.children]

    def _has_method(self, item: Class, name: str) -> bool:
        return any(name in one.methods for one in self._family(item))

    def _family(self, item: Class) -> list[Class]:
        """A class and its bases, their bases and so on, as far as the files hold them."""
        if item not in self._families:
            family = self._families[item] = [item]
            for one in family:  # grows meanwhile
                found = (self._find(one.source, base) for base in one.bases)
                family += [base for base in found if base is not None and base not in family]
        return self._families[item]

    def _find(self, source: Source, name: str) -> Class | None:
        """The class of that name as a file sees it."""
        return source.classes.get(name) or self._classes.get(source.imported.get(name, ("", "")))
