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
from patchset.audit.trace import NUMBER, Call, Steps

# Bases that make no module of a class.
_NO_BASE = frozenset({"object", "ABC", "Protocol", "Generic", "Enum", "NamedTuple", "TypedDict", "dict", "list"})


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


def affected(sources: Sequence[Source]) -> Iterator[Child]:
    """The submodules that are called by keyword only, file by file, in the order of their classes and calls.

    Args:
        sources: files that may import from each other.
    """
    index = Index(sources)
    for source in sources:
        for item in source.classes.values():
            if index.is_module(item):
                yield from _of_class(item, index)


def _of_class(item: Class, index: Index) -> Iterator[Child]:
    calls: dict[Steps, list[Call]] = {}
    for call in item.calls:
        calls.setdefault(call.steps, []).append(call)
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


class Index:
    """All files that are read together, to find a class that one of them imports from another."""

    def __init__(self, sources: Sequence[Source]) -> None:
        """Take the files; none of them is read again."""
        self._classes = {(source.path.stem, name): item for source in sources for name, item in source.classes.items()}
        self._children = {name for source in sources for item in source.classes.values() for name in item.children}
        self._methods = {name for source in sources for item in source.classes.values() for name in item.methods}
        self._derived: dict[Class, list[Class]] = {}
        for derived in (item for source in sources for item in source.classes.values()):
            for base in self._family(derived)[1:]:
                self._derived.setdefault(base, []).append(derived)

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
        family = [item]
        for one in family:  # grows meanwhile
            found = (self._find(one.source, base) for base in one.bases)
            family += [base for base in found if base is not None and base not in family]
        return family

    def _find(self, source: Source, name: str) -> Class | None:
        """The class of that name as a file sees it."""
        return source.classes.get(name) or self._classes.get(source.imported.get(name, ("", "")))
