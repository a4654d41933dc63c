"""Requirements files, as pip reads them: with pip's own parser, whose release is pinned, and without a network."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from patchset.doctor.asks import Ask, Document
from patchset.doctor.origins import Origin
from patchset.errors import PatchsetError

# A line without a name is a path or an address.
_ELSEWHERE = re.compile(r"^[\w+.-]+:/|^(git\+)?git@|^\.|[/\\]|\.(whl|zip|tar\.gz|tgz|tar\.bz2)\b", re.IGNORECASE)


class _Offline:
    """In place of pip's session."""

    def get(self, url: str) -> Any:
        raise PatchsetError(f"{url} is not downloaded; save it beside the file that names it")


def read(path: Path) -> Document:
    """Read a requirements file and those that it names with ``-r`` and ``-c``.

    Raises:
        PatchsetError: one cannot be read, or has a line that is no requirement.
    """
    from pip._internal.exceptions import PipError  # late: it takes a while
    from pip._internal.req.req_file import parse_requirements

    document, top = Document(locker="pip", hashed=True), str(path.absolute())
    try:
        # of an option that it does not know, its parser prints the usage
        with contextlib.redirect_stderr(io.StringIO()):
            lines = list(parse_requirements(top, _Offline()))  # type: ignore[arg-type]
    except (PipError, ValueError, LookupError) as error:
        raise PatchsetError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    for line in lines:
        number, _, file = (line.line_source or "").removeprefix("line ").partition(" of ")
        add(
            document,
            line.requirement,
            Path(file),
            role="constraint" if line.constraint else "requirement",
            editable=line.is_editable,
            options=line.options or {},
            place="" if file == top else f"{Path(file).name}, line {number}",
        )
    return document


def add(
    document: Document,
    text: str,
    file: Path,
    *,
    role: str = "requirement",
    editable: bool = False,
    options: Mapping[str, Any] | None = None,
    place: str = "",
) -> None:
    """Take up one requirement, if it is of peft.

    Args:
        document: where to put it.
        text: the requirement, without pip's options before or behind it.
        file: the file that it stands in.
        role: see `Ask`.
        editable: whether ``-e`` stands before it.
        options: pip's options behind it.
        place: see `Ask`.

    Raises:
        PatchsetError: it is no requirement.
    """
    name, specifier, origin = _parted(text, file, editable)
    shown = f"-e {text}" if editable else text
    if not name and (folder := _local(origin, file.parent)).name != "peft":
        document.projects.append((shown, folder))
        return
    if canonicalize_name(name or "peft") != "peft":
        return
    options = options or {}
    document.asks.append(
        Ask(
            text=shown,
            specifiers=(specifier,),
            role=role,
            origin=origin,
            hashes=frozenset((options.get("hashes") or {}).get("sha256", ())),
            upstream=str((options.get("config_settings") or {}).get("upstream", "")),
            place=place,
        )
    )


def _parted(text: str, file: Path, editable: bool) -> tuple[str, SpecifierSet, str]:
    """A requirement's name, versions and origin; the name is empty for a folder."""
    try:
        found = Requirement(text)
        if found.url or not editable:
            return found.name, found.specifier, found.url or ""
    except InvalidRequirement as error:
        if not editable and not _ELSEWHERE.search(text):
            reason = str(error).partition("\n")[0]
            raise PatchsetError(f"cannot read {file}: `{text}` is no requirement: {reason}") from error
    origin = re.split(r"\s+;", text)[0].strip()
    return Origin.of(origin).name, SpecifierSet(), origin


def _local(origin: str, folder: Path) -> Path:
    """A folder as a requirement names it, extras behind it aside."""
    parts = urlsplit(origin)
    return folder / re.sub(r"\[[\w,. -]*\]$", "", unquote(parts.path) if parts.scheme == "file" else origin)
