"""The workflow for those who fork runs what tox.ini has: nothing less, nothing else."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from patchset.__main__ import VERBS
from patchset.pins import ROOT, read_toml


def environments(text: str) -> list[str]:
    """The names in a list of tox environments; what is in braces stays as it is written."""
    return [name.strip() for name in re.split(r"[,\n](?![^{]*\})", text.replace("\\\n", "")) if name.strip()]


def expanded(name: str) -> list[str]:
    """What a name with one pair of braces stands for."""
    before, brace, rest = name.partition("{")
    choices, _, after = rest.partition("}")
    return [f"{before}{choice}{after}" for choice in choices.split(",")] if brace else [name]


@pytest.fixture(scope="module")
def tox() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes="#")
    parser.read(ROOT / "tox.ini", encoding="utf-8")
    return parser["tox"]


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "tox.yml").read_text("utf-8"))["jobs"]
    return found


def included(job: dict[str, Any]) -> dict[str, list[str]]:
    """A job's environments, by the name that it has in the matrix."""
    return {entry["name"]: environments(entry["envs"]) for entry in job["strategy"]["matrix"]["include"]}


def label(tox: configparser.SectionProxy, name: str) -> list[str]:
    (text,) = re.findall(rf"^{name} = ((?:.*\\\n)*.*)$", tox["labels"], re.MULTILINE)
    return environments(text)


def test_each_job_runs_what_tox_does(tox: configparser.SectionProxy, jobs: dict[str, Any]) -> None:
    default = [name for names in included(jobs["tox"]).values() for name in names]
    listed = [one for name in environments(tox["env_list"]) for one in expanded(name)]
    assert sorted(default) == sorted(listed)
    full = [name for names in included(jobs["full"]).values() for name in names]
    assert full == label(tox, "full")
    assert [f"{name}-stock" for name in full] == label(tox, "stock")


@pytest.mark.parametrize("name", ["tox", "full"])
def test_a_job_is_a_line(jobs: dict[str, Any], name: str) -> None:
    for line, names in included(jobs[name]).items():
        assert line == "tool" or all(f"peft{line}." in name or name == f"upstream-{line}" for name in names)


def test_pythons_are_set_up(jobs: dict[str, Any]) -> None:
    (setup,) = [step["with"] for step in jobs["full"]["steps"] if "setup-python" in step.get("uses", "")]
    digits = set(re.findall(r"py\{?([\d,]+)", str(included(jobs["full"]))))
    named = {f"3.{number.removeprefix('3')}" for numbers in digits for number in numbers.split(",")}
    assert named == set(setup["python-version"].split())


def test_the_default_set_names_no_python(tox: configparser.SectionProxy) -> None:
    """So that no line is skipped where only one Python is."""
    assert not [name for name in environments(tox["env_list"]) if name.startswith("py")]


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_a_commit(path: Path) -> None:
    used = re.findall(r"uses: *(.*)", path.read_text("utf-8"))
    assert used
    assert [line for line in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+(\.\d+)+", line)] == []


def test_the_update_bot_looks_where_pins_are() -> None:
    bot = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text("utf-8"))
    found = {entry["package-ecosystem"]: entry["directory"] for entry in bot["updates"]}
    assert found == {"pip": "/", "github-actions": "/"}, "all that pins here"
    assert read_toml(ROOT / "pyproject.toml")["build-system"]["requires"]
    text = (ROOT / ".github" / "dependabot.yml").read_text("utf-8")
    for verb in re.findall(r"`(?:python -m patchset )?([a-z]+)[^`]*`", text):
        assert verb in VERBS


def test_a_release_is_compared_before_it_is_published() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    systems = [entry["system"] for entry in jobs["build"]["strategy"]["matrix"]["include"]]
    assert len({system.partition("-")[0] for system in systems}) == 2
    (compare,) = [step["run"] for step in jobs["compare"]["steps"] if "diff" in step.get("run", "")]
    assert compare.split()[2:] == [f"built/release-{system}" for system in systems]
    assert (jobs["compare"]["needs"], jobs["publish"]["needs"]) == ("build", "compare")
    assert "permissions" not in jobs["build"], "only what publishes may write"


def test_names() -> None:
    text = "a, b{1,2}-c{3,4}, \\\n    d"
    assert environments(text) == ["a", "b{1,2}-c{3,4}", "d"]
