"""Tagged wheels: upstream's version exactly, and a build tag that names them as ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import parse_wheel_filename
from wheel.wheelfile import WheelFile

from patchset.dist import index as _static_index
from patchset.dist.artifacts import read, scan
from patchset.dist.build import build_wheels
from patchset.doctor import installed, requested
from patchset.errors import PatchsetError
from patchset.pins import Release, find, load
from patchset.wheels.wheel import write
from tests.patchset.test_backend import done, hook, metadata, run
from tests.patchset.test_doctor import said
from tests.patchset.tool import Run, environment

TAGGED = "peft-0.18.1-1kwargs1-py3-none-any.whl"
LOCAL = "peft-0.18.1+kwargs.1-py3-none-any.whl"
INFO = "peft-0.18.1.dist-info"
SETTINGS = "{'upstream': '0.18.1', 'version': 'upstream'}"
GOOD, BAD = "a" * 64, "b" * 64


@pytest.fixture(scope="session")
def tagged(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tagged wheel of that release, as the checkout builds it."""
    return build_wheels([release], tmp_path_factory.mktemp("tagged"), tagged=True)[0]


@pytest.fixture
def dist(wheel: Path, tagged: Path, tmp_path: Path) -> Path:
    """Both wheels in a folder."""
    folder = tmp_path / "dist"
    folder.mkdir()
    shutil.copy(wheel, folder)
    shutil.copy(tagged, folder)
    return folder


def test_name_metadata_and_module_agree(tagged: Path) -> None:
    assert tagged.name == TAGGED
    _, version, tag, _ = parse_wheel_filename(tagged.name)
    assert (str(version), tag) == ("0.18.1", (1, "kwargs1"))
    assert metadata(tagged)["Version"] == "0.18.1"
    with ZipFile(tagged) as archive:
        assert b'\n__version__ = "0.18.1"\n' in archive.read("peft/__init__.py")
        assert b"\nBuild: 1kwargs1\n" in archive.read(f"{INFO}/WHEEL")


def test_notice_and_sbom_say_what_it_is(tagged: Path, release: Release) -> None:
    with ZipFile(tagged) as archive:
        notice = archive.read(f"{INFO}/licenses/NOTICE").decode()
        document = archive.read(f"{INFO}/sboms/peft.cdx.json").decode()
        module = archive.read("peft/utils/other.py").decode()
    assert notice.startswith("peft 0.18.1, build 1kwargs1\n")
    assert "keeps upstream's version" in notice
    assert "The version was also changed" not in notice
    assert module.splitlines()[-1] == "# Changed from peft 0.18.1 by 0.18.1-1kwargs1; see NOTICE beside its licence."
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document) is None
    component = json.loads(document)["metadata"]["component"]
    assert component["version"] == "0.18.1"
    assert component["purl"] == f"pkg:pypi/peft@0.18.1?file_name={TAGGED}"
    assert [ancestor["hashes"][0]["content"] for ancestor in component["pedigree"]["ancestors"]] == [release.sha256]


def test_it_differs_from_the_other_wheel_in_its_version_alone(tagged: Path, wheel: Path) -> None:
    with ZipFile(tagged) as ours, ZipFile(wheel) as other:
        mine = {name: ours.read(name) for name in ours.namelist() if ".dist-info/" not in name}
        theirs = {name: other.read(name) for name in other.namelist() if ".dist-info/" not in name}
    mended = {
        name: data.replace(b"0.18.1+kwargs.1;", b"0.18.1-1kwargs1;").replace(b'"0.18.1+kwargs.1"', b'"0.18.1"')
        for name, data in theirs.items()
    }
    assert mine == mended
    assert mine != theirs


def test_same_bytes_through_pip_and_uv(tagged: Path, checkout: Path, tmp_path: Path) -> None:
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path / "pip")
    done(run(*pip, "-C", "upstream=0.18.1", "-C", "version=upstream", ".", cwd=checkout, TZ="Asia/Tokyo"))
    uv = ("uv", "build", "--wheel", "-C", "upstream=0.18.1", "-o", tmp_path / "uv")
    done(run(*uv, cwd=checkout, PEFT_VERSION="upstream"))
    for folder in ("pip", "uv"):
        assert (tmp_path / folder / TAGGED).read_bytes() == tagged.read_bytes(), folder


def test_the_setting_wins_over_the_environment(checkout: Path, tmp_path: Path) -> None:
    local = hook(checkout, "build_wheel", tmp_path / "out", "{'upstream': '0.18.1', 'version': 'local'}")
    done(run(*local, cwd=checkout, PEFT_VERSION="upstream"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [LOCAL]


def test_options_for_setuptools_take_no_tag_away(checkout: Path, tmp_path: Path) -> None:
    """Without it the file would have stock's name."""
    settings = "{'upstream': '0.18.1', 'version': 'upstream', '--build-option': '--build-number=7'}"
    done(run(*hook(checkout, "build_wheel", tmp_path / "out", settings), cwd=checkout))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [TAGGED]


@pytest.mark.parametrize("variables", [{}, {"PEFT_VERSION": "0.18.1"}], ids=["setting", "environment"])
def test_any_other_value_is_refused(checkout: Path, tmp_path: Path, variables: dict[str, str]) -> None:
    settings = "{'upstream': '0.18.1'}" if variables else "{'upstream': '0.18.1', 'version': '0.18.1'}"
    result = run(*hook(checkout, "build_wheel", tmp_path / "out", settings), cwd=checkout, **variables)
    assert result.returncode == 1
    assert result.stderr.startswith("error: `version` (PEFT_VERSION) is `local` or `upstream`, not '0.18.1'")
    assert len(result.stderr.splitlines()) == 1
    assert not list((tmp_path / "out").iterdir())


def test_there_is_no_tagged_sdist(checkout: Path, tmp_path: Path) -> None:
    """Its name would be upstream's own."""
    result = run(*hook(checkout, "build_sdist", tmp_path / "out", SETTINGS), cwd=checkout)
    assert result.returncode == 1
    assert "would have the name of upstream's" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list((tmp_path / "out").iterdir())


def test_editable(checkout: Path, tmp_path: Path) -> None:
    done(run(*hook(checkout, "build_editable", tmp_path / "out", SETTINGS), cwd=checkout))
    done(run(*hook(checkout, "build_editable", tmp_path / "other"), cwd=checkout))
    trees = {path.name for path in (checkout / "vendor").iterdir() if path.is_dir()}
    assert trees == {"peft-0.18.1+kwargs.1", "peft-0.18.1-1kwargs1"}
    (built,) = (tmp_path / "out").glob("*.whl")
    assert metadata(built)["Version"] == "0.18.1"
    assert '"0.18.1"' in (checkout / "vendor" / "peft-0.18.1-1kwargs1" / "src" / "peft" / "__init__.py").read_text()


@pytest.mark.parametrize("client", ["pip", "uv"])
def test_installers_prefer_it_to_stock(tagged: Path, wheel: Path, tmp_path: Path, client: str) -> None:
    """Stock lies beside it, here with the other wheel's files under stock's name: the name alone decides."""
    folder = tmp_path / "files"
    folder.mkdir()
    shutil.copy(tagged, folder)
    with ZipFile(tagged) as old, ZipFile(folder / "peft-0.18.1-py3-none-any.whl", "w") as stock:
        for name in old.namelist():
            if not name.endswith("/NOTICE"):
                stock.writestr(name, old.read(name))
    commands = {
        "pip": [sys.executable, "-m", "pip", "install", "--no-cache-dir"],
        "uv": ["uv", "pip", "install", "--no-cache", "--python", sys.executable],
    }
    alone = environment(PIP_CONFIG_FILE="/dev/null", PIP_FIND_LINKS=None, UV_FIND_LINKS=None, UV_NO_CONFIG="1")
    target = ["--no-deps", "--no-index", "--find-links", str(folder), "--target", str(tmp_path / "site")]
    subprocess.run([*commands[client], *target, "peft<=0.18.1"], env=alone, check=True, capture_output=True)
    assert (tmp_path / "site" / INFO / "licenses" / "NOTICE").is_file()


def test_build_and_index(tool: Run, checkout: Path) -> None:
    built = tool(checkout, "build", "0.18.1", "--tagged", "--json")
    assert built.returncode == 0, built.stderr
    assert [Path(wheel["path"]).name for wheel in json.loads(built.stdout)] == [TAGGED]
    assert tool(checkout, "build", "0.18.1").returncode == 0
    result = tool(checkout, "index", "dist", "--json")
    assert result.returncode == 0, result.stderr
    for folder, name in (("simple", LOCAL), ("tagged", TAGGED)):
        page = json.loads((checkout / "dist" / folder / "peft" / "index.json").read_text())
        assert [file["filename"] for file in page["files"]] == [name], "an index serves one kind"
    assert {Path(path).name for path in json.loads(result.stdout)["indexes"]} == {"simple", "tagged"}
    (checkout / "dist" / TAGGED).unlink()
    assert tool(checkout, "index", "dist").returncode == 0
    assert not (checkout / "dist" / "tagged").exists()


def test_index_of_tagged_wheels_alone(tagged: Path, tmp_path: Path) -> None:
    shutil.copy(tagged, tmp_path)
    _static_index.write(tmp_path, scan(tmp_path)[0])
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"tagged"}


def test_a_released_wheel_is_compared(dist: Path) -> None:
    files, _ = scan(dist)
    (file,) = [file for file in files if file.tagged]
    pin = vars(find("0.18.1", load()))
    _static_index.compare(files, [Release(**{**pin, "wheel": "", "tagged_wheel": file.sha256})])
    with pytest.raises(PatchsetError, match=f"{TAGGED} is not the released wheel"):
        _static_index.compare(files, [Release(**{**pin, "wheel": "", "tagged_wheel": GOOD})])


def test_stock_under_our_name(tagged: Path, tmp_path: Path) -> None:
    """What a stock wheel says of itself has no build tag."""
    with ZipFile(tagged) as old, ZipFile(tmp_path / TAGGED, "w") as new:
        wheel = old.read(f"{INFO}/WHEEL").replace(b"Build: 1kwargs1\n", b"")
        record = "".join(
            line for line in old.read(f"{INFO}/RECORD").decode().splitlines(keepends=True) if "/WHEEL," not in line
        )
        for name in old.namelist():
            data = {f"{INFO}/WHEEL": wheel, f"{INFO}/RECORD": f"{record}{INFO}/WHEEL,,\n".encode()}
            new.writestr(name, data.get(name, old.read(name)))
    with pytest.raises(PatchsetError, match="was renamed|was changed"):
        read(tmp_path / TAGGED)


def test_two_revisions_of_a_version(dist: Path) -> None:
    """Lockers would take the hashes of both."""
    with WheelFile(dist / TAGGED) as old:
        content = {name: old.read(name) for name in old.namelist() if name != old.record_path}
    content[f"{INFO}/WHEEL"] = content[f"{INFO}/WHEEL"].replace(b"1kwargs1", b"2kwargs2")
    write(dist / TAGGED.replace("1kwargs1", "2kwargs2"), content)
    with pytest.raises(PatchsetError, match="have the same version; a version has one wheel"):
        scan(dist)


def test_status_names_both(tool: Run, checkout: Path) -> None:
    table = tool(checkout, "status").stdout
    assert " 0.18.1-1kwargs1 " in table
    assert " nested-modules-to-save " in table, "nothing is cut off"
    rows = json.loads(tool(checkout, "status", "--json").stdout)
    assert {row["release"]: row["tagged_wheel"] for row in rows}["0.18.1"] == TAGGED


def test_update_locks_it_and_reproducible_compares_it(tool: Run, checkout: Path, tagged: Path, dist: Path) -> None:
    assert tool(checkout, "verify", "0.18.1", "--update").returncode == 0
    pins = checkout / "vendor" / "releases.toml"
    locked = find("0.18.1", load(pins))
    assert locked.tagged_wheel == read(tagged).sha256
    assert locked.wheel == read(dist / LOCAL).sha256
    pins.write_text(pins.read_text().replace(locked.tagged_wheel, "0" * 64))
    changed = tool(checkout, "verify", "0.18.1", "--reproducible")
    assert changed.returncode == 1
    assert f"{TAGGED} has sha256 {locked.tagged_wheel}, locked is {'0' * 64}" in changed.stdout


@pytest.fixture
def python(tagged: Path, tmp_path: Path) -> Path:
    """An environment with the tagged wheel in it."""
    venv = tmp_path / "venv"
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, venv], check=True)
    install = ["uv", "pip", "install", "--quiet", "--link-mode", "copy", "--no-deps", "--python", str(venv)]
    subprocess.run([*install, str(tagged)], check=True)
    return venv / "bin" / "python"


@pytest.fixture
def released(tagged: Path) -> list[Release]:
    """The pins, with the wheel's digest locked."""
    digest = read(tagged).sha256
    return [Release(**{**vars(pin), "tagged_wheel": digest if pin.version == "0.18.1" else ""}) for pin in load()]


def test_doctor_tells_it_from_stock(python: Path, released: list[Release]) -> None:
    answer = said(installed.examine(str(python), released))
    assert "ok: peft 0.18.1 is patched: it is 0.18.1-1kwargs1" in answer
    assert "ok: they are the released wheel's" in answer
    assert "problem" not in answer

    site = next(python.parent.parent.glob("lib/python*/site-packages"))
    (site / "peft" / "helpers.py").write_text("")
    assert "problem: differs from its RECORD: peft/helpers.py (changed)" in said(
        installed.examine(str(python), released)
    )
    # without what RECORD says of its origin, it is stock of that version
    record = site / INFO / "RECORD"
    record.write_text("".join(line for line in record.read_text().splitlines(True) if "/sboms/" not in line))
    assert "problem: peft 0.18.1 is stock, and affected" in said(installed.examine(str(python), released))


def test_doctor_finds_a_changed_file_with_its_record(python: Path, released: list[Release]) -> None:
    site = next(python.parent.parent.glob("lib/python*/site-packages"))
    record = site / INFO / "RECORD"
    lines = [line for line in record.read_text().splitlines() if not line.startswith("peft/utils/other.py")]
    (site / "peft" / "utils" / "other.py").write_text("")
    record.write_text("\n".join([*lines, "peft/utils/other.py,,", ""]))
    answer = said(installed.examine(str(python), released))
    assert "problem: they are not the released wheel's" in answer


def test_doctor_knows_other_revisions(python: Path, released: list[Release]) -> None:
    newer = [Release(**{**vars(pin), "revision": 2}) for pin in released]
    assert "note: peft 0.18.1 is patched, of another revision, 0.18.1-1kwargs1; " in said(
        installed.examine(str(python), newer)
    )


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (f"peft @ https://example.org/{TAGGED} --hash=sha256:{GOOD}\n", "ok: the hash is the released wheel's"),
        (f"peft @ https://example.org/{TAGGED}#sha256={GOOD}\n", "ok: the hash is the released wheel's"),
        (f"peft @ https://example.org/{TAGGED}\n", "note: no hash is given"),
        (f"peft @ https://example.org/{TAGGED} --hash=sha256:{BAD}\n", f"not the released wheel's, {GOOD}"),
        (f"peft==0.18.1 --hash=sha256:{GOOD}\n", "ok: peft 0.18.1 is patched: it is 0.18.1-1kwargs1"),
        (f"peft==0.18.1 --hash=sha256:{GOOD} --hash=sha256:{BAD}\n", "problem: other files of the same version"),
        (f"peft==0.18.1 --hash=sha256:{BAD}\n", "problem: peft 0.18.1 is stock, and affected"),
    ],
)
def test_doctor_reads_requirements(tmp_path: Path, text: str, answer: str) -> None:
    pins = [Release(**{**vars(pin), "tagged_wheel": GOOD if pin.version == "0.18.1" else ""}) for pin in load()]
    (tmp_path / "requirements.txt").write_text(text)
    found = said(requested.examine(tmp_path / "requirements.txt", pins))
    assert answer in found
    if answer.startswith("ok"):
        assert "ok: peft 0.18.1 is patched: it is 0.18.1-1kwargs1" in found
        assert "problem" not in found


@pytest.mark.parametrize("digests", [[GOOD], [BAD], [GOOD, BAD], [BAD, GOOD]])
@pytest.mark.parametrize(
    ("name", "head", "file"),
    [
        ("uv.lock", "version = 1\n[[package]]", '{{url = "https://example.org/{file}", hash = "sha256:{hash}"}}'),
        (
            "poetry.lock",
            "[metadata]\nlock-version = '2.1'\n[[package]]",
            '{{file = "{file}", hash = "sha256:{hash}"}}',
        ),
        (
            "pylock.toml",
            "lock-version = '1.0'\ncreated-by = 'a'\n[[packages]]",
            '{{url = "https://example.org/{file}", hashes = {{sha256 = "{hash}"}}}}',
        ),
    ],
)
def test_doctor_reads_lock_files(tmp_path: Path, name: str, head: str, file: str, digests: list[str]) -> None:
    pins = [Release(**{**vars(pin), "tagged_wheel": GOOD if pin.version == "0.18.1" else ""}) for pin in load()]
    names = {GOOD: TAGGED, BAD: "peft-0.18.1-py3-none-any.whl"}
    files = ", ".join(file.format(file=names[digest], hash=digest) for digest in digests)
    (tmp_path / name).write_text(f'{head}\nname = "peft"\nversion = "0.18.1"\nwheels = [{files}]\n')
    answer = said(requested.examine(tmp_path / name, pins))
    assert ("ok: peft 0.18.1 is patched: it is 0.18.1-1kwargs1" in answer) == (GOOD in digests)
    assert ("problem: peft 0.18.1 is stock" in answer) == (digests == [BAD])
    assert ("problem: other files of the same version" in answer) == (len(digests) == 2)
