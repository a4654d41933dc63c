"""An environment's peft: its version, its files against RECORD and the locked digest, and patches made at run time."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from packaging.version import Version

from patchset.doctor.findings import Finding, advice, of_frameworks, of_tagged, of_version
from patchset.doctor.frameworks import Framework, frameworks
from patchset.errors import PatchsetError
from patchset.pins import Release, Wheel
from patchset.wheels.sbom import SBOM, described
from patchset.wheels.wheel import write

# What installers add to .dist-info (PEP 376, PEP 610); uv's are named by its own prefix.
_INSTALLERS = ("INSTALLER", "REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json")
# Methods of the wrappers that do not come from the module itself: code that was put there at run time.
_FOREIGN = """
import inspect, json
import peft.utils.other as module
found = []
for name, item in vars(module).items():
    if inspect.isclass(item) and issubclass(item, module.AuxiliaryTrainingWrapper):
        for method, function in vars(item).items():
            code = getattr(getattr(function, "fget", function), "__code__", None)
            if code and code.co_filename not in (module.__file__, inspect.getsourcefile(__import__("contextlib"))):
                found.append([f"{name}.{method}", code.co_filename])
print(json.dumps(found))
"""


def examine(python: str, releases: Sequence[Release]) -> list[Finding]:
    """What an interpreter's environment has.

    Args:
        python: path of the interpreter.
        releases: the pins.

    Raises:
        PatchsetError: the interpreter does not run.
    """
    path = _search_path(python)
    using = frameworks(path)
    found = list(importlib.metadata.distributions(name="peft", path=path))
    if not found:
        return [Finding("note", f"{python} has no peft"), *of_frameworks(None, None, using, releases)]
    finding, wheel = _recorded(found[0], releases, using)
    findings = [finding]
    if len(found) > 1:
        findings.append(Finding("problem", f"peft is installed {len(found)} times; the first on the path counts"))
    version = Version(found[0].version)
    release = next((pin for pin in releases if pin.version == version.public), None)
    findings += of_frameworks(str(version), release, using, releases, tagged=bool(wheel and wheel.tagged))
    findings += _files(found[0], wheel)
    return findings + list(_at_run_time(python))


def _recorded(
    installed: importlib.metadata.Distribution, releases: Sequence[Release], using: Sequence[Framework]
) -> tuple[Finding, Wheel | None]:
    """Which peft it is, by its version and by the SBOM that its RECORD lists; and which wheel of ours."""
    version = installed.version
    own = next((file for file in installed.files or [] if file.as_posix().endswith(f".dist-info/{SBOM}")), None)
    if own and Version(version).local is None:
        try:
            file = described(own.read_text()).qualifiers["file_name"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            return Finding("problem", f"its {SBOM} cannot be read: {error}; install it anew"), None
        return of_tagged(file, releases)
    local = (wheel for pin in releases for wheel in pin.wheels if not wheel.tagged)
    return of_version(version, releases, using), next((wheel for wheel in local if wheel.version == version), None)


def _search_path(python: str) -> list[str]:
    try:
        out = _run(python, "import json, sys; print(json.dumps(sys.path))")
        return [entry for entry in json.loads(out) if entry]
    except (OSError, ValueError) as error:
        raise PatchsetError(f"cannot run {python}: {error}") from error


def _run(python: str, code: str) -> str:
    result = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    if result.returncode:
        raise ValueError((result.stderr.strip().splitlines() or [str(result.returncode)])[-1])
    return result.stdout.splitlines()[-1]


def _files(installed: importlib.metadata.Distribution, wheel: Wheel | None) -> list[Finding]:
    """Compare each file with RECORD, and for a patched one all of them together with the wheel's locked digest."""
    editable = json.loads(installed.read_text("direct_url.json") or "{}").get("dir_info", {}).get("editable")
    if editable:
        return [Finding("note", "it is an editable install; its files are the checkout's, not a wheel's")]
    changed, content = [], {}
    # not `installed.files`: later Pythons leave out of that what is missing
    for name, digest, _ in csv.reader((installed.read_text("RECORD") or "").splitlines()):
        file, path = PurePosixPath(name), Path(str(installed.locate_file(name)))
        if file.name == "RECORD" or file.suffix == ".pyc" or file.name in _INSTALLERS or ".." in file.parts:
            continue
        data = path.read_bytes() if path.is_file() else b""
        content[name] = data
        found = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        if digest and digest != f"sha256={found}":
            changed.append(f"{name} ({'changed' if path.is_file() else 'missing'})")
    if changed:
        return [Finding("problem", f"differs from its RECORD: {', '.join(changed)}; install it anew")]
    findings = [Finding("ok", f"its {len(content)} files are those of its RECORD")]
    if wheel and wheel.sha256:
        if _rebuilt(content, wheel) == wheel.sha256:
            findings.append(Finding("ok", f"they are the released wheel's, sha256 {wheel.sha256}"))
        else:
            findings.append(Finding("problem", f"they are not the released wheel's; {advice(wheel)}"))
    elif wheel:
        findings.append(Finding("note", f"no digest of a released {wheel.name} is locked"))
    return findings


def _rebuilt(content: dict[str, bytes], wheel: Wheel) -> str:
    """The SHA-256 of the wheel that the files make: a wheel of ours depends on its files alone."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, wheel.file)
        write(file, content)
        return hashlib.sha256(file.read_bytes()).hexdigest()


def _at_run_time(python: str) -> Iterator[Finding]:
    """Import peft there and see whether anything has replaced the wrappers' methods by then."""
    try:
        foreign = json.loads(_run(python, _FOREIGN))
    except ValueError as error:
        yield Finding("note", f"cannot import peft there, so patches made at run time were not looked for: {error}")
        return
    for method, file in foreign:
        yield Finding("problem", f"{method} is replaced at run time by {file}; a patched peft does not need it")
    if not foreign:
        yield Finding("ok", "nothing replaces the wrappers' methods when peft is imported")
