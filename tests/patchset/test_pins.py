"""The pins, and the settings that choose among them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from patchset.errors import PatchsetError
from patchset.pins import RELEASES, chosen, find, load, select
from patchset.sources.settings import offline, redacted, settings

FOURTEEN = [
    "0.15.0",
    "0.15.1",
    "0.15.2",
    "0.16.0",
    "0.17.0",
    "0.17.1",
    "0.18.0",
    "0.18.1",
    "0.19.0",
    "0.19.1",
    "0.20.0",
    "0.21.0",
    "0.21.1",
    "0.21.2",
]


def test_every_affected_release_is_pinned() -> None:
    assert [release.version for release in load()] == FOURTEEN


def test_pins_are_hashes_and_hold_no_address() -> None:
    for release in load():
        assert re.fullmatch(r"[0-9a-f]{64}", release.sha256)
        assert re.fullmatch(r"[0-9a-f]{64}", release.tree)
        assert release.patched_version == f"{release.version}+kwargs.{release.revision}"
    assert "://" not in RELEASES.read_text()


@pytest.mark.parametrize("name", ["0.18.1", "v0.18.1", " 0.18.1 ", "0.18.1+kwargs.1"])
def test_names_of_a_release(name: str) -> None:
    assert find(name, load()).version == "0.18.1"


def test_unknown_release_lists_the_known_and_suggests_the_nearest() -> None:
    with pytest.raises(PatchsetError) as caught:
        find("0.18.11", load())
    assert "Did you mean 0.18.1?" in str(caught.value)
    assert all(version in str(caught.value) for version in FOURTEEN)


def test_all_and_a_name_contradict_each_other() -> None:
    assert len(select([], everything=True)) == len(load())
    with pytest.raises(PatchsetError, match="either --all or 0.18.1"):
        select(["0.18.1"], everything=True)


def test_choice_of_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PEFT_UPSTREAM", raising=False)
    assert chosen().version == FOURTEEN[-1]
    monkeypatch.setenv("PEFT_UPSTREAM", "0.19.1")
    assert chosen().version == "0.19.1"
    assert chosen("0.18.1").version == "0.18.1", "the setting beats the variable"
    with pytest.raises(PatchsetError, match="give `upstream` once"):
        chosen(["0.18.1", "0.19.1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("release = [", "cannot read .*releases.toml"),
        ("", "pins no release"),
        ('[[release]]\nversion = "1.0"\n', r"release 1.0: `series` must be a str"),
        (RELEASES.read_text().replace('"0.15.0"', '"0.15.0rc1"', 1), "'0.15.0rc1' is no version of a final release"),
    ],
)
def test_broken_pins(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "releases.toml"
    path.write_text(text)
    with pytest.raises(PatchsetError, match=message):
        load(path)


def test_index_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://a/simple\ntrusted-host = t\n"
        "[install]\nextra-index-url =\n  https://b/simple\n  https://c/simple\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    found = settings({})
    assert found.indexes[:1] == ["https://a/simple"]
    assert found.indexes[1:] == ["https://b/simple", "https://c/simple"]
    assert found.trusted_hosts == ["t"]
    monkeypatch.setenv("PIP_INDEX_URL", "https://d/simple")
    uv = {"UV_DEFAULT_INDEX": "https://u/simple", "UV_INDEX": "own=https://o/simple", "UV_FIND_LINKS": "x,y"}
    uv["UV_INDEX_OWN_USERNAME"] = "me@home"
    found = settings(uv)
    assert found.indexes[:3] == ["https://u/simple", "https://d/simple", "https://me%40home:@o/simple"]
    assert found.find_links == ["x", "y"]


def test_redacted() -> None:
    assert redacted("see https://u:p@host/simple and http://t@h/") == "see https://host/simple and http://h/"


def test_a_page_of_links_can_serve_without_an_index() -> None:
    assert offline({"PIP_NO_INDEX": "1"}) == "PIP_NO_INDEX is set"
    assert offline({"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "https://example.org/links"}) != "PIP_NO_INDEX is set"
