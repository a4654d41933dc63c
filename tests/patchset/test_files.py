"""Files and folders appear whole or not at all, and what killed processes left goes away."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from patchset.commits.git import git
from patchset.files import PARTIAL, locked, put, replace, restore, staged
from patchset.pins import ROOT


def test_replace(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    replace(target, "ä\n")
    assert target.read_bytes() == "ä\n".encode()
    replace(target, b"b")
    assert [path.name for path in target.parent.iterdir()] == ["file"]
    assert target.read_bytes() == b"b"


def test_nothing_is_left_of_what_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), staged(tmp_path) as scratch:
        (scratch / "half").touch()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_goes_away_and_others_work_stays(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, patchset.files as files\n"
        "with files.staged(pathlib.Path(sys.argv[1])) as scratch:\n"
        "    (scratch / 'half').touch()\n"
        "    print(scratch.name, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        name = process.stdout.readline().strip()
        with staged(tmp_path):
            assert (tmp_path / name / "half").exists(), "it is still at work"
        process.kill()
    assert (tmp_path / name / "half").exists()
    with staged(tmp_path):
        assert not (tmp_path / name).exists()


def test_lock(tmp_path: Path) -> None:
    (tmp_path / f"{PARTIAL}x").mkdir()
    with locked(tmp_path), pytest.raises(BlockingIOError), locked(tmp_path, wait=False):
        pass
    with locked(tmp_path, wait=False):
        pass


def test_put_replaces_a_folder(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "old").touch()
    with staged(tmp_path) as scratch:
        (scratch / "fresh").mkdir()
        (scratch / "fresh" / "new").touch()
        put(scratch / "fresh", tmp_path / "series")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["series", "series/new"]


@pytest.mark.parametrize("again", [restore, lambda folder: staged(folder).__enter__()], ids=["restore", "staged"])
def test_a_folder_comes_back_if_the_process_died_before_the_new_one_was_there(
    tmp_path: Path, again: Callable[[Path], object]
) -> None:
    """Killed between the two renames that it takes to put a folder in another's place."""
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "old").touch()
    code = (
        "import os, sys, pathlib, patchset.files as files\n"
        "parent = pathlib.Path(sys.argv[1])\n"
        "with files.staged(parent) as scratch:\n"
        "    (scratch / 'fresh').mkdir()\n"
        "    rename = pathlib.Path.rename\n"
        "    def dying(path, target):\n"
        "        if path.name == 'fresh':\n"
        "            os.kill(os.getpid(), 9)\n"
        "        return rename(path, target)\n"
        "    pathlib.Path.rename = dying\n"
        "    files.put(scratch / 'fresh', parent / 'series')\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=False).returncode == -9
    assert not (tmp_path / "series").exists()
    again(tmp_path)
    assert (tmp_path / "series" / "old").exists()


def test_a_scratch_folder_that_is_cleared_before_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may take it for a dead one's in that moment."""
    made = []

    def mkdtemp(**arguments: Any) -> Any:
        made.append(tempfile_mkdtemp(**arguments))
        if len(made) == 1:
            Path(made[0]).rmdir()
        return made[-1]

    tempfile_mkdtemp = tempfile.mkdtemp
    monkeypatch.setattr("tempfile.mkdtemp", mkdtemp)
    with staged(tmp_path) as scratch:
        assert scratch.exists()
    assert len(made) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no locks there")
def test_a_git_that_outlives_its_process_holds_the_lock(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    code = (
        "import os, sys, threading, pathlib, patchset.files as files\n"
        "from patchset.commits.git import git\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "with files.locked(folder):\n"
        "    threading.Timer(0.5, os.kill, (os.getpid(), 9)).start()\n"
        "    git(folder, '-c', 'alias.wait=!sleep 2; touch done', 'wait')\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=False).returncode == -9
    assert not (tmp_path / "done").exists()
    with locked(tmp_path):
        assert (tmp_path / "done").exists()
