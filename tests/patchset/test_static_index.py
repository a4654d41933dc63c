"""The static index: what it says, that pip and uv install from it, and the folders that it refuses."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import pytest
from simple_repository.parser import parse_html_project_page, parse_json_project_page

from patchset.dist import index as _static_index
from patchset.dist.artifacts import read, scan
from patchset.errors import PatchsetError
from patchset.pins import Release, load
from tests.patchset.tool import Run, environment

NAME = "peft-0.18.1+kwargs.1-py3-none-any.whl"


@pytest.fixture
def dist(wheel: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    folder.mkdir()
    shutil.copy(wheel, folder)
    return folder


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder behind a plain web server; gives its address."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *arguments: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def index(folder: Path) -> Path:
    (simple,) = _static_index.write(folder, scan(folder)[0])
    return simple


def change_a_byte(wheel: Path, inside: str) -> None:
    """Change one byte of a stored file, and nothing else: the zip's own checksum stays, too."""
    with ZipFile(wheel) as archive:
        entry = archive.getinfo(inside)
        data = archive.read(inside)
    content = bytearray(wheel.read_bytes())
    at = content.index(data, entry.header_offset)
    content[at + len(data) // 2] ^= 1
    wheel.write_bytes(content)


def test_html_and_json_say_the_same(dist: Path) -> None:
    simple = index(dist)
    html = parse_html_project_page((simple / "peft" / "index.html").read_text(), "peft")
    data = parse_json_project_page((simple / "peft" / "index.json").read_text())
    (file,), (same,) = html.files, data.files
    sha256 = hashlib.sha256((dist / NAME).read_bytes()).hexdigest()
    metadata = hashlib.sha256((dist / f"{NAME}.metadata").read_bytes()).hexdigest()
    assert file.filename == same.filename == NAME
    assert file.hashes == same.hashes == {"sha256": sha256}
    assert file.dist_info_metadata == same.dist_info_metadata == {"sha256": metadata}
    assert file.requires_python == same.requires_python == ">=3.10.0"
    assert same.size == (dist / NAME).stat().st_size
    assert data.versions == frozenset(["0.18.1+kwargs.1"])
    with ZipFile(dist / NAME) as archive:
        assert archive.read("peft-0.18.1+kwargs.1.dist-info/METADATA") == (dist / f"{NAME}.metadata").read_bytes()


def test_again_gives_the_same_bytes(dist: Path) -> None:
    index(dist)
    before = {path: path.read_bytes() for path in dist.rglob("*") if path.is_file()}
    index(dist)
    assert {path: path.read_bytes() for path in dist.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("client", ["pip", "uv"])
@pytest.mark.parametrize("web", [True, False], ids=["web", "folder"])
def test_clients_install_from_it(dist: Path, tmp_path: Path, client: str, web: bool) -> None:
    index(dist)
    alone = environment(PIP_CONFIG_FILE="/dev/null", PIP_FIND_LINKS=None, UV_FIND_LINKS=None, UV_NO_CONFIG="1")
    commands = {
        "pip": [sys.executable, "-m", "pip", "install", "--no-cache-dir"],
        "uv": ["uv", "pip", "install", "--no-cache", "--python", sys.executable],
    }
    with served(dist) as address:
        url = f"{address}/simple/" if web else (dist / "simple").as_uri()
        target = ["--no-deps", "--target", str(tmp_path / "site"), "--index-url", url, "peft==0.18.1"]
        result = subprocess.run(
            [*commands[client], *target], env=alone, capture_output=True, text=True, check=False, timeout=300
        )
    assert result.returncode == 0, result.stdout + result.stderr
    assert '__version__ = "0.18.1+kwargs.1"' in (tmp_path / "site" / "peft" / "__init__.py").read_text()


def test_the_verb_leaves_foreign_files_out_and_says_so(tool: Run, checkout: Path, dist: Path) -> None:
    for name in ("torch-2.13.0-cp311-cp311-linux_x86_64.whl", "peft-0.18.1-py3-none-any.whl", "todo.txt"):
        (dist / name).write_bytes(b"foreign")
    result = tool(checkout, "index", str(dist), "--json")
    assert result.returncode == 0, result.stderr
    assert [file["file"] for file in json.loads(result.stdout)["files"]] == [NAME]
    assert "left out: peft-0.18.1-py3-none-any.whl is no patched peft" in result.stderr
    assert len(result.stderr.splitlines()) == 3
    assert "torch" not in (dist / "simple" / "peft" / "index.html").read_text()


@pytest.mark.parametrize("inside", ["peft/utils/other.py", "peft-0.18.1+kwargs.1.dist-info/sboms/peft.cdx.json"])
def test_a_changed_byte(tool: Run, checkout: Path, dist: Path, inside: str) -> None:
    change_a_byte(dist / NAME, inside)
    result = tool(checkout, "index", str(dist))
    assert result.returncode == 1
    assert f"{NAME} is half-written or was changed" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in dist.iterdir()] == [NAME]


def test_a_changed_file_with_right_checksums(dist: Path) -> None:
    """Rewritten with another compression, RECORD and all: whole, but not what the pins lock."""
    (file,), _ = scan(dist)
    releases = [Release(**{**vars(pin), "wheel": file.sha256}) for pin in load() if pin.version == "0.18.1"]
    _static_index.compare([file], releases)
    with ZipFile(dist / NAME) as old, ZipFile(dist / "new", "w") as new:
        for entry in old.infolist():
            entry.date_time = (2000, 1, 1, 0, 0, 0)
            new.writestr(entry, old.read(entry))
    (dist / "new").replace(dist / NAME)
    with pytest.raises(PatchsetError, match="is not the released wheel"):
        _static_index.compare([read(dist / NAME)], releases)


@pytest.mark.parametrize("size", [0, 100, 200_000])
def test_half_written(dist: Path, size: int) -> None:
    (dist / NAME).write_bytes((dist / NAME).read_bytes()[:size])
    with pytest.raises(PatchsetError, match="is half-written or was changed"):
        scan(dist)


def test_a_file_that_record_names_is_missing(dist: Path) -> None:
    with ZipFile(dist / NAME) as old, ZipFile(dist / "new", "w") as new:
        for entry in old.infolist():
            if entry.filename != "peft/helpers.py":
                new.writestr(entry, old.read(entry))
    (dist / "new").replace(dist / NAME)
    with pytest.raises(PatchsetError, match="RECORD names peft/helpers.py, which is missing"):
        scan(dist)


def test_renamed(dist: Path) -> None:
    (dist / NAME).rename(dist / NAME.replace("0.18.1", "0.19.1"))
    with pytest.raises(PatchsetError, match="was changed|was renamed"):
        scan(dist)


def test_a_copy_with_a_build_tag(dist: Path) -> None:
    shutil.copy(dist / NAME, dist / NAME.replace("-py3", "-1-py3"))
    with pytest.raises(PatchsetError, match="was renamed: it has no build tag inside"):
        scan(dist)


def test_a_published_wheel_stays_the_same(dist: Path) -> None:
    index(dist)
    page = dist / "simple" / "peft" / "index.json"
    before = json.loads(page.read_text())["files"][0]["hashes"]["sha256"]
    page.write_text(page.read_text().replace(before, "0" * 64))
    with pytest.raises(PatchsetError, match=rf"is in the index already, with sha256 {'0' * 64}, and now has {before}"):
        index(dist)


def test_nothing_to_list(tool: Run, checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert (
        "holds no patched wheel; `python -m patchset build" in tool(checkout, "index", str(tmp_path / "empty")).stderr
    )
    assert "there is no folder" in tool(checkout, "index", str(tmp_path / "none")).stderr
