"""Files and folders appear whole or not at all, and what killed processes left goes away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from patchset.files import PARTIAL, locked, replace, staged
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
