"""An environment's peft: its version, its files against RECORD and the locked digest, and patches made at run time."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from patchset.doctor import inside
from patchset.doctor.environment import Environment, folder_of, origin_of, run
from patchset.doctor.findings import Finding, advice, of_frameworks, of_tagged, of_version
from patchset.doctor.frameworks import Framework, frameworks, parsed
from patchset.files import sha256
from patchset.pins import LOCAL, Release, Wheel
from patchset.wheels.sbom import SBOM, described
from patchset.wheels.wheel import record_digest, write

# What installers add to .dist-info (PEP 376, PEP 610); uv's are named by its own prefix.
_INSTALLERS = ("INSTALLER", "REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json")


def examine(python: str, releases: Sequence[Release], imported: Sequence[str] = ()) -> Iterator[Finding]:
    """What an interpreter's environment has, what is known without an import first.

    Args:
        python: path of the interpreter.
        releases: the pins.
        imported: modules that are imported after peft, to see whether they replace methods of its wrappers.

    Raises:
        PatchsetError: the interpreter does not run.
    """
    environment = Environment.of(python)
    using = frameworks(environment.path)
    if not environment.pefts:
        yield Finding("note", f"{python} has no peft")
        yield from of_frameworks(None, None, using, releases)
        return
    first = environment.pefts[0]
    finding, wheel = recorded(first, releases, using, python)
    yield finding
    if len(environment.pefts) > 1:
        places = ", ".join(f"{one.version} in {folder_of(one)}" for one in environment.pefts)
        yield Finding("problem", f"peft is installed {len(environment.pefts)} times, and the first counts: {places}")
    release = release_of(first, releases)
    yield from of_frameworks(first.version, release, using, releases, tagged=bool(wheel and wheel.tagged))
    yield from files(first, wheel, python)
    yield from _at_run_time(python, imported)


def release_of(installed: importlib.metadata.Distribution, releases: Sequence[Release]) -> Release | None:
    """The pinned release that an installation is of."""
    version = parsed(installed.version or "")
    return next((pin for pin in releases if version and pin.version == version.public), None)


def recorded(
    installed: importlib.metadata.Distribution,
    releases: Sequence[Release],
    using: Sequence[Framework],
    python: str = "",
) -> tuple[Finding, Wheel | None]:
    """Which peft it is, by its version and by the SBOM that its RECORD lists; and which wheel of ours."""
    version = installed.version or ""
    own = next((file for file in installed.files or [] if file.as_posix().endswith(f".dist-info/{SBOM}")), None)
    if own and "+" not in version:
        try:
            file = described(own.read_text())
        except (OSError, ValueError) as error:
            return Finding("problem", f"its {SBOM} cannot be read: {error}; install it anew"), None
        return of_tagged(file, releases)
    local = (wheel for pin in releases for wheel in pin.wheels if not wheel.tagged)
    return of_version(version, releases, using, python=python), next(
        (wheel for wheel in local if wheel.version == version), None
    )


def is_patched(installed: importlib.metadata.Distribution, releases: Sequence[Release]) -> bool:
    """Whether it is one of ours, of whatever revision, by what it says of itself."""
    return f"+{LOCAL}." in (installed.version or "") or recorded(installed, releases, [])[1] is not None


def files(installed: importlib.metadata.Distribution, wheel: Wheel | None, python: str = "") -> list[Finding]:
    """Compare each file with RECORD, and for a patched one all of them together with the wheel's locked digest."""
    if editable := folder_edited(installed):
        text = f"it is an editable install of {editable}; its files are that folder's, not a wheel's"
        return [Finding("note", text)]
    if installed.read_text("RECORD") is None:
        # as Debian's and some of conda's packages are
        return [Finding("note", "there is no RECORD of its files, so that they cannot be compared with anything")]
    changed, content = [], {}
    # not `installed.files`: later Pythons leave out of that what is missing
    for name, digest, _ in csv.reader((installed.read_text("RECORD") or "").splitlines()):
        file, path = PurePosixPath(name), Path(str(installed.locate_file(name)))
        if file.name == "RECORD" or file.suffix == ".pyc" or file.name in _INSTALLERS or ".." in file.parts:
            continue
        data = path.read_bytes() if path.is_file() else b""
        content[name] = data
        if digest and digest != record_digest(data):
            changed.append(f"{name} ({'changed' if path.is_file() else 'missing'})")
    if changed:
        return [Finding("problem", f"differs from its RECORD: {', '.join(changed)}; install it anew")]
    findings = [Finding("ok", f"its {len(content)} files are those of its RECORD")]
    if wheel and wheel.sha256:
        if _rebuilt(content, wheel) == wheel.sha256:
            findings.append(Finding("ok", f"they are the released wheel's, sha256 {wheel.sha256}"))
        else:
            findings.append(Finding("problem", f"they are not the released wheel's; {advice(wheel, python=python)}"))
    elif wheel:
        findings.append(Finding("note", f"no digest of a released {wheel.name} is locked"))
    return findings


def folder_edited(installed: importlib.metadata.Distribution) -> str:
    """The folder of an editable install, or nothing."""
    origin = origin_of(installed)
    editable = isinstance(origin.get("dir_info"), dict) and origin["dir_info"].get("editable")
    return str(origin.get("url", "")).removeprefix("file://") if editable else ""


def _rebuilt(content: dict[str, bytes], wheel: Wheel) -> str:
    """The SHA-256 of the wheel that the files make: a wheel of ours depends on its files alone."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, wheel.file)
        write(file, content)
        return sha256(file)


def _at_run_time(python: str, imported: Sequence[str]) -> Iterator[Finding]:
    """Import peft there, and what else is asked for, and see whether anything has replaced the wrappers by then."""
    what = " and ".join(["peft", *imported])
    try:
        foreign = json.loads(run(python, str(Path(inside.__file__)), *imported))
    except ValueError as error:
        text = f"cannot import {what} there, so patches made at run time were not looked for: {error}"
        yield Finding("problem" if imported else "note", text)
        return
    for method, file in foreign:
        yield Finding("problem", f"{method} is replaced at run time by {file}; a patched peft does not need it")
    if not foreign:
        what += " are" if imported else " is"
        more = "" if imported else "; --import MODULE looks at what a framework does when it is imported"
        yield Finding("ok", f"nothing replaces the wrappers' methods when {what} imported{more}")
