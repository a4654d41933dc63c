"""What a requirements file, a pyproject.toml or a lock file asks for, judged."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from packaging.specifiers import SpecifierSet

from patchset.doctor import locks, pyproject, requirements
from patchset.doctor.asks import Ask, Document, Locked
from patchset.doctor.findings import Finding, advice, of_tagged, of_version
from patchset.doctor.origins import TAGGED, Origin, of_origin, wheel_of
from patchset.errors import PatchsetError
from patchset.pins import INDEX, Release, Wheel
from patchset.sources.settings import redacted

READ = "requirements files, pyproject.toml, uv.toml, and lock files of uv, Poetry and PDM and pylock.toml"
# By name, in this order; rye writes requirements.lock.
_READERS: tuple[tuple[str, Callable[[Path], Document]], ...] = (
    (r"pyproject\.toml|uv\.toml", pyproject.read),
    (r"requirements.*\.lock|.*\.(txt|in)|requirements[\w.-]*|constraints[\w.-]*", requirements.read),
    (r"(uv|poetry|pdm)\.lock|pylock(\..+)?\.toml", locks.read),
)
_UNREAD = r"\.(ya?ml|json|py|cfg|ipynb|sh|conda)$|^Pipfile|^Dockerfile|^pixi\."


def examine(path: Path, releases: Sequence[Release]) -> list[Finding]:
    """What a file says about peft.

    Args:
        path: a requirements file (pip's format, `-r` and `-c` followed), a pyproject.toml, or a lock file: pylock.toml
            (PEP 751), uv's, Poetry's, PDM's.
        releases: the pins.

    Raises:
        PatchsetError: it cannot be read, or is of a format that is not.
    """
    document = _reader(path)(path)
    _follow(document, path)
    findings = [finding for locked in document.locked for finding in _of_locked(locked, document, releases)]
    findings += _of_asks(document, releases)
    findings += [Finding("problem", text) for text in document.problems]
    findings += [Finding("problem", f"not looked into, and may bring peft: {text}") for text in document.unread]
    if findings:
        return findings
    more = (
        "" if document.locker == "pylock" or path.suffix == ".lock" else "; what it names may need it: doctor --python"
    )
    return [Finding("note", f"{path} does not name peft{more}")]


def _follow(document: Document, path: Path) -> None:
    """Take up what the projects need that the file names by their folders, and those that they name in their turn."""
    seen = {path.absolute().parent} if path.name == "pyproject.toml" else set()
    for shown, folder in document.projects:  # grows meanwhile
        if folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        if not (folder / "pyproject.toml").is_file():
            document.unread.append(f"what `{shown}` needs")
        elif pyproject.take(document, folder / "pyproject.toml", place=f"of `{shown}`") == "peft":
            document.asks.append(Ask(shown, origin=str(folder)))


def _reader(path: Path) -> Callable[[Path], Document]:
    if path.is_dir():
        raise PatchsetError(f"{path} is a folder; name one of its files: {READ}")
    name = path.name
    if not re.search(_UNREAD, name):
        for pattern, reader in _READERS:
            if re.fullmatch(pattern, name):
                return reader
        if path.suffix == ".lock":
            return locks.read
    if not path.exists():
        raise PatchsetError(f"cannot read {path}: there is no such file")
    raise PatchsetError(f"{name} is of a format that is not read, so that nothing is known about it; read are {READ}")


def _of_locked(locked: Locked, document: Document, releases: Sequence[Release]) -> Iterator[Finding]:
    """Findings for one package of a lock file; with others beside it, where it is taken."""
    where = ""
    if len(document.locked) > 1:
        where = f" where {locked.marker}" if locked.marker else f" (one of {len(document.locked)} that are locked)"
    for finding in _of_entry(locked, document.locker, releases):
        yield Finding(finding.level, f"{finding.text}{where}")


def _of_entry(locked: Locked, locker: str, releases: Sequence[Release]) -> Iterator[Finding]:
    if not locked.version:
        yield from (
            of_origin(locked.origin, releases, locker=locker)
            if locked.origin
            else [Finding("problem", "peft is locked without a version; what is installed shows with doctor --python")]
        )
        return
    own = _own(locked.version, releases)
    if locked.origin:
        if Origin.of(locked.origin).repository.lower() == "huggingface/peft" or own is None or not own.tagged:
            yield of_version(locked.version, releases, locker=locker)
            text = f"it is built from `{redacted(locked.origin)}`, and is no released file"
            yield Finding("note", f"{text}; doctor --python compares what is installed")
        else:
            # a build may keep upstream's version
            yield from of_origin(locked.origin, releases, locker=locker)
        return
    named = TAGGED.search(locked.files.replace("%2B", "+"))
    if own and own.tagged and (named or own.sha256 in locked.hashes):
        yield from _of_tagged(named[0] if named else own.file, locked.hashes, releases, locker)
        return
    yield of_version(locked.version, releases, locker=locker)
    if own and not own.tagged:
        yield _hashes(own, locked.hashes)


def _of_asks(document: Document, releases: Sequence[Release]) -> Iterator[Finding]:
    """Findings for requirements, with what narrows and what replaces them."""
    overrides, required, constraints = (
        [ask for ask in document.asks if ask.role == role] for role in ("override", "requirement", "constraint")
    )
    wanted = overrides or required
    for one in wanted or constraints:
        narrowing = constraints if wanted else []
        ask = next((other for other in narrowing if other.origin), one)
        place = f" ({ask.place})" if ask.place else ""
        for finding in _of_ask(ask, narrowing, document, releases):
            yield Finding(finding.level, f"{finding.text}{place}")


def _of_ask(
    ask: Ask, constraints: Sequence[Ask], document: Document, releases: Sequence[Release]
) -> Iterator[Finding]:
    locker = document.locker
    if ask.origin:
        digests = ask.hashes | set(re.findall(r"#(?:.*&)?sha256=([0-9a-f]{64})", ask.origin))
        yield from of_origin(ask.origin, releases, ask.upstream, locker)
        wheel = wheel_of(ask.origin, releases)
        if wheel and (document.hashed or digests):
            yield _hashes(wheel, digests)
        return
    text = " with ".join(dict.fromkeys(f"`{one.text}`" for one in (ask, *constraints)))
    allowed = [both for one in ask.specifiers for both in _narrowed(one, constraints)]
    pins = [spec.version for both in allowed for spec in both if re.fullmatch(r"===?[^*]+", str(spec))]
    if pins:
        version = max(pins, key=len)  # a local one beside its release
        if any(both.contains(version, prereleases=True) for both in allowed):
            yield from _of_exact(version, ask, document, releases)
        else:
            yield Finding("problem", f"{text} contradict each other")
        return
    fitting = [pin for pin in releases if any(both.contains(pin.patched_version) for both in allowed)]
    if not fitting:
        known = ", ".join(pin.patched_version for pin in releases)
        yield Finding("problem", f"{text} excludes every patched release; these exist: {known}")
    elif document.index:
        yield _of_index(f"{text} takes what the index", document.index)
    else:
        yield Finding(
            "problem", f"{text} lets the index decide, stock included; {advice(fitting[-1].wheels[0], locker)}"
        )


def _of_exact(version: str, ask: Ask, document: Document, releases: Sequence[Release]) -> Iterator[Finding]:
    own = _own(version, releases)
    if own and own.tagged and own.sha256 in ask.hashes:
        yield from _of_tagged(own.file, ask.hashes, releases, document.locker)
    elif own and own.tagged and document.index:
        yield _of_index(f"peft {version} has upstream's version, and is what the index", document.index)
    else:
        yield of_version(version, releases, locker=document.locker)
        if own and not own.tagged and document.hashed:
            yield _hashes(own, ask.hashes)


def _of_index(text: str, index: tuple[str, str]) -> Finding:
    """What to say where the index decides: nothing is known of any but our own."""
    name, address = index
    level = "note" if name == INDEX else "problem"
    return Finding(
        level, f"{text} `{name}` ({redacted(address) or 'without an address'}) has; the lock file shows what"
    )


def _narrowed(one: SpecifierSet, constraints: Sequence[Ask]) -> list[SpecifierSet]:
    found = [one]
    for constraint in constraints:
        found = [both & other for both in found for other in constraint.specifiers]
    return found


def _own(version: str, releases: Sequence[Release]) -> Wheel | None:
    return next((wheel for pin in releases for wheel in pin.wheels if wheel.version == version), None)


def _of_tagged(file: str, digests: frozenset[str], releases: Sequence[Release], locker: str) -> Iterator[Finding]:
    """Findings for a tagged wheel, by its file name; other files of the same version may be stock's."""
    finding, wheel = of_tagged(file, releases)
    yield finding
    if wheel is None:
        return
    yield _hashes(wheel, digests)
    if len(digests) > 1:
        text = f"other files of the same version are allowed too, stock included; {advice(wheel, locker)}"
        yield Finding("problem", text)


def _hashes(wheel: Wheel, digests: frozenset[str]) -> Finding:
    if not digests:
        return Finding("note", "no hash is given, so that a changed wheel would be installed")
    if not wheel.sha256:
        return Finding("note", f"no digest of a released {wheel.name} is locked, so that the hash cannot be compared")
    if wheel.sha256 in digests:
        return Finding("ok", "the hash is the released wheel's")
    return Finding("problem", f"the hash is not the released wheel's, {wheel.sha256}")
