"""The README's table of patches says what the pins and the patches say."""

from __future__ import annotations

import re
from pathlib import Path

from patchset import _status
from patchset._pins import ROOT, load
from patchset._series import read_series
from tests.patchset.conftest import Run

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_table_of_patches() -> None:
    expected: dict[str, list[str]] = {}
    for release in load():
        for patch in read_series(release.series_dir):
            row = expected.setdefault(patch.slug, [release.version, "", _status._upstream(patch)])
            row[1] = release.version
    rows = re.findall(r"^\| `([\w-]+)` \| (\S+) to (\S+) \|.*\| ([^|]+) \|$", README, flags=re.MULTILINE)
    assert {slug: row for slug, *row in rows} == expected


def test_list_of_releases() -> None:
    versions = [release.version for release in load()]
    assert f"{', '.join(versions[:-1])} and {versions[-1]}" in README


def test_audit(tool: Run, tmp_path: Path) -> None:
    section = README.partition("\n## Audit\n")[2].partition("\n## ")[0]
    code, printed = re.findall(r"^```(?:python)?\n(.+?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "modeling_mine.py").write_text(code)
    result = tool(ROOT, "audit", str(tmp_path / "modeling_mine.py"))
    assert result.returncode == 1
    assert [line.rstrip() for line in result.stdout.splitlines()] == printed.splitlines()
