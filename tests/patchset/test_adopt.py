"""History again: with the pins as they were, adopting a release gives the patches that this repository carries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from packaging.version import Version

from patchset.commits.worktree import apply, lay_out
from patchset.pins import ROOT, Release, find, load
from patchset.series.apply import apply_series
from patchset.series.digest import tree_digest
from patchset.series.patch import Patch, read_series
from patchset.sources.sdists import Sdists
from tests.patchset.tool import Run, environment, files

STATES = {"applies", "applies with changes", "is already upstream", "conflicts"}


def travel(checkout: Path, before: str) -> None:
    """Take the releases from one on out of a checkout, with the series that only they use."""
    pins = checkout / "vendor" / "releases.toml"
    document = tomlkit.parse(pins.read_text())
    for entry in [entry for entry in document["release"] if Version(entry["version"]) >= Version(before)]:
        document["release"].remove(entry)
    pins.write_text(tomlkit.dumps(document))
    kept = {entry["series"] for entry in document["release"]}
    for folder in (checkout / "patches").iterdir():
        if folder.name not in kept:
            shutil.rmtree(folder)
    (checkout / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n- Something.\n")


def git(folder: Path, *arguments: str) -> str:
    identity = {f"GIT_{role}_{part}": "a" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    quiet = environment(**identity, GIT_CONFIG_GLOBAL=os.devnull, GIT_EDITOR="true")
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=quiet, check=True, capture_output=True, text=True
    ).stdout


def adopted(tool: Run, checkout: Path, tmp_path: Path, version: str) -> dict[str, Any]:
    """Adopt a release; whatever conflicts is resolved as its committed series does. Returns what `--json` says."""
    truth = find(version, load())
    lay_out(truth, tmp_path / "truth", Sdists())
    names = [patch.slug for patch in read_series(truth.series_dir)]
    commits = dict(zip(names, git(tmp_path / "truth", "rev-list", "--reverse", "stock..HEAD").split(), strict=True))
    unchanged = (checkout / "vendor" / "releases.toml").read_bytes()
    tree = checkout / "vendor" / f"work-{version}"
    result = tool(checkout, "adopt", version, "--json")
    while result.returncode == 1:
        last = json.loads(result.stdout)["patches"][-1]
        assert last["state"] == "conflicts", result.stderr
        assert (checkout / "vendor" / "releases.toml").read_bytes() == unchanged, "nothing is half-pinned"
        assert not (checkout / "patches" / truth.series).exists()
        assert any("<<<<<<< " in (tree / name).read_text() for name in last["note"].split(", ")), "git's markers"
        again = tool(checkout, "adopt", version, "--continue")
        assert "git am is under way" in again.stderr
        if last["name"] in commits:
            git(tree, "fetch", "--quiet", str(tmp_path / "truth"), commits[last["name"]])
            git(tree, "checkout", "FETCH_HEAD", "--", ".")
            git(tree, "am", "--continue")
        else:
            git(tree, "am", "--skip")
        result = tool(checkout, "adopt", version, "--continue", "--json")
    assert result.returncode == 0, result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def pinned(checkout: Path, version: str) -> dict[str, Any]:
    """A release's entry in a checkout's pins."""
    document = tomlkit.parse((checkout / "vendor" / "releases.toml").read_text()).unwrap()
    return next(entry for entry in document["release"] if entry["version"] == version)


# The last patches of a line, which change more or less in this release than in the one before; who adopts has to see that.
CHANGED = {"0.19.0": {"delete-active-adapter"}, "0.21.0": {"fsdp-inner-units", "delete-active-adapter"}}


def applied(release: Release, patches: list[Patch], folder: Path) -> str:
    """The digest of a release's tree with these patches."""
    folder.mkdir()
    tree = Sdists().unpack(release, folder)
    apply_series(tree, patches, allow_offsets=True)
    return tree_digest(tree)


@pytest.mark.parametrize(
    ("version", "retired"),
    [
        ("0.19.0", {"inactive-attributes", "tokens-tied-names", "tokens-tied-adapters"}),
        ("0.20.0", {"forward-kwargs"}),
        ("0.21.0", {"prefix-in-name", "unload-inactive"}),
    ],
)
def test_history(tool: Run, checkout: Path, tmp_path: Path, version: str, retired: set[str]) -> None:
    """Whatever conflicts is resolved as it was then; the result is the series that is committed."""
    truth = find(version, load())
    names = [patch.slug for patch in read_series(truth.series_dir)]
    travel(checkout, version)
    report = adopted(tool, checkout, tmp_path, version)
    states = {patch["name"]: patch["state"] for patch in report["patches"]}
    assert {name for name, state in states.items() if state == "is already upstream"} == retired
    assert set(states.values()) <= STATES - {"conflicts"}
    # The series of a line is written for its newest release; what it does to this one is the same.
    pin = pinned(checkout, version)
    assert (pin["sha256"], pin["size"], pin["series"]) == (truth.sha256, truth.size, truth.line)
    if version in CHANGED:
        series = (checkout / "patches" / truth.line, truth.series_dir)
        ported, ours = (
            [patch for patch in read_series(each) if patch.slug not in CHANGED[version]] for each in series
        )
        assert applied(truth, ported, tmp_path / "ported") == applied(truth, ours, tmp_path / "ours")
    else:
        assert pin["tree"] == truth.tree
    written = [path.partition("-")[2] for path in (checkout / "patches" / truth.line / "series").read_text().split()]
    assert written == [f"{name}.patch" for name in names]
    changelog = (checkout / "CHANGELOG.md").read_text()
    line = {"0.19.0": "0.18", "0.20.0": "0.19", "0.21.0": "0.20"}[version]
    for name in retired:
        assert f"- `{name}` ended with line {line}: upstream released a fix in {version} (https://" in changelog
    assert changelog.count("ended with") == len(retired)
    (verified,) = json.loads(tool(checkout, "verify", version, "--json").stdout)
    # what says that a later release has the fix cannot be checked before that is pinned
    ahead = [message for message in verified["failed"] if "has the fix, but no such release is pinned" in message]
    assert verified["failed"] == ahead
    assert bool(ahead) == (version != "0.21.0")
    assert tool(checkout, "adopt", version, "--continue").returncode == 1, "nothing is left to go on with"


def test_a_patch_that_upstream_has_taken_as_it_is(tool: Run, checkout: Path, tmp_path: Path) -> None:
    """A made-up 0.21.3 with our first patch in it: it is retired, the others apply, and the line takes them."""
    (first, *_) = read_series(ROOT / "patches" / "0.21")
    newest = load()[-1]
    lay_out(newest, tmp_path / "peft-0.21.3", Sdists(), patched=False)
    apply(tmp_path / "peft-0.21.3", first.path)
    shutil.rmtree(tmp_path / "peft-0.21.3" / ".git")
    for name in ("setup.py", "src/peft/__init__.py"):
        path = tmp_path / "peft-0.21.3" / name
        path.write_text(path.read_text().replace(f'"{newest.version}"', '"0.21.3"'))
    links = tmp_path / "links"
    links.mkdir()
    subprocess.run(["tar", "czf", links / "peft-0.21.3.tar.gz", "peft-0.21.3"], cwd=tmp_path, check=True)
    before = (checkout / "patches" / "0.21" / "series").read_text()
    mine = {"PATCHSET_CACHE": str(tmp_path / "cache"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": None, "UV_INDEX": None}
    for release in load():
        if release.line == "0.21":
            Sdists().obtain(release)
            found = Sdists().find(release)
            assert found is not None
            (tmp_path / "cache").mkdir(exist_ok=True)
            shutil.copy(found, tmp_path / "cache")
    second = Path(shutil.copytree(checkout, tmp_path / "second"))
    file = {"PATCHSET_CACHE": str(shutil.copytree(tmp_path / "cache", tmp_path / "cache2"))}
    given = tool(second, "adopt", "0.21.3", "--sdist", str(links / "peft-0.21.3.tar.gz"), **{**mine, **file})
    assert given.returncode == 0, given.stderr + given.stdout
    assert pinned(second, "0.21.3")["series"] == "0.21.3"
    missing = tool(checkout, "adopt", "0.21.4", UV_FIND_LINKS=links.as_uri(), **mine)
    assert "has no sdist of peft 0.21.4; the newest is 0.21.3" in missing.stderr
    status = tool(checkout, "status", "--check-index", UV_FIND_LINKS=links.as_uri(), **mine)
    assert "not pinned yet: 0.21.3" in status.stdout
    result = tool(checkout, "adopt", "v0.21.3", UV_FIND_LINKS=links.as_uri(), **mine)
    assert result.returncode == 0, result.stderr + result.stdout
    assert f"{first.slug} is already upstream: its change is there as it is" in result.stdout
    assert f"say `Applied-Upstream: 0.21.3, ADDRESS` in {first.slug}" in result.stdout
    # 0.21.2 needs the patch still, so that its series stays
    assert (checkout / "patches" / "0.21" / "series").read_text() == before
    assert first.slug not in (checkout / "patches" / "0.21.3" / "series").read_text()
    verified = tool(checkout, "verify", "0.21.3", "0.21.2", "--sdist", str(links.parent / "all"))
    assert verified.returncode == 1, "no such folder"
    shutil.copy(links / "peft-0.21.3.tar.gz", tmp_path / "cache")
    assert tool(checkout, "verify", "0.21.3", "0.21.2", **mine).returncode == 0
    assert (
        "not pinned yet" not in tool(checkout, "status", "--check-index", UV_FIND_LINKS=links.as_uri(), **mine).stdout
    )


def test_abort(tool: Run, checkout: Path) -> None:
    travel(checkout, "0.20.0")
    assert tool(checkout, "adopt", "0.20.0").returncode == 1
    again = tool(checkout, "adopt", "0.20.0")
    assert "--continue" in again.stderr
    assert "--abort" in again.stderr
    assert tool(checkout, "adopt", "0.20.0", "--abort").returncode == 0
    assert not (checkout / "vendor" / "work-0.20.0").exists()
    assert tool(checkout, "adopt", "0.20.0", "--abort").returncode == 1


def test_what_is_pinned_and_applies_is_not_adopted(tool: Run, checkout: Path) -> None:
    result = tool(checkout, "adopt", "0.18.1")
    assert result.stderr == "error: 0.18.1 is pinned, and its series patches/0.18 applies\n"


def test_a_pinned_release_that_its_lines_series_does_not_fit(tool: Run, checkout: Path, tmp_path: Path) -> None:
    """0.15.0, had it been given its line's patches: it gets a series of its own, and nothing else changes."""
    shutil.rmtree(checkout / "patches" / "0.15.0")
    pins = checkout / "vendor" / "releases.toml"
    pins.write_text(pins.read_text().replace('series = "0.15.0"', 'series = "0.15"'))
    others = (checkout / "patches" / "0.15" / "series").read_bytes()
    assert tool(checkout, "verify", "0.15.0").returncode == 1
    report = adopted(tool, checkout, tmp_path, "0.15.0")
    assert report["series"] == "0.15.0"
    assert pinned(checkout, "0.15.0")["series"] == "0.15.0"
    assert pinned(checkout, "0.15.0")["tree"] == find("0.15.0", load()).tree
    assert pinned(checkout, "0.15.2") == pinned(ROOT, "0.15.2")
    assert (checkout / "patches" / "0.15" / "series").read_bytes() == others
    assert tool(checkout, "verify", "0.15.0", "0.15.1", "0.15.2").returncode == 0


def test_an_sdist_that_is_given_lasts_beyond_a_conflict(tool: Run, checkout: Path, tmp_path: Path) -> None:
    travel(checkout, "0.20.0")
    truth = find("0.20.0", load())
    given = tmp_path / truth.sdist
    given.write_bytes(Sdists().obtain(truth))
    mine = {
        "PATCHSET_CACHE": str(tmp_path / "cache"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": None,
        "UV_FIND_LINKS": None,
    }
    (tmp_path / "cache").mkdir()
    for release in load():
        if release.line == "0.19":
            (tmp_path / "cache" / release.sdist).write_bytes(Sdists().obtain(release))
    result = tool(checkout, "adopt", "0.20.0", "--sdist", str(given), "--json", **mine)
    given.unlink()
    (tmp_path / "cache" / truth.sdist).unlink(missing_ok=True)
    tree = checkout / "vendor" / "work-0.20.0"
    while result.returncode == 1:
        assert json.loads(result.stdout)["patches"][-1]["state"] == "conflicts", result.stderr
        git(tree, "am", "--skip")
        result = tool(checkout, "adopt", "0.20.0", "--continue", "--json", **mine)
    assert result.returncode == 0, result.stderr


def test_an_adoption_that_fails_leaves_nothing(tool: Run, checkout: Path) -> None:
    """No environment for the tests, seen at the first patch that does not fit."""
    travel(checkout, "0.20.0")
    before = files(checkout)
    result = tool(checkout, "adopt", "0.20.0", "--tests")
    assert "error: --tests: no environment" in result.stderr
    assert files(checkout) == before


def test_going_on_where_a_run_died(tool: Run, checkout: Path) -> None:
    """Killed after a patch was committed and before that was written down: it is not taken for upstream's own."""
    travel(checkout, "0.21.2")
    second = Path(shutil.copytree(checkout, checkout.parent / "second"))
    assert tool(checkout, "adopt", "0.21.2").returncode == 0
    dying = (
        "import os, patchset.upstream.port as port, patchset.__main__ as main\n"
        "carried = []\n"
        "def carry(port_, patch, tree, *more, carry=port._carry):\n"
        "    result = carry(port_, patch, tree, *more)\n"
        "    carried.append(result.state)\n"
        "    if carried.count('applies') == 2:\n"
        "        (tree / '.git' / 'index.lock').touch()\n"
        "        (tree / 'half.py').touch()\n"
        "        os.kill(os.getpid(), 9)\n"
        "    return result\n"
        "port._carry = carry\n"
        "main.main(['adopt', '0.21.2'])\n"
    )
    died = subprocess.run([sys.executable, "-c", dying], cwd=second, env=environment(), check=False)
    assert died.returncode == -9
    result = tool(second, "adopt", "0.21.2", "--continue")
    assert result.returncode == 0, result.stderr
    tree = second / "vendor" / "work-0.21.2"
    assert (tree / ".git" / "left" / "half.py").exists()
    for name in ("patches", "vendor/releases.toml", "CHANGELOG.md"):
        compared = subprocess.run(["diff", "-r", checkout / name, second / name], capture_output=True, check=False)
        assert compared.returncode == 0, compared.stdout


def test_finishing_where_a_run_died(tool: Run, checkout: Path, tmp_path: Path) -> None:
    """Killed at any step between the first change of the checkout and the last: going on gives what it would have."""
    travel(checkout, "0.21.2")
    copies = [Path(shutil.copytree(checkout, tmp_path / step)) for step in ("_pin", "finish")]
    assert tool(checkout, "adopt", "0.21.2").returncode == 0
    for copy in copies:
        place = "port.Port" if copy.name == "finish" else "adopt"
        dying = (
            "import os, patchset.upstream.port as port, patchset.verbs.adopt as adopt, patchset.__main__ as main\n"
            f"{place}.{copy.name} = lambda *arguments: os.kill(os.getpid(), 9)\n"
            "main.main(['adopt', '0.21.2'])\n"
        )
        assert subprocess.run([sys.executable, "-c", dying], cwd=copy, env=environment(), check=False).returncode == -9
        result = tool(copy, "adopt", "0.21.2", "--continue")
        assert result.returncode == 0, result.stderr
        for name in ("patches", "vendor/releases.toml", "CHANGELOG.md"):
            compared = subprocess.run(["diff", "-r", checkout / name, copy / name], capture_output=True, check=False)
            assert compared.returncode == 0, compared.stdout
