"""Unpacking: archives that an attacker or a careless packer could make."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from patchset.errors import PatchsetError
from patchset.sources.unpack import unpack


def archive(*members: tarfile.TarInfo) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for member in members:
            member.size = 2 if member.isfile() else 0
            tar.addfile(member, io.BytesIO(b"x\n") if member.isfile() else None)
    return data.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = kind, link, mode
    return entry


@pytest.mark.parametrize(
    "bad",
    [
        member("../outside"),
        member("/outside"),
        member("p/../../outside"),
        member("other/file"),
        member("p/link", tarfile.SYMTYPE, "../../outside"),
        member("p/link", tarfile.SYMTYPE, "file"),
        member("p/link", tarfile.LNKTYPE, "p/file"),
        member("p/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda bad: f"{bad.name} {bad.linkname}".strip(),
)
def test_refused(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(PatchsetError, match=r"^(cannot unpack )?p: "):
        unpack(archive(member("p/file"), bad), inner, "p")
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]


@pytest.mark.parametrize(
    "data", [b"", b"no archive", archive(member("p/file"))[:60]], ids=["empty", "text", "cut short"]
)
def test_not_an_archive(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(PatchsetError, match="cannot unpack p"):
        unpack(data, tmp_path, "p")


@pytest.mark.parametrize(
    "name",
    [
        "p/.git/config",
        "p/.GIT/hooks/post-checkout",
        "p/src/.Git",
        "p/.git.. /config",
        "p/.git::$INDEX_ALLOCATION/config",
        "p/GIT~1/config",
        "p/.g\u200cit/config",
        "p/a\\.git\\config",
    ],
)
def test_what_git_would_take_for_a_repository(tmp_path: Path, name: str) -> None:
    """Under any spelling that some file system takes for ``.git``: a configuration there runs commands."""
    with pytest.raises(PatchsetError, match="git would take it for a repository's"):
        unpack(archive(member("p/file"), member(name)), tmp_path, "p")


def test_a_bare_repository(tmp_path: Path) -> None:
    """git looks for one in the folder that it is called in, and runs what its configuration says."""
    parts = (member("p/a/HEAD"), member("p/a/config"), member("p/a/objects/x"), member("p/a/refs", tarfile.DIRTYPE))
    with pytest.raises(PatchsetError, match="p: a is a git repository"):
        unpack(archive(member("p/file"), *parts), tmp_path, "p")
    (tmp_path / "other").mkdir()
    assert unpack(archive(*parts[:3]), tmp_path / "other", "p")


@pytest.mark.parametrize(
    "name", [".gitattributes", ".gitignore", ".gitmodules", ".github/x", "git/config", "src/.git1"]
)
def test_what_git_would_not(tmp_path: Path, name: str) -> None:
    assert (unpack(archive(member(f"p/{name}")), tmp_path, "p") / name).is_file()


def test_more_than_an_sdist_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small archive can unpack to any size."""
    monkeypatch.setattr("patchset.sources.unpack._LARGEST", 3)
    assert unpack(archive(member("p/file")), tmp_path, "p")
    with pytest.raises(PatchsetError, match="p: unpacks to more than"):
        unpack(archive(member("p/file"), member("p/other")), tmp_path, "p")


def test_modes_do_not_depend_on_the_packer_or_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        tree = unpack(archive(member("p", tarfile.DIRTYPE, mode=0o700), member("p/file", mode=0o6777)), tmp_path, "p")
    finally:
        os.umask(before)
    assert tree.stat().st_mode & 0o7777 == 0o755
    assert (tree / "file").stat().st_mode & 0o7777 == 0o644


def test_without_the_filters_of_pep_706(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian 12's Python 3.11.2 has none."""
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    tree = unpack(archive(member("p/inner/file")), tmp_path, "p")
    assert (tree / "inner" / "file").read_bytes() == b"x\n"
    with pytest.raises(PatchsetError, match="lies outside"):
        unpack(archive(member("p/../outside")), tmp_path, "p")
