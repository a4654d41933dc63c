"""What the README and docs/ tell is what the pins, the patches, the results and the tool say."""

from __future__ import annotations

import re
from pathlib import Path

from patchset.pins import ROOT, load
from patchset.series.patch import read_series
from patchset.verbs import status
from tests.patchset.tool import Run

STALE = "The patches have changed since"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def test_the_fix_is_on_the_first_screen() -> None:
    """The error as it is met, the releases that have it, and the command for one that stacks pin."""
    screen = "\n".join(README.splitlines()[:40])
    assert "TypeError: AuxiliaryTrainingWrapper.forward() missing 1 required positional argument: 'x'\n" in screen
    affected = [release for release in load() if "forward-kwargs" in {p.slug for p in read_series(release.series_dir)}]
    assert f"PEFT {affected[0].version} to {affected[-1].version}" in screen
    assert '\npip install "peft @ git+ADDRESS" -C upstream=0.18.1\n' in screen
    for word in ("Gemma 4", "vision_tower", "modules_to_save", "peft==0.18.1"):
        assert word in screen


def test_the_promised_commands() -> None:
    assert re.search(r"^pip install \.(  +#.*)?$", README, flags=re.MULTILINE)
    assert re.search(r"^pip install tox-uv && tox$", README, flags=re.MULTILINE)


def test_links_lead_somewhere() -> None:
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
    assert set(re.findall(r"\]\((docs/[^)#]+)\)", README)) == {
        f"docs/{path.name}" for path in (ROOT / "docs").iterdir()
    }


def test_table_of_patches() -> None:
    expected: dict[str, list[str]] = {}
    for release in load():
        for patch in read_series(release.series_dir):
            row = expected.setdefault(patch.slug, [release.version, "", status._upstream(patch)])
            row[1] = release.version
    rows = re.findall(r"^\| `([\w-]+)` \| (\S+) to (\S+) \|.*\| ([^|]+) \|$", page("patches"), flags=re.MULTILINE)
    assert {slug: row for slug, *row in rows} == expected


def test_list_of_releases() -> None:
    versions = [release.version for release in load()]
    assert f"{', '.join(versions[:-1])} and {versions[-1]}" in README


def test_audit(tool: Run, tmp_path: Path) -> None:
    code, printed, _ = re.findall(r"^```(?:python|text)\n(.+?)^```$", page("auditing"), flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "modeling_mine.py").write_text(code)
    result = tool(ROOT, "audit", str(tmp_path / "modeling_mine.py"))
    assert result.returncode == 1
    assert [line.rstrip() for line in result.stdout.splitlines()] == printed.splitlines()
