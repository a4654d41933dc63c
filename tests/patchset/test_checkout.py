"""Series as commits and back: nothing changes by itself, and what a maintainer changes arrives."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from patchset.commits.mails import slugify
from patchset.pins import Release, load
from tests.patchset.tool import Run, environment

Git = Callable[..., str]
LINES = sorted({release.series: release.version for release in load()}.items())
TITLES = ("Let training wrappers be", "Let trainable tokens be")

# Settings that change what `git format-patch` or `git am` write; a maintainer may have any of them.
HOSTILE = """
[user]
    name = A Maintainer
    email = maintainer@example.org
[core]
    autocrlf = input
    abbrev = 7
[commit]
    gpgSign = true
[diff]
    algorithm = patience
    context = 8
    noprefix = true
    mnemonicPrefix = true
    renames = copies
    interHunkContext = 9
    suppressBlankEmpty = true
    statGraphWidth = 10
[format]
    signature = mine
    signOff = true
    attach = true
    thread = deep
    subjectPrefix = MINE
    suffix = .txt
    useAutoBase = true
    headers = "X-Mine: yes"
    numbered = false
    notes = true
[i18n]
    logOutputEncoding = latin1
"""


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """git as a maintainer runs it, with settings of their own."""
    (tmp_path / "gitconfig").write_text(HOSTILE.replace("gpgSign = true", "gpgSign = false"))

    def run(folder: Path, *arguments: str, **variables: str) -> str:
        variables = {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"), "GIT_EDITOR": "true", **variables}
        result = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment(**variables), capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


def patches(checkout: Path) -> dict[str, bytes]:
    folder = checkout / "patches"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def other(tree: Path) -> Path:
    return tree / "src" / "peft" / "utils" / "other.py"


@pytest.mark.parametrize(("series", "version"), LINES)
def test_checkout_and_export_change_nothing(
    tool: Run, checkout: Path, tmp_path: Path, series: str, version: str
) -> None:
    before, pins = patches(checkout), (checkout / "vendor" / "releases.toml").read_bytes()
    home = tmp_path / "home"
    (home / ".config" / "git").mkdir(parents=True)
    (home / ".config" / "git" / "attributes").write_text("*.py diff=python\n*.py -diff\n")
    (home / ".gitconfig").write_text(HOSTILE)
    mine = {"HOME": str(home), "XDG_CONFIG_HOME": None, "GIT_DIFF_OPTS": "-u9", "GIT_DIR": "/nowhere"}
    assert tool(checkout, "checkout", version, "tree", **mine).returncode == 0
    with (checkout / "tree" / ".git" / "config").open("a") as config:
        config.write(HOSTILE)
    result = tool(checkout, "export", version, "tree", "--line", **mine)
    assert result.returncode == 0, result.stderr
    assert patches(checkout) == before
    assert (checkout / "vendor" / "releases.toml").read_bytes() == pins
    assert "changed" not in result.stdout.replace("unchanged", "")


def test_commits_are_the_patches(tool: Run, checkout: Path, git: Git) -> None:
    trees = [checkout / "one", checkout / "two"]
    for tree in trees:
        result = tool(checkout, "checkout", "0.18.1", tree.name, PYTHONUTF8="1", TZ="Asia/Kathmandu")
        assert result.stdout.strip() == tree.name
    log = git(trees[0], "log", "--format=%s|%an|%aI", "--reverse").splitlines()
    assert log[0].startswith("peft 0.18.1, stock|")
    assert log[1] == (
        "Let training wrappers be called without positional args|Seed 022eae12 maintainers|2026-11-22T12:00:00+00:00"
    )
    assert git(trees[0], "rev-parse", "HEAD") == git(trees[1], "rev-parse", "HEAD"), "the same commits for everybody"


def test_amended_reworded_split_dropped_and_added(tool: Run, checkout: Path, git: Git, release: Release) -> None:
    tree = checkout / "vendor" / f"work-{release.version}"
    assert tool(checkout, "checkout", release.version).returncode == 0
    count = int(git(tree, "rev-list", "--count", "stock..HEAD"))
    # reword the first patch, through a rebase that changes its subject
    git(
        tree,
        "rebase",
        "-i",
        "stock",
        GIT_SEQUENCE_EDITOR="sed -i 1s/^pick/reword/",
        GIT_EDITOR="sed -i '1s/.*/Take any arguments/'",
    )
    # drop the last, and add two commits of one file each
    git(tree, "reset", "--hard", "-q", "HEAD~1")
    for word in ("first", "second"):
        mark = "    merged_adapters: list[str] = []\n"
        other(tree).write_text(other(tree).read_text().replace(mark, f"{mark}    # {word}\n"))
        git(tree, "commit", "-qam", f"Add the {word} line, for tests")
    # amend the last one without a message
    (tree / "tests" / "new.py").write_text("pass\n")
    git(tree, "add", "tests/new.py")
    git(tree, "commit", "-q", "--amend", "--no-edit")
    result = tool(checkout, "export", release.version, "--line")
    assert result.returncode == 0, result.stderr
    names = (checkout / "patches" / release.series / "series").read_text().splitlines()
    assert len(names) == count + 1
    assert names[0] == "0001-forward-kwargs.patch", "its commit's note carries the name"
    assert names[-2:] == [f"{count:04}-add-the-first-line-for-tests.patch", names[-1]]
    assert "0001-forward-kwargs.patch: changed" in result.stdout
    assert f"{names[-1]}: new" in result.stdout
    assert ": removed" in result.stdout
    assert "0.18.0: applies, locked its new digest" in result.stdout
    assert "lacks the DEP-3 fields" in result.stderr
    text = (checkout / "patches" / release.series / names[0]).read_text()
    assert f"Subject: [PATCH 01/{count + 1}] Take any arguments\n" in text
    assert sorted(names) == sorted(path.name for path in (checkout / "patches" / release.series).glob("*.patch"))


def test_a_split_patch_keeps_its_name_once(tool: Run, checkout: Path, git: Git, release: Release) -> None:
    tool(checkout, "checkout", release.version, "tree")
    tree = checkout / "tree"
    git(tree, "reset", "-q", "--hard", "stock~0")
    git(tree, "reset", "-q", "--hard", "HEAD@{1}")
    git(tree, "rebase", "-i", "stock", GIT_SEQUENCE_EDITOR="sed -i 1s/^pick/edit/")
    git(tree, "reset", "-q", "HEAD^")
    git(tree, "commit", "-qm", "Let training wrappers be called without positional args", "--", "src")
    git(tree, "add", "--all")
    git(tree, "commit", "-qm", "Test calls without positional args")
    git(tree, "rebase", "--continue")
    assert tool(checkout, "export", release.version, "tree").returncode == 0
    names = (checkout / "patches" / release.series / "series").read_text().splitlines()
    assert names[:3] == [
        "0001-forward-kwargs.patch",
        "0002-test-calls-without-positional-args.patch",
        "0003-trainable-tokens.patch",
    ]


def test_line_names_releases_that_no_longer_apply(tool: Run, checkout: Path, git: Git) -> None:
    tool(checkout, "checkout", "0.15.2", "tree")
    tree = checkout / "tree"
    # A line that 0.15.1 does not have yet: its own version
    text = (tree / "setup.py").read_text()
    (tree / "setup.py").write_text(text.replace('VERSION = "0.15.2"', 'VERSION = "0.15.2"  # patched'))
    git(tree, "commit", "-qam", "Mark the version")
    pins = {release.version: release.tree for release in load()}
    result = tool(checkout, "export", "0.15.2", "tree", "--line")
    assert result.returncode == 1
    assert "0.15.2: applies, locked its new digest" in result.stdout
    assert "0.15.1: no longer applies" in result.stdout
    assert "`python -m patchset adopt 0.15.1`" in result.stdout
    locked = (checkout / "vendor" / "releases.toml").read_text()
    assert pins["0.15.1"] in locked
    assert pins["0.15.2"] not in locked


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda tree, git: other(tree).write_text("x = 1\n"), "1 files in tree are not committed"),
        (lambda tree, git: (tree / "new.py").write_text("x = 1\n"), "(?? new.py); commit"),
        (lambda tree, git: git(tree, "commit", "-q", "--allow-empty", "-m", "none"), "changes no file"),
        (lambda tree, git: git(tree, "checkout", "-q", "--orphan", "x"), "not committed"),
        (lambda tree, git: git(tree, "tag", "-d", "stock"), "is not a work tree of 0.18.1"),
        (lambda tree, git: shutil.rmtree(tree), "no work tree in tree"),
        (
            lambda tree, git: (
                (tree / "setup.py").write_text("x = 1\n"),
                (tree / "setup.py").chmod(0o755),
                git(tree, "commit", "-qam", "mode"),
            ),
            "modes cannot be changed",
        ),
    ],
)
def test_refused_exports_change_nothing(
    tool: Run, checkout: Path, git: Git, spoil: Callable[[Path, Git], object], message: str
) -> None:
    tool(checkout, "checkout", "0.18.1", "tree")
    before = patches(checkout)
    spoil(checkout / "tree", git)
    result = tool(checkout, "export", "0.18.1", "tree")
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert patches(checkout) == before


def test_checkout_never_touches_a_folder_that_exists(tool: Run, checkout: Path) -> None:
    tool(checkout, "checkout", "0.18.1", "tree")
    other(checkout / "tree").write_text("my work\n")
    result = tool(checkout, "checkout", "0.18.1", "tree")
    assert result.returncode == 1
    assert "tree exists" in result.stderr
    assert other(checkout / "tree").read_text() == "my work\n"


def test_failed_checkout_leaves_nothing(tool: Run, checkout: Path) -> None:
    patch = checkout / "patches" / "0.18" / "0002-trainable-tokens.patch"
    patch.write_text(patch.read_text().replace("\n     def ", "\n     dof "))
    result = tool(checkout, "checkout", "0.18.1", "trees/tree")
    assert result.returncode == 1
    assert "git am cannot apply 0002-trainable-tokens.patch" in result.stderr
    assert list((checkout / "trees").iterdir()) == []


@pytest.mark.skipif(not shutil.which("quilt"), reason="quilt is not installed")
def test_quilt(tool: Run, checkout: Path, release: Release) -> None:
    """Push, edit and refresh as Debian does; ``export --refresh`` gives the mails their form again."""
    assert tool(checkout, "checkout", release.version, "tree").returncode == 0
    tree, folder = checkout / "tree", checkout / "patches" / release.series
    subprocess.run(["git", "checkout", "-q", "stock"], cwd=tree, check=True)

    def quilt(*arguments: str) -> None:
        variables = environment(QUILT_PATCHES=str(folder), QUILTRC=os.devnull)
        subprocess.run(["quilt", *arguments], cwd=tree, env=variables, check=True, stdout=subprocess.DEVNULL)

    before = patches(checkout)
    quilt("push", "-a")
    quilt("refresh")
    assert patches(checkout) != before, "quilt drops git's lines"
    assert "export RELEASE --refresh" in tool(checkout, "verify", release.version).stdout
    assert tool(checkout, "export", release.version, "--refresh").returncode == 0
    assert patches(checkout) == before, "and they come back"
    text = other(tree).read_text()
    other(tree).write_text(
        text.replace("    merged_adapters: list[str] = []\n", "    merged_adapters: list[str] = []  # all\n")
    )
    quilt("refresh")
    result = tool(checkout, "export", release.version, "--refresh", "--line")
    assert result.returncode == 0, result.stderr
    last = (folder / "series").read_text().split()[-1]
    assert f"{last}: changed" in result.stdout
    text = (folder / last).read_text()
    assert text.startswith("From 0000000000000000000000000000000000000000 ")
    assert "Last-Update: " in text
    assert "+    merged_adapters: list[str] = []  # all\n" in text
    assert tool(checkout, "verify", release.version).returncode == 0


def test_slugs() -> None:
    assert slugify("Fix: the `x` (again)") == "fix-the-x-again"
    assert (
        slugify("Let training wrappers be called without positional args") == "let-training-wrappers-be-called-without"
    )
