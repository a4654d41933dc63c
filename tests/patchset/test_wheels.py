"""The wheels as others see them: the SBOM by its format's validator, and the checks of packaging tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from patchset.pins import PATCHES, Release, Wheel, load
from patchset.series.patch import read_patch, read_series
from patchset.wheels.sbom import sbom
from patchset.wheels.wheel import write


def document(release: Release) -> dict[str, Any]:
    found = json.loads(sbom(Wheel(release), read_series(release.series_dir)))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("release", load(), ids=lambda release: release.version)
def test_every_sbom_is_valid(release: Release) -> None:
    text = sbom(Wheel(release), read_series(release.series_dir)).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert sbom(Wheel(release), read_series(release.series_dir)).decode() == text


def test_the_validator_finds_faults(release: Release) -> None:
    broken = document(release)
    broken["metadata"]["component"]["pedigree"]["patches"][0]["type"] = "good"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(broken)) is not None


def test_sbom_names_ancestor_and_patches(release: Release) -> None:
    found = document(release)
    component = found["metadata"]["component"]
    assert component["purl"] == "pkg:pypi/peft@0.18.1%2Bkwargs.1"
    (ancestor,) = component["pedigree"]["ancestors"]
    assert ancestor["purl"] == f"pkg:pypi/peft@0.18.1?file_name={release.sdist}"
    assert ancestor["hashes"] == [{"alg": "SHA-256", "content": release.sha256}]
    patches = read_series(release.series_dir)
    diffs = {entry["diff"]["text"]["content"] for entry in component["pedigree"]["patches"]}
    assert diffs == {patch.diff.decode() for patch in patches}
    assert component["pedigree"]["notes"].endswith(", ".join(patch.path.name for patch in patches))
    issues = [issue for entry in component["pedigree"]["patches"] for issue in entry["resolves"]]
    assert {issue["name"] for issue in issues} == {patch.subject.partition("] ")[2] for patch in patches}
    (known,) = [issue for issue in issues if issue.get("id") == "3191"]
    assert known["source"] == {"name": "huggingface/peft", "url": "https://github.com/huggingface/peft/issues/3191"}
    assert "timestamp" not in found["metadata"]


@pytest.mark.parametrize(
    ("origin", "kind"), [("vendor", "unofficial"), ("backport, 0.20.0", "backport"), ("upstream", "cherry-pick")]
)
def test_a_patchs_origin_decides_its_type(tmp_path: Path, release: Release, origin: str, kind: str) -> None:
    source = next((PATCHES / release.series).glob("0001-*.patch"))
    path = tmp_path / source.name
    path.write_text(source.read_text().replace("Origin: vendor", f"Origin: {origin}"))
    pedigree = json.loads(sbom(Wheel(release), [read_patch(path)]))["metadata"]["component"]["pedigree"]
    assert [entry["type"] for entry in pedigree["patches"]] == [kind]


def test_writing_leaves_the_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"peft/__init__.py": b"", "peft-1.dist-info/WHEEL": b"", "peft-1.dist-info/METADATA": b""}
    for before in (None, "1700000000"):
        monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
        if before:
            monkeypatch.setenv("SOURCE_DATE_EPOCH", before)
        write(tmp_path / "peft-1-py3-none-any.whl", content)
        assert os.environ.get("SOURCE_DATE_EPOCH") == before


def test_the_wheel_holds_it(wheel: Path, release: Release) -> None:
    with ZipFile(wheel) as archive:
        held = archive.read("peft-0.18.1+kwargs.1.dist-info/sboms/peft.cdx.json")
    assert held == sbom(Wheel(release), read_series(release.series_dir))


@pytest.mark.parametrize("command", [("check_wheel_contents",), ("twine", "check", "--strict")], ids=" ".join)
def test_packaging_tools_find_nothing(wheel: Path, command: tuple[str, ...]) -> None:
    result = subprocess.run([sys.executable, "-m", *command, str(wheel)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
