"""What the readers of files find in them about peft, for `patchset.doctor.requested` to judge."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from patchset.errors import PatchsetError

HASH = re.compile(r"sha256[:=]\s*([0-9a-f]{64})")


@dataclass(frozen=True)
class Ask:
    """A requirement of peft, or what narrows or replaces those.

    Attributes:
        text: as it stands in the file, for people.
        specifiers: the versions that it allows: those of any of them.
        role: ``requirement``, ``constraint`` or ``override``.
        origin: the file or repository that it names, with the revision behind ``@``; empty for an index.
        hashes: the SHA-256 of each file that it allows; none means any.
        upstream: the release that its build settings ask for.
        place: which file it stands in, where that is not the given one.
    """

    text: str
    specifiers: tuple[SpecifierSet, ...] = (SpecifierSet(),)
    role: str = "requirement"
    origin: str = ""
    hashes: frozenset[str] = frozenset()
    upstream: str = ""
    place: str = ""


@dataclass(frozen=True)
class Locked:
    """What a lock file has of peft.

    Attributes:
        version: its version, or nothing.
        hashes: the SHA-256 of each file that is allowed.
        files: text that holds the files' names.
        origin: the repository or folder that it is built from; empty for files of an index.
        marker: where it is taken, if not everywhere.
    """

    version: str
    hashes: frozenset[str] = frozenset()
    files: str = ""
    origin: str = ""
    marker: str = ""


@dataclass
class Document:
    """What a file says.

    Attributes:
        locker: the format of ``lock`` whose lines fit into it; ``...`` where that is open.
        asks: its requirements of peft.
        locked: what it locks.
        index: name and address of the index that it takes peft from, alone.
        hashed: whether a requirement in it can have a hash.
        unread: what may bring peft and was not read, for people.
        problems: what else is wrong, for people.
        projects: the folders of projects that it names, as it names them and where they are.
    """

    locker: str = "..."
    asks: list[Ask] = field(default_factory=list)
    locked: list[Locked] = field(default_factory=list)
    index: tuple[str, str] | None = None
    hashed: bool = False
    unread: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    projects: list[tuple[str, Path]] = field(default_factory=list)


@dataclass(frozen=True)
class Node:
    """A value of a TOML file, which need not be of the type that it should be.

    Attributes:
        value: it; None where there is none.
        path: the file.
        name: the keys that lead to it.
    """

    value: Any
    path: Path
    name: str = ""

    def __getitem__(self, key: str) -> Node:
        return Node(self._of(dict).get(key), self.path, f"{self.name}.{key}".lstrip("."))

    def items(self) -> Iterator[tuple[str, Node]]:
        """The entries of a table."""
        return ((key, self[key]) for key in self._of(dict))

    def values(self) -> Iterator[Node]:
        """The values of a table."""
        return (value for _, value in self.items())

    def __iter__(self) -> Iterator[Node]:
        return (Node(value, self.path, self.name) for value in self._of(list))

    def __bool__(self) -> bool:
        return self.value is not None

    @property
    def text(self) -> str:
        """A string; nothing where there is none."""
        return str(self._of(str))

    def _of(self, kind: type) -> Any:
        if self.value is None:
            return kind()
        if not isinstance(self.value, kind):
            name = {"dict": "a table", "list": "a list", "str": "text"}[kind.__name__]
            raise PatchsetError(f"cannot read {self.path}: `{self.name}` must be {name}, not {self.value!r:.60}")
        return self.value
