"""``release``: the folder to publish."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from patchset.dist.artifacts import scan
from patchset.errors import PatchsetError
from patchset.verbs.release import release_notes
from tests.patchset.tool import Run


def test_notes_are_the_first_sections() -> None:
    text = "# Changelog\n\nWhat changed.\n\n## 2026-11-23\n\n### Fixed\n\n- a\n\n## 2026-11-22\n\n- b\n"
    assert release_notes(text) == "### Fixed\n\n- a\n"
    with pytest.raises(PatchsetError, match="name it, or add --draft"):
        release_notes(text.replace("2026-11-23", "Unreleased"))
    assert release_notes(text.replace("2026-11-23", "Unreleased"), draft=True) == "### Fixed\n\n- a\n"
    with pytest.raises(PatchsetError, match="has no section"):
        release_notes("# Changelog\n")


def only(checkout: Path, version: str) -> None:
    """Leave one release in the pins, so that a test does not build fourteen."""
    pins = checkout / "vendor" / "releases.toml"
    head, *entries = pins.read_text().split("[[release]]")
    pins.write_text("[[release]]".join([head, *(entry for entry in entries if f'version = "{version}"' in entry)]))


def test_a_release(tool: Run, checkout: Path) -> None:
    only(checkout, "0.21.2")
    changelog = checkout / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("## Unreleased", "## 2026-11-23"))
    assert tool(checkout, "verify", "--update").returncode == 0
    # as the README says before, to pin a wheel; the folder of that is not in the way
    assert tool(checkout, "build", "-o", "dist").returncode == 0
    assert tool(checkout, "index", "dist").returncode == 0
    result = tool(checkout, "release", "--json")
    assert result.returncode == 0, result.stderr
    assert "pyproject.toml names no address for faults" in result.stderr
    out = checkout / "release"
    wheels = ["peft-0.21.2-1kwargs1-py3-none-any.whl", "peft-0.21.2+kwargs.1-py3-none-any.whl"]
    names = [*wheels, "peft-0.21.2+kwargs.1.tar.gz"]
    assert [file["file"] for file in json.loads(result.stdout)] == names
    rest = {*(f"{name}.metadata" for name in wheels), "simple", "tagged", "SHA256SUMS", "NOTES.md"}
    rest |= {"provenance.json", "vex.cdx.json"}
    assert {path.name for path in out.iterdir()} == {*names, *rest}
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"], cwd=out, check=True)
    assert len((out / "SHA256SUMS").read_text().splitlines()) == len(names) + 2
    provenance = json.loads((out / "provenance.json").read_text())
    assert {entry["name"]: entry["digest"]["sha256"] for entry in provenance["subject"]} == {
        file.path.name: file.sha256 for file in scan(out)[0]
    }
    again = tool(checkout, "rebuild", *map(str, out.glob("*.whl")), "--json")
    assert [result["same"] for result in json.loads(again.stdout)] == [True, True], again.stderr
    notes = (out / "NOTES.md").read_text()
    assert all(f"| `{file.path.name}` | `{file.sha256}` |" in notes for file in scan(out)[0] if file.is_wheel)
    again = tool(checkout, "release")
    assert again.returncode == 1
    assert "release is not empty; a release goes to a folder of its own" in again.stderr


def test_what_is_not_ready_is_refused(tool: Run, checkout: Path) -> None:
    changelog = checkout / "CHANGELOG.md"
    text = changelog.read_text()
    changelog.write_text(text.replace("## 2", "## Unreleased\n\n## 2", 1) if "## Unreleased" not in text else text)
    assert "first section is Unreleased" in tool(checkout, "release", "-o", "out").stderr
    changelog.write_text(changelog.read_text().replace("## Unreleased", "## 2026-11-23", 1))
    pins = checkout / "vendor" / "releases.toml"
    pins.write_text("\n".join(line for line in pins.read_text().splitlines() if not line.startswith("wheel = ")))
    result = tool(checkout, "release", "-o", "out")
    assert "no wheel digest is locked for 0.15.0, " in result.stderr
    assert not (checkout / "out").exists()
