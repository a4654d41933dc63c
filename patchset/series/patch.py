"""A series: the ordered patches of a line, and what their mail headers and DEP-3 fields say."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import dataclass
from pathlib import Path

from patchset.errors import PatchsetError

# https://dep-team.pages.debian.net/deps/dep3/
DEP3 = re.compile(r"^(Origin|Bug|Forwarded|Applied-Upstream|Last-Update): (\S.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Patch:
    """One patch file.

    Attributes:
        path: the file.
        subject: the mail's subject, with its ``[PATCH n/m]``.
        message: the commit message below the subject, without the diffstat.
        fields: the DEP-3 fields of the message, in their order.
        diffstat: what git writes between the message and the diff.
        diff: the diff, as bytes, from its first ``diff --git`` line.
    """

    path: Path
    subject: str
    message: str
    fields: tuple[tuple[str, str], ...]
    diffstat: str
    diff: bytes

    @property
    def slug(self) -> str:
        """The idea's name, the same in every line: ``forward-kwargs`` for ``0001-forward-kwargs.patch``."""
        return slug(self.path)

    @property
    def title(self) -> str:
        """The subject without its ``[PATCH n/m]``, as git has it for the commit."""
        return re.sub(r"^\[PATCH[^]]*\] *", "", self.subject)

    def field(self, name: str) -> str | None:
        """The first DEP-3 field of that name."""
        return next((value for key, value in self.fields if key == name), None)

    @property
    def bugs(self) -> list[str]:
        """The addresses of upstream's issues that it mends."""
        return [value for key, value in self.fields if key == "Bug"]

    @property
    def fixed_in(self) -> str | None:
        """The upstream release that has the fix: ``Applied-Upstream: 0.20.0, https://...`` names it first."""
        return (self.field("Applied-Upstream") or "").partition(",")[0] or None

    @property
    def fixed_at(self) -> str | None:
        """Where upstream merged it: the same field's address."""
        return (self.field("Applied-Upstream") or "").partition(", ")[2] or None


def read_patch(path: Path) -> Patch:
    """Read a git mail-format patch.

    Raises:
        PatchsetError: unreadable, no mail headers, or no git diff.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PatchsetError(f"cannot read patch {path}: {error}") from error
    head, separator, tail = data.partition(b"\ndiff --git ")
    mail = email.message_from_bytes(head.partition(b"\n")[2], policy=email.policy.default)
    if not head.startswith(b"From ") or not mail["subject"] or not separator:
        raise PatchsetError(
            f"{path} is not a patch in git's mail format; if quilt refreshed it, run "
            "`python -m patchset export RELEASE --refresh`"
        )
    message, _, diffstat = mail.get_content().partition("\n---\n")
    message = message.strip()
    return Patch(
        path=path,
        subject=str(mail["subject"]),
        message=message,
        fields=tuple((key, value) for key, value in DEP3.findall(message)),
        diffstat=diffstat,
        diff=b"diff --git " + tail,
    )


def read_series(folder: Path) -> list[Patch]:
    """Read the patches that the folder's ``series`` file names, in its order.

    Raises:
        PatchsetError: no such series, a named file is missing, or a patch in the folder is not named.
    """
    return [read_patch(path) for path in series_files(folder)]


def series_files(folder: Path) -> list[Path]:
    """The files that the folder's ``series`` file names, in its order, whatever is in them.

    Raises:
        PatchsetError: as `read_series`, but for the patches' contents.
    """
    try:
        lines = (folder / "series").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PatchsetError(f"cannot read the series {folder / 'series'}: {error}") from error
    # quilt: what follows a space (options) or a # does not belong to the name
    names = [line.partition("#")[0].split()[0] for line in lines if line.partition("#")[0].strip()]
    files = {path.name for path in folder.glob("*.patch")}
    if missing := [name for name in names if name not in files]:
        raise PatchsetError(f"{folder / 'series'} names {', '.join(missing)}, which is not in {folder}")
    if unnamed := sorted(files.difference(names)):
        raise PatchsetError(f"{folder} holds {', '.join(unnamed)}, which its series does not name")
    if len(names) != len(set(names)):
        raise PatchsetError(f"{folder / 'series'} names a patch twice")
    return [folder / name for name in names]


def slug(path: Path) -> str:
    """The idea's name in a patch file's: ``forward-kwargs`` for ``0001-forward-kwargs.patch``."""
    number, _, name = path.stem.partition("-")
    return name if number.isdecimal() else path.stem
