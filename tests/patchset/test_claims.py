"""verify holds what patch files say against what they do and against upstream."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
import tomlkit

from patchset.checks.patch_tests import interpreter, new_tests, run_tests
from patchset.checks.upstream_pytest import one_pytest_table, run
from patchset.errors import PatchsetError
from patchset.pins import PATCHES
from patchset.series.apply import added_lines
from patchset.series.patch import read_patch
from tests.patchset.tool import Run

FORWARD = "0001-forward-kwargs.patch"
APPLIED = "Applied-Upstream: 0.20.0, https"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (APPLIED, "Applied-Upstream: soon, https", "must start with a release"),
        (APPLIED, "Applied-Upstream: 0.20.0 https", "must start with a release"),
        ("Forwarded: not-needed", "Forwarded: no", "say not-needed"),
        (" tests/test_other.py     |", " tests/test_othre.py     |", "diffstat does not say what it changes"),
        (" tests/test_other.py     | 126", " tests/test_other.py     | 125", "diffstat does not say what it changes"),
        (r"143 insertions", "144 insertions", "does not sum up to +143 and -15"),
        (APPLIED, "Applied-Upstream: 0.22.0, https", "no such release is pinned"),
        (APPLIED, "Applied-Upstream: 0.18.0, https", "retire it from 0.18"),
        (APPLIED, "Applied-Upstream: 0.19.0, https", "but 0.19 carries it"),
    ],
)
def test_claims_that_are_not_true(tool: Run, checkout: Path, old: str, new: str, message: str) -> None:
    patch = checkout / "patches" / "0.18" / FORWARD
    text = patch.read_text()
    assert old in text
    patch.write_text(text.replace(old, new, 1))
    result = tool(checkout, "verify", "0.18.1")
    assert result.returncode == 1
    assert message in result.stdout
    assert FORWARD in result.stdout


def test_a_fix_that_is_not_there(tool: Run, checkout: Path) -> None:
    """A patch that upstream is said to have, but whose code is as it was."""
    for path in checkout.glob("patches/0.21/*-trainable-tokens.patch"):
        path.rename(path.with_name(path.name.replace("trainable-tokens", "other-name")))
        series = path.parent / "series"
        series.write_text(series.read_text().replace("trainable-tokens", "other-name"))
    patch = checkout / "patches" / "0.20" / "0001-trainable-tokens.patch"
    claim = "Forwarded: not-needed\nApplied-Upstream: 0.21.2, https://example.org/1"
    patch.write_text(patch.read_text().replace("Forwarded: no", claim))
    result = tool(checkout, "verify", "0.20.0")
    assert "says that 0.21.2 has the fix, but still applies there" in result.stdout


@pytest.mark.skipif(not shutil.which("uv"), reason="uv is not installed")
def test_style(tool: Run, checkout: Path) -> None:
    """Upstream's own ruff runs; a line that it would break is found."""
    result = tool(checkout, "verify", "0.21.2", "--style")
    assert ", style" in result.stdout, result.stdout + result.stderr
    patch = checkout / "patches" / "0.21" / "0001-trainable-tokens.patch"
    text = patch.read_text()
    line = "+            return True\n"
    assert text.count(line) == 1
    patch.write_text(text.replace(line, line.replace("\n", "  \n")))
    result = tool(checkout, "verify", "0.21.2", "--style")
    assert "style: ruff==0.16.4 check: trailing-whitespace" in result.stdout


def test_tests_of_a_patch(tmp_path: Path) -> None:
    """A new class counts as one, a new test of a class that was there as itself, imports not at all."""
    patch = read_patch(PATCHES / "0.18" / FORWARD)
    target = tmp_path / "tests" / "test_other.py"
    target.parent.mkdir()
    added = added_lines(patch)["tests/test_other.py"]
    imports = ["import x"] * (min(added) - 1)
    shared = ["class TestNew:", "    shared = 1", "    def test_one(self):"]
    target.write_text("\n".join([*imports, *shared, *["        x"] * len(added)]))
    assert new_tests(patch, tmp_path) == ["tests/test_other.py::TestNew"]
    methods = ["    def test_two(self):", *["        x"] * len(added)]
    target.write_text(
        "\n".join(["class TestOld:", "    shared = 1", *imports[2:], *methods]).replace("import", "   #")
    )
    assert new_tests(patch, tmp_path) == ["tests/test_other.py::TestOld::test_two"]
    # the added empty line after it is not what the class's tests share
    after = ["", "    def test_three(self):", "        x"]
    inside = ["    def test_two(self):", *["        x"] * (len(added) - 2)]
    target.write_text("\n".join(["class TestOld:", *["    # x"] * (min(added) - 2), *inside, *after]))
    assert new_tests(patch, tmp_path) == ["tests/test_other.py::TestOld::test_two"]


def test_interpreter(tmp_path: Path) -> None:
    python = tmp_path / "0.18.1" / "python"
    python.parent.mkdir()
    python.touch()
    assert interpreter("0.18.1", f"{tmp_path}/{{release}}/python") == python
    with pytest.raises(PatchsetError, match=re.escape(f"no such interpreter: {tmp_path}/python")):
        interpreter("0.18.1", f"{tmp_path}/python")


def test_pytest_reads_the_table_of_its_time(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    both = '[tool.pytest]\ndoctest_optionflags = ["ELLIPSIS"]\n\n[tool.pytest.ini_options]\naddopts = "--cov"\n'
    file.write_text(both)
    one_pytest_table(file)
    assert tomlkit.parse(file.read_text()).unwrap() == {"tool": {"pytest": {"ini_options": {"addopts": "--cov"}}}}
    only = both.partition("\n\n")[0]
    file.write_text(only)
    one_pytest_table(file)
    assert file.read_text() == only


def test_upstreams_tests_run_where_its_settings_have_both_tables(tmp_path: Path) -> None:
    """As up to 0.17.1; the tree is left as it was."""
    settings = '[tool.pytest]\nxfail_strict = true\n\n[tool.pytest.ini_options]\naddopts = "--cov"\n'
    (tmp_path / "pyproject.toml").write_text(settings)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_one.py").write_text("def test_one():\n    pass\n")
    outcome = run_tests(Path(sys.executable), tmp_path, ["tests/test_one.py::test_one"])
    assert outcome.summary == "1 passed, 0 failed, 0 skipped"
    assert (tmp_path / "pyproject.toml").read_text() == settings


def test_upstreams_tests_have_one_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline and on one thread, with what they import in front; a user's own settings of the hub and pytest do not count."""
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "shared.py").touch()
    (tmp_path / "tests" / "test_one.py").write_text(
        "import os\n"
        "from . import shared\n"
        "def test_one():\n"
        "    names = ('HF_HOME', 'HF_HUB_OFFLINE', 'HF_TOKEN', 'OMP_NUM_THREADS', 'PYTHONPATH')\n"
        "    assert [os.environ.get(name) for name in names] == ['hub', '1', None, '1', 'one']\n"
    )
    done = run(Path(sys.executable), tmp_path, [Path("one")], "tests", hub=Path("hub"))
    assert done.returncode == 0, done.stdout
    assert sorted(path.name for path in (tmp_path / "tests").iterdir()) == ["shared.py", "test_one.py"]
