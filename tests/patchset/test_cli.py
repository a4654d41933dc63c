"""The command line: help, exit status, one-line errors, and the verbs on the real patches."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from patchset import __main__
from patchset.pins import Release, find, load
from patchset.sources.sdists import Sdists
from tests.patchset.tool import Run, environment, files


@pytest.mark.parametrize("verb", list(__main__.VERBS))
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        __main__.main([verb, "--help"])
    assert caught.value.code == 0
    assert f"example: python -m patchset {verb}" in capsys.readouterr().out


def test_wrong_command_line(tool: Run, checkout: Path) -> None:
    assert tool(checkout, "frobnicate").returncode == 2
    assert tool(checkout).returncode == 2


def test_errors_take_one_line(tool: Run, checkout: Path) -> None:
    result = tool(checkout, "build", "0.18.7")
    assert result.returncode == 1
    assert result.stderr.startswith("error: release '0.18.7' is not pinned. Did you mean 0.18.1?")
    assert len(result.stderr.splitlines()) == 1


def test_status(tool: Run, checkout: Path) -> None:
    text = tool(checkout, "status").stdout
    assert "\x1b" not in text, "no colour in a pipe"
    rows = {row["release"]: row for row in json.loads(tool(checkout, "status", "--json").stdout)}
    assert len(rows) == 14
    assert all(row["wheel_version"] in text for row in rows.values())
    assert {"name": "forward-kwargs", "upstream": "fixed in 0.20.0"} in rows["0.19.1"]["patches"]
    assert {"name": "forward-kwargs", "upstream": "retired, in 0.20.0"} in rows["0.20.0"]["retired"]


def test_build_two_and_say_their_hashes(tool: Run, checkout: Path) -> None:
    result = tool(checkout, "build", "0.18.1", "0.21.2", "-o", "out", "--json")
    assert result.returncode == 0, result.stderr
    wheels = json.loads(result.stdout)
    names = [Path(wheel["path"]).name for wheel in wheels]
    assert names == ["peft-0.18.1+kwargs.1-py3-none-any.whl", "peft-0.21.2+kwargs.1-py3-none-any.whl"]
    assert sorted(path.name for path in (checkout / "out").iterdir()) == sorted(names)


def test_failed_build_says_why_and_leaves_nothing(tool: Run, checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "peft-0.18.1.tar.gz").write_bytes(b"not it")
    before = files(checkout)
    result = tool(checkout, "build", "0.18.1", "--sdist", str(tmp_path))
    assert result.returncode == 1
    assert "is not the pinned peft-0.18.1.tar.gz" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert files(checkout) == before


# Nothing of the user's: neither settings nor what uv has kept; closed at once.
DEAD = {
    **dict.fromkeys(("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX")),
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_INDEX_URL": "http://127.0.0.1:9/closed",
    "PIP_RETRIES": "0",
    "UV_DEFAULT_INDEX": "http://127.0.0.1:9/closed",
    "UV_HTTP_RETRIES": "0",
    "UV_NO_CACHE": "1",
}


def test_unreachable_index(tool: Run, checkout: Path, tmp_path: Path) -> None:
    result = tool(checkout, "verify", "0.18.1", **{**DEAD, "PATCHSET_CACHE": str(tmp_path / "cache")})
    assert result.returncode == 1
    assert "http://127.0.0.1:9/closed" in result.stdout
    assert not (tmp_path / "cache").exists()


def test_build_without_a_network_gives_the_installers_reason(tool: Run, checkout: Path, tmp_path: Path) -> None:
    before = files(checkout)
    result = tool(checkout, "build", "0.18.1", "-o", "out", **{**DEAD, "PATCHSET_CACHE": str(tmp_path / "cache")})
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: cannot make the build environment: ")
    assert re.search(r"[Cc]onnect|No matching distribution|Could not find a version", line)
    assert files(checkout) == before


def test_build_on_a_full_disk(checkout: Path, tmp_path: Path) -> None:
    """A file-size limit stands in for a full disk, as for the backend."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "from patchset.__main__ import main; sys.exit(main(['build', '0.18.1', '-o', 'out']))"
    )
    command = [sys.executable, "-c", code]
    nowhere = environment(PATCHSET_CACHE=str(tmp_path / "cache"))
    result = subprocess.run(command, cwd=checkout, env=nowhere, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: cannot make the build environment: ")
    assert not (checkout / "out").exists()
    assert not list((tmp_path / "cache").iterdir())


def test_verify_passes_with_every_tool_that_is_here(tool: Run, checkout: Path) -> None:
    result = tool(checkout, "verify", "0.18.1", "0.15.0", "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    for report in json.loads(result.stdout):
        assert report["failed"] == []
        assert {"pin", "headers", "zero fuzz", "locked digest", "git am"} <= set(report["passed"])
        missing = {name for name in ("patch", "quilt") if not shutil.which(name)}
        assert {entry.partition(":")[0] for entry in report["skipped"]} == missing


def test_verify_inside_of_a_git_hook(tool: Run, checkout: Path, tmp_path: Path) -> None:
    """git sets GIT_DIR there; what other tools do in trees of their own must not reach that repository."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "mine")], check=True)
    git_dir = tmp_path / "mine" / ".git"
    before = files(git_dir)
    inside = {"GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(tmp_path / "mine"), "QUILT_PATCHES": "nowhere"}
    result = tool(checkout, "verify", "0.18.1", "--json", **inside)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "git am" in json.loads(result.stdout)[0]["passed"]
    assert files(git_dir) == before


def test_verify_takes_all_sdists_from_the_folder(tool: Run, checkout: Path, tmp_path: Path) -> None:
    """Those of the releases that have the fixes, too; without them, that check alone is left out."""
    offline = {
        "PATCHSET_CACHE": str(tmp_path / "cache"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": None,
        "UV_FIND_LINKS": None,
    }
    folder = tmp_path / "sdists"
    folder.mkdir()
    for release in load():
        (folder / release.sdist).write_bytes(Sdists().obtain(release))
    result = tool(checkout, "verify", "0.18.1", "--sdist", str(folder), "--json", **offline)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "applied upstream" in json.loads(result.stdout)[0]["passed"]
    alone = folder / "peft-0.18.1.tar.gz"
    result = tool(checkout, "verify", "0.18.1", "--sdist", str(alone), "--json", **offline)
    assert result.returncode == 0, result.stdout + result.stderr
    (skipped, *_) = json.loads(result.stdout)[0]["skipped"]
    assert skipped.startswith("applied upstream: cannot get peft-0.20.0.tar.gz"), skipped
    wrong = tool(checkout, "verify", "0.19.1", "--sdist", str(alone), **offline)
    assert wrong.returncode == 1
    assert "is not the pinned peft-0.19.1.tar.gz" in wrong.stdout


def test_narrow_terminal_without_colours(tool: Run, checkout: Path) -> None:
    """Tables wrap at 40 columns, and nothing is cut; NO_COLOR means no bold either."""
    terminal = {"FORCE_COLOR": "1", "COLUMNS": "40", "TERM": "xterm"}
    narrow = tool(checkout, "status", NO_COLOR="1", **terminal).stdout
    assert "…" not in narrow
    assert "\x1b" not in narrow
    assert max(map(len, narrow.splitlines())) <= 40
    assert "\x1b[1m" in tool(checkout, "status", NO_COLOR=None, **terminal).stdout, "a table's head is bold"


def test_verify_finds_moved_hunks_on_the_newest_of_a_series(tool: Run, checkout: Path, release: Release) -> None:
    patch = next((checkout / "patches" / release.series).glob("0001-*.patch"))
    before, _, after = patch.read_text().partition("\n@@ -")
    number, _, rest = after.partition(",")
    patch.write_text(f"{before}\n@@ -{int(number) - 3},{rest}")
    result = tool(checkout, "verify", "0.18.1")
    assert result.returncode == 1
    assert "refresh the patch" in result.stdout
    assert tool(checkout, "verify", "0.18.0").returncode == 0, "on older ones offsets are allowed"


def test_update_locks_the_digests(tool: Run, checkout: Path, release: Release) -> None:
    pins = checkout / "vendor" / "releases.toml"
    text = pins.read_text()
    pins.write_text(text.replace(release.tree, "0" * 64))
    assert tool(checkout, "verify", "0.18.1").returncode == 1
    assert tool(checkout, "verify", "0.18.1", "--update").returncode == 0
    found = pins.read_text()
    wheel = find("0.18.1", load(pins)).wheel
    assert len(wheel) == 64
    assert _without_wheels(found) == _without_wheels(text), "comments and order stay"
    built = json.loads(tool(checkout, "build", "0.18.1", "-o", "out", "--json").stdout)
    assert built[0]["sha256"] == wheel
    pins.write_text(found.replace(wheel, "0" * 64))
    assert tool(checkout, "build", "0.18.1", "-o", "out").returncode == 0, "only verify compares"
    changed = tool(checkout, "verify", "0.18.1", "--reproducible")
    assert changed.returncode == 1
    assert f"peft-0.18.1+kwargs.1-py3-none-any.whl has sha256 {wheel}, locked is {'0' * 64}" in changed.stdout


def _without_wheels(pins: str) -> list[str]:
    return [line for line in pins.splitlines() if not line.startswith(("wheel = ", "tagged_wheel = "))]
