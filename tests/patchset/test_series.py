"""Series files and the headers of patches, the committed ones included."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchset.errors import PatchsetError
from patchset.pins import PATCHES, load
from patchset.series import headers as _headers
from patchset.series.patch import read_patch, read_series

MAIL = """From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: A Person <a@example.org>
Date: Sun, 22 Nov 2026 12:00:00 +0000
Subject: [PATCH 1/1] Do one thing, in a subject that the mail format folds
 into two lines

Why it is done.

Origin: vendor
Bug: https://github.com/huggingface/peft/issues/3191
Forwarded: no
Last-Update: 2026-11-22
---
 tests/test_a.py | 1 +
 1 file changed, 1 insertion(+)

diff --git a/tests/test_a.py b/tests/test_a.py
new file mode 100644
--- /dev/null
+++ b/tests/test_a.py
@@ -0,0 +1 @@
+pass
"""


@pytest.fixture
def series(tmp_path: Path) -> Path:
    (tmp_path / "0001-thing.patch").write_text(MAIL)
    (tmp_path / "series").write_text("# comment\n0001-thing.patch  # why\n\n")
    return tmp_path


def test_read(series: Path) -> None:
    (patch,) = read_series(series)
    assert patch.subject == "[PATCH 1/1] Do one thing, in a subject that the mail format folds into two lines"
    assert patch.message.startswith("Why it is done.")
    assert patch.message.endswith("Last-Update: 2026-11-22")
    assert patch.slug == "thing"
    assert patch.field("Forwarded") == "no"
    assert patch.field("Applied-Upstream") is None
    assert patch.diff.startswith(b"diff --git a/tests/test_a.py")
    _headers.check([patch])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("0001-thing.patch\n0002-gone.patch\n", "names 0002-gone.patch, which is not in"),
        ("", "holds 0001-thing.patch, which its series does not name"),
        ("0001-thing.patch\n0001-thing.patch\n", "names a patch twice"),
    ],
)
def test_series_and_files_must_agree(series: Path, names: str, message: str) -> None:
    (series / "series").write_text(names)
    with pytest.raises(PatchsetError, match=message):
        read_series(series)


def test_no_series(tmp_path: Path) -> None:
    with pytest.raises(PatchsetError, match="cannot read the series"):
        read_series(tmp_path)


def test_not_a_mail(series: Path) -> None:
    (series / "0001-thing.patch").write_text(MAIL.partition("\n")[2])
    with pytest.raises(PatchsetError, match="not a patch in git's mail format"):
        read_series(series)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[PATCH 1/1]", "[PATCH 1/2]", r"must start with \[PATCH 1/1\]"),
        ("Origin: vendor\n", "", "lacks the DEP-3 fields Origin"),
        ("Forwarded: no", "Forwarded: yes", "Forwarded must be no, not-needed or an address"),
        ("Bug: https://", "Bug: #", "Bug must be an address"),
        ("2026-11-22\n---", "22.11.2026\n---", "Last-Update must be a date"),
        ("tests/test_a.py", "src/a.py", "it brings no test"),
    ],
)
def test_headers(series: Path, old: str, new: str, message: str) -> None:
    path = series / "0001-thing.patch"
    path.write_text(MAIL.replace(old, new))
    with pytest.raises(PatchsetError, match=message):
        _headers.check([read_patch(path)])


def test_place_among_ten_or_more(series: Path) -> None:
    one = (series / "0001-thing.patch").read_text()
    for number in range(1, 11):
        (series / f"{number:04}-thing.patch").write_text(one.replace("[PATCH 1/1]", f"[PATCH {number:02}/10]"))
    patches = [read_patch(path) for path in sorted(series.glob("*.patch"))]
    _headers.check(patches)


def test_name_says_the_place(series: Path) -> None:
    (series / "0001-thing.patch").rename(series / "0002-thing.patch")
    with pytest.raises(PatchsetError, match="must start with 0001-"):
        _headers.check([read_patch(series / "0002-thing.patch")])


@pytest.mark.parametrize("name", sorted({release.series for release in load()}))
def test_committed_series(name: str) -> None:
    patches = read_series(PATCHES / name)
    assert patches
    _headers.check(patches)


def test_an_idea_has_one_name_and_subject_in_all_lines() -> None:
    subjects: dict[str, set[str]] = {}
    for name in {release.series for release in load()}:
        for patch in read_series(PATCHES / name):
            subjects.setdefault(patch.slug, set()).add(patch.subject.partition("] ")[2])
    assert all(len(found) == 1 for found in subjects.values()), subjects
