"""``vendor/build-constraints.txt``: every package that a build takes, what those need included, by version and hash.

pip, uv and build enforce it where they are given it; our own builds are made of nothing else.
"""

from __future__ import annotations

import re
import shutil
import subprocess

from packaging.requirements import InvalidRequirement, Requirement

from patchset.errors import PatchsetError
from patchset.files import replace
from patchset.pins import CONSTRAINTS, ROOT, read_toml

_HEAD = """\
# Every package that a build takes, by version and hash. Made from pyproject.toml by `python -m patchset constraints`.
"""
# The oldest Python that builds; the file serves the newer ones, too.
_PYTHON = "3.10"


def wanted() -> list[str]:
    """What pyproject.toml asks for: for a build, and for its download of the sdist."""
    table = read_toml(ROOT / "pyproject.toml")
    return [*table["build-system"]["requires"], *table["dependency-groups"]["fetch"]]


def renew() -> None:
    """Write the file anew, with uv. Versions that pyproject.toml leaves open stay, as long as they fit.

    Raises:
        PatchsetError: uv is not installed, or cannot resolve them.
    """
    uv = shutil.which("uv")
    if uv is None:
        raise PatchsetError("uv is not installed; install the tool's needs with `pip install --group tool`")
    options = ["--universal", "--python-version", _PYTHON, "--generate-hashes", "--no-annotate", "--no-header", "--quiet"]
    # a wheel needs nothing else to be installed, and runs nothing
    options += ["--no-emit-index-url", "--no-emit-find-links", "--only-binary", ":all:"]
    result = subprocess.run(
        [uv, "pip", "compile", *options, "--output-file", str(CONSTRAINTS), "-"],
        input="\n".join(wanted()),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise PatchsetError(f"uv cannot resolve them: {' '.join(result.stderr.split())}")
    replace(CONSTRAINTS, _HEAD + CONSTRAINTS.read_text("utf-8"))


def check() -> None:
    """Look, without a network, whether the file pins what pyproject.toml asks for, and everything by hash.

    Raises:
        PatchsetError: it does not.
    """
    pinned: dict[str, Requirement] = {}
    try:
        text = CONSTRAINTS.read_text("utf-8")
    except OSError as error:
        raise PatchsetError(f"cannot read {CONSTRAINTS}: {error}") from error
    for line in re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines():
        name, *hashes = re.split(r"\s--hash=", line)
        try:
            requirement = Requirement(name)
        except InvalidRequirement as error:
            raise PatchsetError(f"{CONSTRAINTS.name}: {error}") from error
        if not re.fullmatch(r"==[^*,]+", str(requirement.specifier)):
            raise PatchsetError(f"{CONSTRAINTS.name}: {requirement.name} has no version of its own")
        if not hashes or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest.strip()) for digest in hashes):
            raise PatchsetError(f"{CONSTRAINTS.name}: {requirement.name} has no hash")
        pinned[requirement.name] = requirement
    for asked in map(Requirement, wanted()):
        found = pinned.get(asked.name)
        if found is None or found.specifier != asked.specifier:
            raise PatchsetError(
                f"pyproject.toml asks for {asked}, which {CONSTRAINTS.name} does not pin; run `python -m patchset constraints`"
            )
