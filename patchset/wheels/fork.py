"""Who answers for what is built here: the one place that a fork of this fork sets, so that nobody asks upstream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from patchset.errors import PatchsetError
from patchset.pins import ROOT, read_toml

_TABLE = "[tool.patchset.fork]"


@dataclass(frozen=True)
class Fork:
    """What the table in pyproject.toml says; all but the first may be empty.

    Attributes:
        maintainer: a name.
        email: the maintainer's address.
        source: address of the repository.
        issues: address where faults are reported.
    """

    maintainer: str
    email: str = ""
    source: str = ""
    issues: str = ""

    @property
    def metadata(self) -> bytes:
        """Fields of core metadata; upstream's author and home page stay beside them."""
        lines = [f"Maintainer: {self.maintainer}"]
        lines += [f"Maintainer-email: {self.email}"] if self.email else []
        lines += [f"Project-URL: {label}, {address}" for label, address in self.addresses]
        return "".join(f"{line}\n" for line in lines).encode()

    @property
    def addresses(self) -> Iterator[tuple[str, str]]:
        """Labels and addresses, as far as they are set."""
        named = (("Patches", self.source), ("Patches: issues", self.issues))
        return ((label, address) for label, address in named if address)

    @property
    def notice(self) -> str:
        """What a NOTICE says about whom to ask."""
        who = f"{self.maintainer} <{self.email}>" if self.email else self.maintainer
        where = f"at\n{self.issues}" if self.issues else "there"
        source = f"\nThe patches and what builds them: {self.source}" if self.source else ""
        return f"Maintained by {who}. Report faults of it {where}, not to Hugging Face.{source}\n"


def fork(pyproject: Path = ROOT / "pyproject.toml") -> Fork:
    """Read the table.

    Raises:
        PatchsetError: it is missing, or has a field of another name, type or form.
    """
    table = read_toml(pyproject).get("tool", {}).get("patchset", {}).get("fork", {})
    known = [field.name for field in fields(Fork)]
    if unknown := sorted(set(table).difference(known)):
        raise PatchsetError(f"{pyproject}: {_TABLE} has `{unknown[0]}`; it takes {', '.join(known)}")
    for name, value in table.items():
        if not isinstance(value, str) or "\n" in value or "\r" in value:
            raise PatchsetError(f"{pyproject}: {_TABLE} `{name}` must be text in one line")
        if name in ("source", "issues") and value and urlsplit(value).scheme not in ("http", "https"):
            raise PatchsetError(f"{pyproject}: {_TABLE} `{name}` must be an address with http or https")
    if not table.get("maintainer"):
        raise PatchsetError(f"{pyproject}: {_TABLE} must name a `maintainer`")
    return Fork(**table)
