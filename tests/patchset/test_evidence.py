"""Each page's figures have a file and a command, and the page says whether the patches have changed since."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchset.pins import ROOT
from tests.evidence import __main__ as program
from tests.patchset.test_readme import STALE, page


def test_all_results_belong_to_a_page() -> None:
    folders = [ROOT / "tests" / "evidence" / "results", ROOT / "tests" / "distributed" / "results"]
    folders.append(ROOT / "benchmarks" / "results")
    there = {path for folder in folders for path in folder.rglob("*") if path.suffix in (".json", ".md")}
    assert there == {path for source in program.SOURCES for path in ROOT.glob(source.files)}
    for source in program.SOURCES:
        assert (ROOT / "docs" / f"{source.page}.md").is_file()


def test_pages_say_what_is_older_than_the_patches() -> None:
    try:
        found = list(program.results())
    except RuntimeError as error:
        pytest.skip(str(error))
    for name in {source.page for source in program.SOURCES}:
        older = [result.file for result in found if result.source.page == name and result.older]
        assert (STALE in page(name)) == bool(older), f"docs/{name}.md, with {older}"


PINS = """[[release]]
version = "0.18.1"
tree = "{}"
"""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository with the pins of one release, and a place for its results."""
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "releases.toml").write_text(PINS.format("1"))
    monkeypatch.setattr(program, "ROOT", tmp_path)
    monkeypatch.setattr(program, "RELEASES", tmp_path / "vendor" / "releases.toml")
    monkeypatch.setattr(program, "SOURCES", (program.Source("zoo", "*.json", "zoo"),))
    monkeypatch.setattr(
        program, "load", lambda: [Pin(program.trees((tmp_path / "vendor" / "releases.toml").read_text())["0.18.1"])]
    )
    git(tmp_path, "init", "--quiet")
    yield tmp_path


class Pin:
    """What is asked of a release."""

    version = "0.18.1"

    def __init__(self, tree: str) -> None:
        self.tree = tree


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a")


def test_what_is_older(clone: Path) -> None:
    (clone / "patched.json").write_text('{"peft": "0.18.1+kwargs.1"}')
    (clone / "tagged.json").write_text('{"wheel": "0.18.1-1kwargs1"}')
    (clone / "stock.json").write_text('{"peft": "0.18.1"}')
    commit(clone)
    assert [result.older for result in program.results()] == [(), (), ()]
    (clone / "vendor" / "releases.toml").write_text(PINS.format("2"))
    (clone / "patched.json").rename(clone / "moved.json")
    commit(clone)
    assert {result.file: result.older for result in program.results()} == {
        "moved.json": ("0.18.1",),
        "stock.json": (),
        "tagged.json": ("0.18.1",),
    }
    (clone / "moved.json").write_text('{"peft": "0.18.1+kwargs.1", "again": 1}')
    commit(clone)
    (clone / "new.json").write_text('{"peft": "0.18.1+kwargs.1"}')
    made = {result.file: (result.older, result.made) for result in program.results()}
    assert made["moved.json"][0] == ()
    assert made["new.json"] == ((), "not committed")


def test_without_history(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone / "a.json").write_text("{}")
    commit(clone)
    git(clone, "clone", "--quiet", "--depth=1", f"file://{clone}", "shallow")
    monkeypatch.setattr(program, "ROOT", clone / "shallow")
    with pytest.raises(RuntimeError, match="this clone has no history"):
        program.check_history()
    monkeypatch.setattr(program, "ROOT", clone / "vendor")
    with pytest.raises(RuntimeError, match="this is no clone"):
        program.check_history()
