"""What a requirements file, a pyproject.toml or a lock file asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from patchset.doctor.findings import Finding, advice, of_tagged, of_version
from patchset.errors import PatchsetError
from patchset.pins import LOCAL, Release, Wheel, read_toml

# A tagged wheel's file name.
_TAGGED = re.compile(rf"peft-\d[^-/+]*-\d+{LOCAL}\d+-py3-none-any\.whl")
_HASH = re.compile(r"sha256[:=]\s*([0-9a-f]{64})")


def examine(path: Path, releases: Sequence[Release]) -> list[Finding]:
    """What a file says about peft.

    Args:
        path: a requirements file (pip's format), a pyproject.toml, or a TOML lock file: pylock.toml (PEP 751), uv's,
            Poetry's, PDM's.
        releases: the pins.

    Raises:
        PatchsetError: it cannot be read.
    """
    if path.suffix not in (".toml", ".lock"):
        return _all(path, [finding for line in _lines(path) for finding in _requirement(line, releases)])
    content = read_toml(path)
    # [[packages]] in pylock.toml, [[package]] in the others
    packages = content.get("packages") or content.get("package") or []
    findings = [finding for entry in packages for finding in _locked(entry, releases)]
    findings += [finding for line in _asked(content) for finding in _requirement(line, releases)]
    return _all(path, findings)


def _asked(content: dict[str, Any]) -> Iterator[str]:
    """The requirements of a pyproject.toml: dependencies, extras, dependency groups (PEP 735), the tools' own tables."""
    project, tool = content.get("project", {}), content.get("tool", {})
    lists = [project.get("dependencies", []), *project.get("optional-dependencies", {}).values()]
    lists += content.get("dependency-groups", {}).values()
    lists += [
        tool.get("uv", {}).get("dev-dependencies", []),
        *tool.get("pdm", {}).get("dev-dependencies", {}).values(),
    ]
    for requirements in lists:
        yield from (line for line in requirements if isinstance(line, str))  # the others include a group
    poetry = tool.get("poetry", {})
    for table in [poetry, *poetry.get("group", {}).values()]:
        yield from (_of_poetry(name, value) for name, value in table.get("dependencies", {}).items())


def _of_poetry(name: str, value: Any) -> str:
    """A requirement as in PEP 508, for one of Poetry's table, as far as releases of peft go: they all begin with 0."""
    version = value.get("version", "") if isinstance(value, dict) else value
    if not isinstance(version, str) or not version:
        return f"{name} @ elsewhere"  # a path, a repository, several constraints
    if re.fullmatch(r"[\d.]+(\+\S+)?", version):
        return f"{name}=={version}"
    # the caret and the tilde of `^0.18.1`: that minor version, from there on
    wide = re.sub(r"[~^](0\.\d+)(\S*)", r">=\1\2,==\1.*", version)
    return name if wide == "*" else f"{name}{wide}"


def _all(path: Path, findings: list[Finding]) -> list[Finding]:
    return findings or [Finding("note", f"{path} does not name peft")]


def _lines(path: Path) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PatchsetError(f"cannot read {path}: {error}") from error
    for line in text.replace("\\\n", " ").splitlines():
        if line.partition("#")[0].strip() and not line.lstrip().startswith("-"):
            yield line


def _requirement(line: str, releases: Sequence[Release]) -> Iterator[Finding]:
    """Findings for one requirement, with pip's ``--hash`` options behind it."""
    text = re.split(r"\s+(?:#|--)", line, maxsplit=1)[0].strip()
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return
    if canonicalize_name(requirement.name) != "peft":
        return
    if requirement.url and (tagged := _TAGGED.search(requirement.url)):
        digests = set(_HASH.findall(line))
        yield from _of_tagged(tagged[0], digests, releases)
        return
    if requirement.url:
        yield Finding("note", f"`{text}` names a file or a repository; see what is installed with `doctor` alone")
        return
    exact = [part.version for part in requirement.specifier if part.operator == "==" and "*" not in part.version]
    if exact:
        yield from _pinned(exact[0], set(_HASH.findall(line)), line, releases)
        return
    allowed = [pin for pin in releases if requirement.specifier.contains(pin.patched_version)]
    if not allowed:
        known = ", ".join(pin.patched_version for pin in releases)
        yield Finding("problem", f"`{text}` excludes every patched release; these exist: {known}")
    else:
        yield Finding("problem", f"`{text}` lets the index decide, stock included; {advice(allowed[-1].wheels[0])}")


def _locked(entry: dict[str, Any], releases: Sequence[Release]) -> Iterator[Finding]:
    """Findings for one package of a lock file."""
    if canonicalize_name(str(entry.get("name", ""))) != "peft" or "version" not in entry:
        return
    # Poetry and PDM write `hash = "sha256:..."`, PEP 751 `hashes = {sha256 = "..."}`
    digests = set(_HASH.findall(str(entry))) | set(re.findall(r"'sha256': '([0-9a-f]{64})'", str(entry)))
    yield from _pinned(str(entry["version"]), digests, str(entry), releases)


def _pinned(version: str, digests: set[str], text: str, releases: Sequence[Release]) -> Iterator[Finding]:
    """Findings for an exact version and its hashes.

    Args:
        version: it.
        digests: the hashes of all files that are allowed.
        text: where those files may be named.
        releases: the pins.
    """
    own = next((wheel for pin in releases for wheel in pin.wheels if wheel.version == version), None)
    named = _TAGGED.search(text)
    if own and own.tagged and (named or own.sha256 in digests):
        yield from _of_tagged(named[0] if named else own.file, digests, releases)
        return
    yield of_version(version, releases)
    if own and not own.tagged:
        yield _hashes(own, digests)


def _of_tagged(file: str, digests: set[str], releases: Sequence[Release]) -> Iterator[Finding]:
    """Findings for a tagged wheel, by its file name; other files of the same version may be stock's."""
    finding, wheel = of_tagged(file, releases)
    yield finding
    if wheel is None:
        return
    yield _hashes(wheel, digests)
    if len(digests) > 1:
        yield Finding(
            "problem",
            f"other files of the same version are allowed too, stock included; {advice(wheel)}",
        )


def _hashes(wheel: Wheel, digests: set[str]) -> Finding:
    if not digests:
        return Finding("note", "no hash is given, so that a changed wheel would be installed")
    if not wheel.sha256:
        return Finding("note", f"no digest of a released {wheel.name} is locked, so that the hash cannot be compared")
    if wheel.sha256 in digests:
        return Finding("ok", "the hash is the released wheel's")
    return Finding("problem", f"the hash is not the released wheel's, {wheel.sha256}")
