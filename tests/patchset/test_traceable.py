"""What is said about where wheels come from and what they mend, by its formats' own libraries; and building them again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementPB
from packaging.version import Version

from patchset.checks import cyclonedx
from patchset.dist import provenance, vex
from patchset.dist.artifacts import Artifact
from patchset.pins import ROOT, load
from patchset.wheels.sbom import purl
from patchset.wheels.wheel import read, write
from tests.patchset.tool import Run

FILES = [
    Artifact(Path(wheel.file), Version(wheel.version), b"", f"{number:064x}")
    for number, wheel in enumerate(wheel for release in load() for wheel in release.wheels)
]


def test_the_provenance_is_what_its_format_wants() -> None:
    text = provenance.statement(FILES, load())
    assert provenance.statement(FILES, load()) == text
    found = json_format.Parse(text, StatementPB())
    Statement.copy_from_pb(found).validate()
    predicate = json_format.ParseDict(json.loads(text)["predicate"], provenance_pb2.Provenance())
    dependencies = predicate.build_definition.resolved_dependencies
    sdists = {entry.uri: entry.digest["sha256"] for entry in dependencies if entry.uri.startswith("pkg:pypi/")}
    assert sdists == {f"pkg:pypi/peft@{pin.version}?file_name={pin.sdist}": pin.sha256 for pin in load()}
    trees = {entry.digest["gitTree"] for entry in dependencies if "gitTree" in entry.digest}
    assert trees == {pin.tree for pin in load()}
    assert {entry.name for entry in dependencies} > {"vendor/releases.toml", "vendor/build-constraints.txt"}
    assert str(ROOT) not in text.decode()


def test_the_commit_is_named_unless_the_checkout_was_changed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "ROOT", checkout)
    monkeypatch.setattr(provenance, "RELEASES", checkout / "vendor" / "releases.toml")
    monkeypatch.setattr(provenance, "CONSTRAINTS", checkout / "vendor" / "build-constraints.txt")

    def first() -> Any:
        statement = json.loads(provenance.statement(FILES, load()))
        return statement["predicate"]["buildDefinition"]["resolvedDependencies"][0]

    assert first()["annotations"] == {"commit": "unknown"}
    git = ("git", "-C", str(checkout), "-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "all")):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert first()["digest"] == {"gitCommit": commit}
    (checkout / "README.md").write_text("")
    assert first()["annotations"] == {"commit": f"{commit}, changed"}


@pytest.fixture(scope="module")
def states() -> dict[tuple[str, str], str]:
    """The state of each fault and component."""
    text = vex.statements(FILES, load())
    cyclonedx.validate(text)
    assert vex.statements(FILES, load()) == text
    found = json.loads(text)
    pairs = [
        ((entry["id"], one["ref"]), entry["analysis"]["state"])
        for entry in found["vulnerabilities"]
        for one in entry["affects"]
    ]
    assert len(dict(pairs)) == len(pairs), "one state each"
    assert {ref for (_, ref), _ in pairs} == {entry["bom-ref"] for entry in found["components"]}
    return dict(pairs)


def test_statements_are_the_series(states: dict[tuple[str, str], str]) -> None:
    old, new = (next(pin for pin in load() if pin.version == version) for version in ("0.18.1", "0.20.0"))
    for wheel in old.wheels:
        assert states["forward-kwargs", purl(wheel)] == "resolved_with_pedigree"
    for wheel in new.wheels:
        assert states["forward-kwargs", purl(wheel)] == "resolved", "by upstream, in 0.20.0"
        assert states["mixed-batch", purl(wheel)] == "resolved_with_pedigree"
        assert ("tokens-linear", purl(wheel)) in states
    assert states["forward-kwargs", "pkg:pypi/peft@0.18.1?file_name=peft-0.18.1.tar.gz"] == "exploitable"
    assert ("forward-kwargs", "pkg:pypi/peft@0.20.0?file_name=peft-0.20.0.tar.gz") not in states
    first = load()[0].wheels[0]
    assert ("inactive-attributes", purl(first)) not in states, "no patch and no claim"


def test_rebuild_says_what_differs(tool: Run, checkout: Path, wheel: Path, tmp_path: Path) -> None:
    same = tool(checkout, "rebuild", str(wheel))
    assert (same.returncode, same.stderr) == (0, "")
    assert same.stdout.startswith(f"{wheel.name}: the same, sha256 ")

    content = read(wheel)
    name = "peft/utils/other.py"
    write(tmp_path / wheel.name, {**content, name: content[name] + b"# mine\n"})
    other = tool(checkout, "rebuild", str(tmp_path / wheel.name))
    assert other.returncode == 1
    assert f"; {name} differ" in other.stdout

    with ZipFile(tmp_path / wheel.name, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    assert "the files in it are the same" in tool(checkout, "rebuild", str(tmp_path / wheel.name)).stdout

    strange = tmp_path / "peft-0.18.1+kwargs.9-py3-none-any.whl"
    strange.touch()
    assert "is not what this checkout builds" in tool(checkout, "rebuild", str(strange)).stderr
    assert "cannot read" in tool(checkout, "rebuild", "missing.whl").stderr
