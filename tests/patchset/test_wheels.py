"""The wheels as others see them: the SBOM by its format's validator, and the checks of packaging tools."""

from __future__ import annotations

import email
import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.output.json import JsonV1Dot6
from wheel.wheelfile import WheelFile

from patchset.checks import cyclonedx
from patchset.errors import PatchsetError
from patchset.pins import PATCHES, Release, Wheel, load
from patchset.series.patch import read_patch, read_series
from patchset.wheels.fork import fork
from patchset.wheels.sbom import sbom
from patchset.wheels.sdist import stored
from patchset.wheels.wheel import write
from tests.patchset.tool import Run


def parsed(release: Release) -> dict[str, Any]:
    found = json.loads(sbom(Wheel(release), read_series(release.series_dir)))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("release", load(), ids=lambda release: release.version)
def test_every_sbom_is_valid(release: Release) -> None:
    cyclonedx.check(release)
    ours = parsed(release)
    bom = Bom.from_json(ours)  # type: ignore[attr-defined]  # the library's decorator adds it
    theirs = json.loads(JsonV1Dot6(bom).output_as_string())
    theirs["metadata"].pop("timestamp")
    assert ordered(theirs) == ordered(ours), "as the format's own library has it, but for the order of what has none"


def ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: ordered(item) for key, item in value.items()}
    return sorted(map(ordered, value), key=json.dumps) if isinstance(value, list) else value


def test_the_validator_finds_faults(release: Release) -> None:
    broken = parsed(release)
    broken["metadata"]["component"]["pedigree"]["patches"][0]["type"] = "good"
    with pytest.raises(PatchsetError, match="no valid CycloneDX: 'good' is not one of"):
        cyclonedx.validate(json.dumps(broken).encode())


def test_sbom_names_ancestor_and_patches(release: Release) -> None:
    found = parsed(release)
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


@pytest.mark.parametrize("size", [1, 0xFFFF, 0xFFFF + 1, 200_000])
def test_our_sdists_are_gzip_whatever_zlib_there_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int
) -> None:
    monkeypatch.setattr("zlib.compressobj", None)
    data = bytes(number % 251 for number in range(size))
    (tmp_path / "it.gz").write_bytes(stored(data))
    assert gzip.decompress(stored(data)) == data
    assert subprocess.run(["gzip", "-dc", tmp_path / "it.gz"], capture_output=True, check=True).stdout == data


def test_a_written_wheel_is_as_its_record_says(tmp_path: Path) -> None:
    content = {"peft/a, b.py": b"1", "peft-1.dist-info/WHEEL": b"", "peft-1.dist-info/METADATA": b"", "peft/0.py": b""}
    path = tmp_path / "peft-1-py3-none-any.whl"
    write(path, content)
    with WheelFile(path) as found:  # compares each file with RECORD
        assert {name: found.read(name) for name in content} == content
        assert found.namelist() == [*sorted(content, key=lambda name: (".dist" in name, name)), found.record_path]
        assert found.read(found.record_path).decode().splitlines()[1].startswith('"peft/a, b.py",sha256=')


def test_the_wheel_holds_it(wheel: Path, release: Release) -> None:
    with ZipFile(wheel) as archive:
        held = archive.read("peft-0.18.1+kwargs.1.dist-info/sboms/peft.cdx.json")
    assert held == sbom(Wheel(release), read_series(release.series_dir))


@pytest.mark.parametrize("command", [("check_wheel_contents",), ("twine", "check", "--strict")], ids=" ".join)
def test_packaging_tools_find_nothing(wheel: Path, command: tuple[str, ...]) -> None:
    result = subprocess.run([sys.executable, "-m", *command, str(wheel)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


FORK = """
[tool.patchset.fork]
maintainer = "The Gardeners"
email = "gardeners@example.org"
source = "https://example.org/peft-kwargs"
issues = "https://example.org/peft-kwargs/issues"
"""


def test_the_fork_says_whose_it_is(tool: Run, checkout: Path) -> None:
    """METADATA, NOTICE and SBOM name who publishes the wheel; upstream's author stays beside it."""
    pyproject = checkout / "pyproject.toml"
    text = pyproject.read_text()
    head, _, rest = text.partition("[tool.patchset.fork]\n")
    pyproject.write_text(head + FORK + rest.partition("\n")[2])
    assert tool(checkout, "build", "0.18.1", "-o", "dist").returncode == 0
    with ZipFile(checkout / "dist" / "peft-0.18.1+kwargs.1-py3-none-any.whl") as archive:
        held = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    fields = email.message_from_string(held["METADATA"])
    assert fields["Maintainer"] == "The Gardeners"
    assert fields["Maintainer-email"] == "gardeners@example.org"
    assert fields.get_all("Project-URL") == [
        "Patches, https://example.org/peft-kwargs",
        "Patches: issues, https://example.org/peft-kwargs/issues",
    ]
    assert fields["Author"] == "The HuggingFace team"
    assert "Report faults of it at\nhttps://example.org/peft-kwargs/issues, not to Hugging Face" in held["NOTICE"]
    component = json.loads(held["peft.cdx.json"])["metadata"]["component"]
    assert component["supplier"] == {"name": "The Gardeners", "contact": [{"email": "gardeners@example.org"}]}
    assert {entry["type"]: entry["url"] for entry in component["externalReferences"]} == {
        "vcs": "https://example.org/peft-kwargs",
        "issue-tracker": "https://example.org/peft-kwargs/issues",
    }
    cyclonedx.validate(held["peft.cdx.json"].encode())


@pytest.mark.parametrize(
    ("table", "answer"),
    [
        ("", "must name a `maintainer`"),
        ("maintainer = 1", "`maintainer` must be text in one line"),
        ("maintainer = '''a\nb'''", "`maintainer` must be text in one line"),
        ("maintainer = 'a'\nissue = 'b'", "has `issue`; it takes maintainer, email, source, issues"),
        ("maintainer = 'a'\nissues = 'b'", "`issues` must be an address"),
    ],
)
def test_a_fork_that_cannot_be_read(tmp_path: Path, table: str, answer: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.patchset.fork]\n{table}\n")
    with pytest.raises(PatchsetError, match=re.escape(answer)):
        fork(tmp_path / "pyproject.toml")
