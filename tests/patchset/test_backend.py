"""The backend, through the real front ends: pip, uv and build. Each test builds real wheels of a real release."""

from __future__ import annotations

import email
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest
from wheel.wheelfile import WheelFile

from patchset.errors import PatchsetError
from patchset.pins import Release, load
from patchset.sources.unpack import unpack
from patchset.wheels.fork import fork
from tests.patchset.tool import environment, files

WHEEL = "peft-0.18.1+kwargs.1-py3-none-any.whl"
PIP_WHEEL = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir")


def run(*command: str | Path, cwd: Path, **variables: str | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def done(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def hook(checkout: Path, name: str, output: Path, settings: str = "{'upstream': '0.18.1'}") -> list[str]:
    """The command that calls a hook as a front end does: its own process, in the source folder."""
    output.mkdir(exist_ok=True)
    return [sys.executable, "-c", f"from patchset import backend; print(backend.{name}({str(output)!r}, {settings}))"]


@pytest.fixture(scope="module")
def stock_wheel(release: Release, sdist: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stock's wheel of the same release, by the same setuptools."""
    folder = tmp_path_factory.mktemp("stock")
    (folder / release.sdist).write_bytes(sdist)
    done(run(*PIP_WHEEL, folder, "--no-build-isolation", folder / release.sdist, cwd=folder))
    return next(folder.glob("*.whl"))


def test_same_bytes_through_pip_and_uv_and_from_our_sdist(wheel: Path, checkout: Path, tmp_path: Path) -> None:
    upstream = "upstream=0.18.1"
    done(run(*PIP_WHEEL, tmp_path / "pip", "-C", upstream, ".", cwd=checkout, TZ="Asia/Tokyo", LC_ALL="C"))
    # the sdist first, and the wheel from that; the other release in the environment must not get in
    done(run("uv", "build", "-C", upstream, "-o", tmp_path / "uv", cwd=checkout, PEFT_UPSTREAM="0.19.1"))
    assert sorted(path.name for path in (tmp_path / "uv").glob("peft-*")) == [WHEEL, "peft-0.18.1+kwargs.1.tar.gz"]
    for folder in ("pip", "uv"):
        assert (tmp_path / folder / WHEEL).read_bytes() == wheel.read_bytes(), folder


def test_our_sdist_builds_with_no_index_and_no_cache(wheel: Path, checkout: Path, tmp_path: Path) -> None:
    name = done(run(*hook(checkout, "build_sdist", tmp_path / "out"), cwd=checkout)).split()[-1]
    source = unpack((tmp_path / "out" / name).read_bytes(), tmp_path, name.removesuffix(".tar.gz"))
    offline = {"PATCHSET_CACHE": str(tmp_path / "empty"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": None}
    requires = hook(source, "get_requires_for_build_wheel", tmp_path / "w", "{}")
    requires[-1] = "from patchset import backend; print(backend.get_requires_for_build_wheel())"
    assert done(run(*requires, cwd=source, **offline)).strip() == "[]"
    done(run(*hook(source, "build_wheel", tmp_path / "w", "{}"), cwd=source, **offline))
    assert (tmp_path / "w" / WHEEL).read_bytes() == wheel.read_bytes()
    other = run(*hook(source, "build_wheel", tmp_path / "w", "{'upstream': '0.19.1'}"), cwd=source, **offline)
    assert "'0.19.1' is not pinned" in other.stderr


def test_needs_a_client_only_to_download(checkout: Path, tmp_path: Path) -> None:
    code = "from patchset import backend; print(backend.get_requires_for_build_wheel())"
    empty = run(sys.executable, "-c", code, cwd=checkout, PATCHSET_CACHE=str(tmp_path))
    assert "pip==" in done(empty)
    assert done(run(sys.executable, "-c", code, cwd=checkout)).strip() in ("[]", done(empty).strip())


def test_a_damaged_cache_entry_is_downloaded_anew(checkout: Path, tmp_path: Path) -> None:
    """It does not count as being there when it is asked what a build needs."""
    (tmp_path / load()[-1].sdist).write_bytes(b"half of it")
    code = "from patchset import backend; print(backend.get_requires_for_build_wheel())"
    alone = {"PATCHSET_CACHE": str(tmp_path), "PIP_FIND_LINKS": None, "UV_FIND_LINKS": None}
    assert "pip==" in done(run(sys.executable, "-c", code, cwd=checkout, **alone))
    assert not list(tmp_path.glob("*.tar.gz"))


@pytest.mark.parametrize(
    "variables",
    [{"PIP_NO_INDEX": "1"}, {"UV_OFFLINE": "true"}, {"HTTPS_PROXY": "http://me:secret@127.0.0.1:9"}],
    ids=lambda variables: next(iter(variables)),
)
def test_without_a_network_the_missing_sdist_is_named(
    checkout: Path, tmp_path: Path, variables: dict[str, str]
) -> None:
    """And not the client that would have to be installed first."""
    code = "from patchset import backend; print(backend.get_requires_for_build_wheel({'upstream': '0.18.1'}))"
    nothing = {"PIP_FIND_LINKS": None, "UV_FIND_LINKS": None, "PATCHSET_CACHE": str(tmp_path / "cache"), **variables}
    result = run(sys.executable, "-c", code, cwd=checkout, **nothing)
    assert result.returncode == 1
    assert result.stderr.startswith("error: peft-0.18.1.tar.gz is neither in ")
    assert len(result.stderr.splitlines()) == 1
    assert "secret" not in result.stderr


def test_an_sdist_in_find_links(checkout: Path, tmp_path: Path, sdist: bytes) -> None:
    (tmp_path / "peft-0.18.1.tar.gz").write_bytes(sdist)
    code = "from patchset import backend; print(backend.get_requires_for_build_wheel({'upstream': '0.18.1'}))"
    here = {"PATCHSET_CACHE": str(tmp_path / "cache"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": tmp_path.as_uri()}
    assert done(run(sys.executable, "-c", code, cwd=checkout, **here)).strip() == "[]"


@pytest.mark.parametrize(
    ("settings", "variables", "message"),
    [
        ("{'upstrem': '0.18.1'}", {}, "unknown setting upstrem; did you mean upstream?"),
        ("{'PEFT_UPSTREAM': '0.18.1'}", {}, "unknown setting PEFT_UPSTREAM; did you mean upstream?"),
        ("{}", {"PEFT_UPSTREM": "0.18.1"}, "unknown setting PEFT_UPSTREM; did you mean PEFT_UPSTREAM?"),
    ],
)
def test_a_misspelt_setting_is_refused(
    checkout: Path, tmp_path: Path, settings: str, variables: dict[str, str], message: str
) -> None:
    result = run(*hook(checkout, "build_wheel", tmp_path / "out", settings), cwd=checkout, **variables)
    assert result.returncode == 1
    assert result.stderr == f"error: {message}\n"


def test_settings_that_are_setuptools_own_are_handed_on(wheel: Path, checkout: Path, tmp_path: Path) -> None:
    settings = "{'upstream': '0.18.1', 'editable_mode': 'strict', '--global-option': '--quiet'}"
    done(run(*hook(checkout, "build_wheel", tmp_path / "out", settings), cwd=checkout))
    assert (tmp_path / "out" / WHEEL).read_bytes() == wheel.read_bytes()


def test_a_clone_with_crlf_line_ends_builds_the_same(wheel: Path, checkout: Path, tmp_path: Path) -> None:
    """What the Windows installer of git sets up: .gitattributes keeps the bytes."""
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "core.autocrlf=true")
    done(run("git", "init", "--quiet", cwd=checkout))
    done(run("git", "add", "--all", cwd=checkout))
    done(run(*git, "commit", "--quiet", "--message", "all", cwd=checkout))
    done(run(*git, "clone", "--quiet", checkout, tmp_path / "clone", cwd=tmp_path))
    series = (tmp_path / "clone" / "patches").rglob("*.patch")
    assert not [path for path in series if b"\r\n" in path.read_bytes()]
    done(run(*hook(tmp_path / "clone", "build_wheel", tmp_path / "out"), cwd=tmp_path / "clone"))
    assert (tmp_path / "out" / WHEEL).read_bytes() == wheel.read_bytes()


def metadata(path: Path) -> Message:
    with ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_upstreams_metadata_come_through(wheel: Path, stock_wheel: Path) -> None:
    ours, stock = metadata(wheel), metadata(stock_wheel)
    assert ours["Version"] == "0.18.1+kwargs.1"
    added = [("License-File", "NOTICE"), ("Maintainer", fork().maintainer)]
    expected = [(key, ours["Version"] if key == "Version" else value) for key, value in stock.items()]
    assert [item for item in ours.items() if item not in added] == expected
    assert ours.get_payload() == stock.get_payload()


def test_contents_are_stocks_but_for_the_patches(wheel: Path, stock_wheel: Path) -> None:
    with WheelFile(wheel) as ours, WheelFile(stock_wheel) as stock:
        assert all(entry.compress_type == ZIP_STORED for entry in ours.infolist())
        mine = {name: ours.read(name) for name in ours.namelist() if ".dist-info/" not in name}
        theirs = {name: stock.read(name) for name in stock.namelist() if ".dist-info/" not in name}
        notice = ours.read(f"{ours.dist_info_path}/licenses/NOTICE").decode()
        assert ours.read(f"{ours.dist_info_path}/licenses/LICENSE") == stock.read(
            f"{stock.dist_info_path}/licenses/LICENSE"
        )
    assert mine.keys() == theirs.keys()
    changed = {name for name in mine if mine[name] != theirs[name]}
    assert "peft/utils/other.py" in changed
    assert all(f"src/{name}" in notice for name in changed)
    assert b'__version__ = "0.18.1+kwargs.1"' in mine["peft/__init__.py"]
    for name in changed - {"peft/__init__.py"}:
        assert b"# Changed from peft 0.18.1 by 0.18.1+kwargs.1" in mine[name].splitlines()[-1]


COUNTED = """
import os
_locked_tree = locked_tree
def locked_tree(*arguments):
    with open(os.environ["COUNTED"], "a") as file:
        file.write("once\\n")
    return _locked_tree(*arguments)
"""


@pytest.mark.parametrize(
    "command",
    [
        (*PIP_WHEEL, "out", "."),
        (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", "out", "."),
        ("uv", "pip", "install", "--quiet", "--no-deps", "--no-cache", "--target", "out", "."),
        ("uv", "build", "--quiet", "--wheel", "-o", "out"),
    ],
    ids=["pip wheel", "pip install", "uv pip install", "uv build"],
)
def test_a_build_patches_one_tree(checkout: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Where metadata are wanted first, front ends build the wheel and read them from it, as there is no other hook."""
    with (checkout / "patchset" / "series" / "tree.py").open("a") as file:
        file.write(COUNTED)
    done(run(*command, cwd=checkout, COUNTED=str(tmp_path / "counted")))
    assert (tmp_path / "counted").read_text() == "once\n"


def test_builds_leave_the_checkout_alone(checkout: Path, tmp_path: Path) -> None:
    before = files(checkout)
    done(run(*hook(checkout, "build_wheel", tmp_path / "out"), cwd=checkout))
    done(run(*hook(checkout, "build_sdist", tmp_path / "out"), cwd=checkout))
    assert files(checkout) == before, "so a read-only checkout will do"


def test_editable(checkout: Path, tmp_path: Path) -> None:
    command = hook(checkout, "build_editable", tmp_path / "out")
    done(run(*command, cwd=checkout))
    tree = checkout / "vendor" / "peft-0.18.1+kwargs.1"
    with ZipFile(next((tmp_path / "out").glob("*.whl"))) as archive:
        pth = next(name for name in archive.namelist() if name.endswith(".pth"))
        assert archive.read(pth).decode().strip() == str(tree / "src")
    module = tree / "src" / "peft" / "utils" / "other.py"
    module.write_text(module.read_text() + "# mine\n")
    assert "was edited; it stays as it is" in run(*command, cwd=checkout).stderr
    assert module.read_text().endswith("# mine\n")
    shutil.rmtree(tree)
    done(run(*command, cwd=checkout))
    assert not module.read_text().endswith("# mine\n")


def test_editable_tree_follows_the_patches_unless_edited(checkout: Path, tmp_path: Path, release: Release) -> None:
    """A tree of an older state of the patches is laid out anew."""
    done(run(*hook(checkout, "build_editable", tmp_path / "out"), cwd=checkout))
    tree = checkout / "vendor" / "peft-0.18.1+kwargs.1"
    module = tree / "src" / "peft" / "utils" / "other.py"
    now = module.read_bytes()
    module.write_bytes(now + b"# of an older patch\n")
    code = (
        "from pathlib import Path; from patchset.wheels.editable import _digest;"
        f"Path({str(tree.parent / f'.{tree.name}.digest')!r}).write_text(_digest(Path({str(tree)!r})))"
    )
    done(run(sys.executable, "-c", code, cwd=checkout))
    done(run(*hook(checkout, "build_editable", tmp_path / "out"), cwd=checkout))
    assert module.read_bytes() == now


def test_two_builds_at_once(wheel: Path, checkout: Path, tmp_path: Path) -> None:
    command = hook(checkout, "build_wheel", tmp_path / "out")
    editable = hook(checkout, "build_editable", tmp_path / "editable")
    with ThreadPoolExecutor(4) as pool:
        results = list(
            pool.map(lambda arguments: run(*arguments, cwd=checkout), [command, command, editable, editable])
        )
    for result in results:
        done(result)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [WHEEL]
    assert (tmp_path / "out" / WHEEL).read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize("seconds", [0.3, 0.8, 1.4])
def test_interrupted_build_leaves_nothing_and_starts_again(
    wheel: Path, checkout: Path, tmp_path: Path, seconds: float
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = files(checkout)
    command = hook(checkout, "build_wheel", tmp_path / "out")
    process = subprocess.Popen(
        command,
        cwd=checkout,
        env=environment(TMPDIR=str(scratch)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert files(checkout) == before
    assert all(path.name == WHEEL for path in (tmp_path / "out").iterdir() if not path.name.startswith(".partial-"))
    done(run(*command, cwd=checkout))
    assert (tmp_path / "out" / WHEEL).read_bytes() == wheel.read_bytes()


def test_full_disk(checkout: Path, tmp_path: Path) -> None:
    """A file-size limit stands in for a full disk: the write fails half-way, with the same kind of error."""
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000));"
        f"from patchset import backend; backend.build_wheel({str(tmp_path / 'out')!r}, {{'upstream': '0.18.1'}})"
    )
    (tmp_path / "out").mkdir()
    result = run(sys.executable, "-c", code, cwd=checkout)
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith("error: ")
    assert not list((tmp_path / "out").iterdir())


def test_tampered_patch_and_digest(checkout: Path, tmp_path: Path, release: Release) -> None:
    patch = next((checkout / "patches" / release.series).glob("0001-*.patch"))
    text = patch.read_text()
    added = next(line for line in text.splitlines() if line.startswith("+        ") and "def " in line)
    patch.write_text(text.replace(added, f"{added}  # not reviewed"))
    result = run(*hook(checkout, "build_wheel", tmp_path / "out"), cwd=checkout)
    assert result.returncode == 1
    assert f"{release.tree} is locked" in result.stderr
    assert not list((tmp_path / "out").iterdir())


def test_unknown_release_through_pip(checkout: Path, tmp_path: Path) -> None:
    result = run(*PIP_WHEEL, tmp_path / "w", "-C", "upstream=0.18.2", ".", cwd=checkout)
    assert result.returncode != 0
    assert "error: release '0.18.2' is not pinned. Did you mean 0.18.1?" in result.stderr
    assert "Traceback" not in result.stderr


def test_patched_twice_is_impossible(release: Release, tmp_path: Path) -> None:
    """A patched tree takes none of its patches again: the lines they change are no longer there."""
    from patchset.series.apply import apply_series
    from patchset.series.tree import patch_tree
    from patchset.sources.sdists import Sdists

    tree = patch_tree(release, tmp_path, Sdists())
    for patch in tree.patches:
        with pytest.raises(PatchsetError, match="does not apply|has already"):
            apply_series(tree.path, [patch], allow_offsets=True)


def test_output_respects_the_umask(checkout: Path, tmp_path: Path) -> None:
    command = hook(checkout, "build_wheel", tmp_path / "out")
    command[-1] = "import os; os.umask(0o027); " + command[-1]
    done(run(*command, cwd=checkout))
    assert (tmp_path / "out" / WHEEL).stat().st_mode & 0o777 == 0o640
