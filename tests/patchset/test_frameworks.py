"""What `doctor` reads out of frameworks: their pins, their checks of peft's version, and which wheel follows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from patchset.doctor import installed
from patchset.doctor.frameworks import checks, frameworks, newest, wheel_of
from patchset.pins import Release, find, load
from tests.patchset.test_doctor import said

# As LLaMA-Factory 0.9.4, axolotl 0.18.0, TRL 1.16.0 and diffusers 0.42.1 have it.
FACTORY = """
from transformers.utils.versions import require_version

def check_version(requirement, mandatory=False):
    require_version(requirement, f"To fix: run `pip install {requirement}`.")

def check_dependencies():
    check_version("transformers>=4.51.0,<=4.57.1")
    check_version("peft>=0.14.0,<=0.17.1")
"""
GUARD = """
import peft
from packaging.version import Version
if model and Version(peft.__version__) <= Version("0.17.1"):
    raise ValueError("too old")
"""
MINIMUM = """
from packaging import version
def check(minimum):
    return version.parse(importlib.metadata.version("peft")) >= version.parse(minimum)
"""


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (FACTORY, ["peft<=0.17.1,>=0.14.0"]),
        (GUARD, ["peft<=0.17.1"]),
        (MINIMUM, []),
        ('require_version("peft")', []),
        ('require_version("peft-thing<=1")', []),
        ('MAX = "0.17.1"\nrequire_version(f"peft<={MAX}")', ["peft<=0.17.1"]),
        ('PEFT = "peft==" + VERSION\nVERSION = "0.17.1"\nrequire_version("peft==" + VERSION)', ["peft==0.17.1"]),
        ('if is_peft_version("<=", "0.17.1"): pass', ["peft<=0.17.1"]),
        ('if "0.17.1" >= peft_version: pass', ["peft<=0.17.1"]),
        ('if V("0.17.0") < V(version("peft")) != V("0.18"): pass', ["peft>0.17.0", "peft!=0.18"]),
        ('if V(V(peft.__version__).base_version) <= V("0.17.1"): pass', []),
        ("if V(peft.__version__).release <= (0, 17, 1): pass", []),
        ('print("peft is here")', []),
    ],
)
def test_what_is_found(source: str, found: list[str]) -> None:
    assert [str(check) for check in checks(source.encode(), "a.py")] == found


@pytest.mark.parametrize("sign", ["==", "!=", "<=", ">=", "<", ">"])
@pytest.mark.parametrize("wanted", ["0.17.0", "0.17.1", "0.18.0"])
def test_a_check_compares_as_transformers_does(sign: str, wanted: str) -> None:
    """`require_version` is `ops[op](version.parse(got), version.parse(want))`."""
    (check,) = checks(f'require_version("peft{sign}{wanted}")'.encode(), "a.py")
    assert not check.guard
    for got in ("0.17.1", "0.17.1+kwargs.1"):
        expected = eval(f"left {sign} right", {"left": Version(got), "right": Version(wanted)})
        assert check.holds(got) == expected
    tells = sign in ("==", "!=", "<=", ">") and wanted == "0.17.1"
    assert check.tells_apart(find("0.17.1", load())) == tells


def install(site: Path, name: str, version: str, requires: str, source: str = "") -> None:
    """Put a distribution with one module there."""
    module = name.replace("-", "_")
    info = site / f"{module}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}\n")
    (site / f"{module}.py").write_text(source)
    (info / "RECORD").write_text(f"{module}.py,,\n{info.name}/METADATA,,\n")


def test_frameworks_of_an_environment(tmp_path: Path) -> None:
    install(tmp_path, "LLaMA_Factory", "0.9.4", "Requires-Dist: peft<=0.17.1,>=0.14.0", FACTORY)
    install(tmp_path, "trl", "1.16.0", 'Requires-Dist: peft>=0.13.0; extra == "peft"', GUARD)
    install(tmp_path, "torch", "2.13.0", "Requires-Dist: numpy", FACTORY)
    install(tmp_path, "broken", "1", "Requires-Dist: peft", "no python = at all =")
    install(tmp_path, "peft", "0.17.1", "Requires-Dist: torch", GUARD)
    broken, factory, trl = frameworks([str(tmp_path)])
    assert [str(one) for one in (broken, factory, trl)] == ["broken 1", "llama-factory 0.9.4", "trl 1.16.0"]
    assert factory.pin == Requirement("peft<=0.17.1,>=0.14.0").specifier
    assert [check.place for check in factory.checks] == ["LLaMA_Factory.py, line 9"]
    assert [check.guard for check in (*factory.checks, *trl.checks)] == [False, True]
    assert broken.checks == ()
    local, tagged = find("0.17.1", load()).wheels
    assert factory.takes(tagged)
    assert not factory.takes(local), "though an installer does"
    assert trl.takes(local), "a guard refuses nothing"


@pytest.mark.parametrize(
    ("requires", "source", "name"),
    [
        ("peft<=0.17.1,>=0.14.0", FACTORY, "0.17.1-1kwargs1"),
        ("peft<=0.17.0", FACTORY, "0.17.0+kwargs.1"),
        ("peft<=0.18.1,>=0.18.0", 'check_version("peft>=0.18.0,<=0.20.0")', "0.18.1+kwargs.1"),
        ("peft==0.19.1", "", "0.19.1+kwargs.1"),
        ("peft<=0.17.1", GUARD, "0.17.1-1kwargs1"),
        ("peft", 'check_version("peft<0.18")', "0.17.1+kwargs.1"),
        ("peft<0.15", "", None),
    ],
)
def test_the_wheel_to_take(tmp_path: Path, requires: str, source: str, name: str | None) -> None:
    install(tmp_path, "framework", "1", f"Requires-Dist: {requires}", source)
    wheel = newest(load(), frameworks([str(tmp_path)]))
    assert (wheel.name if wheel else None) == name


def test_an_editable_install_is_read_too(tmp_path: Path) -> None:
    project, site = tmp_path / "a project", tmp_path / "site"
    (project / "src" / "factory").mkdir(parents=True)
    (project / "src" / "factory" / "misc.py").write_text(FACTORY)
    (project / "tests").mkdir()
    (project / "tests" / "test_it.py").write_text(GUARD)
    install(site, "factory", "1", "Requires-Dist: peft<=0.17.1")
    (site / "factory.py").unlink()
    origin = f'{{"url": "{project.as_uri()}", "dir_info": {{"editable": true}}}}'
    (site / "factory-1.dist-info" / "direct_url.json").write_text(origin)
    (found,) = frameworks([str(site)])
    assert [check.place for check in found.checks] == ["src/factory/misc.py, line 9"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The site-packages of an environment with LLaMA-Factory's check."""
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    install(site, "llamafactory", "0.9.4", "Requires-Dist: peft<=0.17.1,>=0.14.0", FACTORY)
    return site


def doctor(site: Path) -> str:
    return said(installed.examine(str(site.parents[2] / "bin" / "python"), load()))


def patched(site: Path, release: Release, tagged: bool) -> None:
    """As far as `doctor` looks for which peft it is: version, and the SBOM."""
    from patchset.wheels.sbom import SBOM, sbom

    wheel = release.wheels[tagged]
    install(site, "peft", wheel.version, "")
    (info,) = site.glob("peft-*.dist-info")
    (info / SBOM).parent.mkdir()
    (info / SBOM).write_bytes(sbom(wheel, []))
    with (info / "RECORD").open("a") as record:
        record.write(f"{info.name}/{SBOM},,\n")


REFUSES = "llamafactory 0.9.4 checks peft<=0.17.1,>=0.14.0 (llamafactory.py, line 9), which refuses 0.17.1+kwargs.1"


def test_doctor_without_peft_names_the_wheel(site: Path) -> None:
    answer = doctor(site)
    assert f"note: {REFUSES}" in answer
    assert "note: the newest for llamafactory 0.9.4 is 0.17.1-1kwargs1; use the tagged wheel 0.17.1-1kwargs1" in answer


def test_doctor_on_stock_names_the_tagged_wheel(site: Path) -> None:
    install(site, "peft", "0.17.1", "")
    assert "problem: peft 0.17.1 is stock, and affected; use the tagged wheel 0.17.1-1kwargs1" in doctor(site)


def test_doctor_on_the_local_version_says_that_it_is_refused(site: Path) -> None:
    patched(site, find("0.17.1", load()), tagged=False)
    answer = doctor(site)
    assert "ok: peft 0.17.1+kwargs.1 is patched" in answer
    assert f"problem: {REFUSES}; use the tagged wheel 0.17.1-1kwargs1" in answer


def test_doctor_on_the_tagged_wheel_is_content(site: Path) -> None:
    patched(site, find("0.17.1", load()), tagged=True)
    answer = doctor(site)
    assert "ok: peft 0.17.1 is patched: it is 0.17.1-1kwargs1" in answer
    assert "ok: llamafactory 0.9.4 takes it" in answer
    assert "refuses" not in answer


def test_doctor_on_a_release_that_is_not_allowed(site: Path) -> None:
    patched(site, find("0.18.1", load()), tagged=True)
    answer = doctor(site)
    assert "problem: llamafactory 0.9.4 requires peft<=0.17.1,>=0.14.0; use the tagged wheel 0.17.1-1kwargs1" in answer


def test_doctor_names_guards(site: Path) -> None:
    """No refusal, but the program takes the local version for a newer release than it is."""
    install(site, "trl", "1.16.0", 'Requires-Dist: peft; extra == "peft"', GUARD)
    patched(site, find("0.17.1", load()), tagged=False)
    guard = "note: trl 1.16.0 compares peft<=0.17.1 (trl.py, line 4), which does not hold for 0.17.1+kwargs.1"
    assert guard in doctor(site)


def test_the_wheel_of_a_release_without_frameworks() -> None:
    assert not wheel_of(find("0.17.1", load()), []).tagged
