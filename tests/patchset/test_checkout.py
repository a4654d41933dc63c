"""Series as commits and back: nothing changes by itself, and what a maintainer changes arrives."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from patchset.commits.git import git as run_git
from patchset.commits.mails import slugify
from patchset.pins import Release, load
from patchset.sources.unpack import unpack
from tests.patchset.tool import Run, environment

Git = Callable[..., str]
LINES = sorted({release.series: release.version for release in load()}.items())
TITLES = ("Let training wrappers be", "Let trainable tokens be")
ME = {f"GIT_{role}_{part}": "me" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}

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


def test_attributes_of_the_sdist_change_no_bytes_and_run_nothing(
    tool: Run, checkout: Path, tmp_path: Path, release: Release, sdist: bytes, git: Git
) -> None:
    """A made-up sdist that asks for filters, line ends and a program to watch the files, and a maintainer who has them."""
    tree = unpack(sdist, tmp_path, release.folder)
    hostile = "[attr]evil filter=evil\n* evil text eol=crlf ident working-tree-encoding=UTF-16 merge=evil diff=evil\n"
    (tree / ".gitattributes").write_text(hostile)
    (tree / "src" / "peft" / ".gitattributes").write_text("*.py filter=evil text eol=crlf ident export-subst\n")
    (tree / ".gitmodules").write_text('[submodule "x"]\n\tpath = x\n\turl = ext::touch ran\n\tupdate = !touch ran\n')
    (tree / "ends.txt").write_bytes(b"a\r\nb\n$Id$\n")
    given = tmp_path / release.sdist
    subprocess.run(["tar", "czf", given, release.folder], cwd=tmp_path, check=True)
    pins = checkout / "vendor" / "releases.toml"
    data = given.read_bytes()
    text = pins.read_text().replace(release.sha256, hashlib.sha256(data).hexdigest())
    pins.write_text(text.replace(f"size = {release.size}\n", f"size = {len(data)}\n"))
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    config = (
        f'[core]\n\tfsmonitor = {program}\n[filter "evil"]\n\tclean = {program}\n\tsmudge = {program}\n\trequired = true\n'
        f'[diff "evil"]\n\tcommand = {program}\n\ttextconv = {program}\n[merge "evil"]\n\tdriver = {program}\n'
        f"[core]\n\thooksPath = {tmp_path / 'hooks'}\n"
    )
    (tmp_path / "gitconfig").write_text(config)
    (tmp_path / "hooks").mkdir()
    for name in ("post-index-change", "pre-commit", "post-commit", "applypatch-msg", "post-checkout"):
        shutil.copy(program, tmp_path / "hooks" / name)
    mine = {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")}
    result = tool(checkout, "checkout", release.version, "tree", "--sdist", str(given), **mine)
    assert result.returncode == 0, result.stderr
    with (checkout / "tree" / ".git" / "config").open("a") as own:
        own.write(config)
    result = tool(checkout, "export", release.version, "tree", "--sdist", str(given), **mine)
    assert result.returncode == 0, result.stderr
    assert "changed" not in result.stdout.replace("unchanged", "")
    assert not ran.exists(), "nothing of theirs ran"
    for name in (".gitattributes", "ends.txt", "setup.py"):
        assert (checkout / "tree" / name).read_bytes() == (tree / name).read_bytes()
        stored = subprocess.run(
            ["git", "cat-file", "blob", f"stock:{name}"], cwd=checkout / "tree", check=True, capture_output=True
        )
        assert stored.stdout == (tree / name).read_bytes()


def test_no_variable_of_gits_is_handed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """git lists those that lead to another repository."""
    run_git(tmp_path, "init", "--quiet")
    names = run_git(tmp_path, "rev-parse", "--local-env-vars").split()
    assert "GIT_DIR" in names
    for name in (*names, "GIT_EXTERNAL_DIFF", "GIT_SSH_COMMAND", "GIT_TRACE2_EVENT", "GIT_TEMPLATE_DIR"):
        monkeypatch.setenv(name, "/nowhere")
    assert run_git(tmp_path, "rev-parse", "--show-toplevel").strip() == str(tmp_path.resolve())
    shown = run_git(tmp_path, "-c", "alias.env=!env", "env")
    assert "/nowhere" not in shown


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


AGAIN = "git am would not make the same commit of its patch again: "


COME_BACK = (
    "[LoRA] Fix it",
    "[LoRA] [Tokens] Fix: re: it",
    "Löse es\n\nMit Umlauten: äöü, 中文.\n\n-- no signature\nDiff -x\n>From here",
    "Fix it\n\nBody.\n\nSubject: none\nDate: none\nFrom: none",
)
REFUSED = {
    "Re: Fix it": "its subject would be 'Fix it', not 'Re: Fix it'",
    "[PATCH 1/2] Fix it": "its subject would be 'Fix it', not '[PATCH 1/2] Fix it'",
    "Fix\nit": "its subject would be 'Fix it', not 'Fix'",
    "Fix it\n\nA rule:\n---\nlost": "its message would change at the line '---'",
    "Fix it\n\n--- a/setup.py\n+++ b/setup.py": "its message would change at the line '--- a/setup.py'",
    "Fix it\n\nIndex: src": "its message would change at the line 'Index: src'",
    "Fix it\n\ndiff -u a b": "its message would change at the line 'diff -u a b'",
    "Fix it\n\nFrom: Another <another@example.org>\n\nText.": "its author would be 'Another <another@example.org>'",
    "Fix it\n\nSubject: Another\n\nText.": "its subject would be 'Another', not 'Fix it'",
    "Fix it\n\nDate: Mon, 1 Jan 2001 00:00:00 +0000\n\nText.": "its date would be '978307200 +0000'",
    "Fix it\n\nA line\r\nends so.": "its message would change at the line 'A line\\r'",
    "Fix it\n\nFrom abc Mon Sep 17 00:00:00 2001\nFrom: a <a@b>\n\nx": (
        "another mail would begin at the line 'From abc Mon Sep 17 00:00:00 2001'"
    ),
}


def one_commit(checkout: Path, git: Git, tool: Run) -> Path:
    """A work tree with one short commit on stock."""
    tool(checkout, "checkout", "0.18.1", "tree")
    tree = checkout / "tree"
    git(tree, "reset", "--quiet", "--hard", "stock")
    other(tree).write_text(f"{other(tree).read_text()}# more\n")
    git(tree, "commit", "--quiet", "--all", "--message", "More")
    return tree


def reword(tree: Path, git: Git, message: str) -> None:
    (tree / ".git" / "message").write_bytes(f"{message}\n".encode())
    git(tree, "commit", "--quiet", "--amend", "--cleanup=verbatim", "--file", ".git/message")


def test_messages_come_back(tool: Run, checkout: Path, git: Git) -> None:
    tree = one_commit(checkout, git, tool)
    for number, message in enumerate(COME_BACK):
        reword(tree, git, message)
        result = tool(checkout, "export", "0.18.1", "tree")
        assert result.returncode == 0, result.stderr
        again = checkout / f"again{number}"
        assert tool(checkout, "checkout", "0.18.1", again.name).returncode == 0
        shown = [git(folder, "log", "-1", "--format=%B%an%ae%ad", "stock..HEAD") for folder in (tree, again)]
        assert shown[0] == shown[1]


def test_messages_that_would_not_come_back_are_refused(tool: Run, checkout: Path, git: Git) -> None:
    tree = one_commit(checkout, git, tool)
    before = patches(checkout)
    for message, complaint in REFUSED.items():
        reword(tree, git, message)
        result = tool(checkout, "export", "0.18.1", "tree")
        assert f"{AGAIN}{complaint}" in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert result.returncode == 1
    assert patches(checkout) == before


def test_carriage_returns_are_refused(tool: Run, checkout: Path, git: Git) -> None:
    """The engine and GNU patch keep them, ``git am`` does not."""
    tool(checkout, "checkout", "0.18.1", "tree")
    (checkout / "tree" / "tests" / "data.txt").write_bytes(b"a\r\nb\r\n")
    git(checkout / "tree", "add", "tests")
    git(checkout / "tree", "commit", "--quiet", "--message", "Add data", GIT_CONFIG_GLOBAL=os.devnull, **ME)
    before = patches(checkout)
    result = tool(checkout, "export", "0.18.1", "tree")
    assert f"{AGAIN}it takes the carriage returns out of tests/data.txt" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert patches(checkout) == before


def test_a_stock_commit_that_is_not_upstreams(tool: Run, checkout: Path, git: Git) -> None:
    tool(checkout, "checkout", "0.18.1", "tree")
    before = patches(checkout)
    git(checkout / "tree", "tag", "--force", "stock", "HEAD~1")
    result = tool(checkout, "export", "0.18.1", "tree")
    assert result.stderr == "error: the tag stock in tree is not upstream's 0.18.1; put it back\n"
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
    last = (folder / "series").read_text().split()[-1]
    # the first file, as it ends alike in the other release of the line
    name = re.findall(r"^\+\+\+ b/(src/.*)", (folder / last).read_text(), re.MULTILINE)[0]
    with (tree / name).open("a") as source:
        source.write("# all\n")
    quilt("refresh")
    result = tool(checkout, "export", release.version, "--refresh", "--line")
    assert result.returncode == 0, result.stderr
    assert f"{last}: changed" in result.stdout
    text = (folder / last).read_text()
    assert text.startswith("From 0000000000000000000000000000000000000000 ")
    assert "Last-Update: " in text
    assert "\n+# all\n" in text
    assert tool(checkout, "verify", release.version).returncode == 0


def test_slugs() -> None:
    assert slugify("Fix: the `x` (again)") == "fix-the-x-again"
    assert (
        slugify("Let training wrappers be called without positional args") == "let-training-wrappers-be-called-without"
    )
    assert slugify("修复") == "patch"
    assert slugify("x" * 50) == "x" * 40
