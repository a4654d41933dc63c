"""``doctor FILE``: each format that people have, with a file that it has to complain about and one that is right."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from patchset.doctor import requested
from patchset.doctor.findings import Finding
from patchset.errors import PatchsetError
from patchset.pins import Release, load
from tests.patchset.tool import Run

GOOD, BAD = "a" * 64, "b" * 64
TAG = "c" * 64
UPSTREAM = "git+https://github.com/huggingface/peft"
WHEEL = "peft-0.18.1%2Bkwargs.1-py3-none-any.whl"
TAGGED = "peft-0.18.1-1kwargs1-py3-none-any.whl"


@pytest.fixture
def releases() -> list[Release]:
    """The pins, as if 0.18.1's wheels had been released."""
    ours = {"wheel": GOOD, "tagged_wheel": TAG}
    none = {"wheel": "", "tagged_wheel": ""}
    return [Release(**{**vars(pin), **(ours if pin.version == "0.18.1" else none)}) for pin in load()]


def said(findings: Iterable[Finding]) -> str:
    return "\n".join(f"{finding.level}: {finding.text}" for finding in findings)


def stock(answer: str) -> bool:
    return "problem: " in answer and ("is stock" in answer or "stock included" in answer)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("peft==0.18.1\n", "problem: peft 0.18.1 is stock, and affected; use peft==0.18.1+kwargs.1"),
        ("peft==0.18.1\n", "`python -m patchset lock 0.18.1 --for pip`"),
        (
            "peft<=0.18.1,>=0.18.0  # as LLaMA-Factory\n",
            "problem: `peft<=0.18.1,>=0.18.0` lets the index decide, stock included; use peft==0.18.1+kwargs.1",
        ),
        ("# nothing\nPEFT[x] == 0.19.1 ; python_version > '3'\n", "use peft==0.19.1+kwargs.1"),
        ("peft==0.20.0\n", "problem: peft 0.20.0 is stock, in which a call by keyword works, but "),
        ("peft==0.20.0\n", " faults are left: trainable-tokens, mixed-batch, "),
        ("peft<0.15\n", "problem: `peft<0.15` excludes every patched release; these exist: 0.15.0+kwargs.1, "),
        ("peft==0.14.0\n", "note: peft 0.14.0 is not among the pinned releases, 0.15.0 to "),
        ("torch\n", "note: FILE does not name peft; what it names may need it"),
        ("peft-tools==1\n", "does not name peft"),
        ("peft==0.18.1+kwargs.1\n", "note: no hash is given"),
        (f"peft==0.18.1+kwargs.1 \\\n    --hash=sha256:{GOOD}\n", "ok: the hash is the released wheel's"),
        (f"peft==0.18.1+kwargs.1 --hash=sha256:{BAD}\n", f"problem: the hash is not the released wheel's, {GOOD}"),
        (f"peft==0.18.1 --hash=sha256:{TAG}\n", "ok: peft 0.18.1 is patched: it is 0.18.1-1kwargs1"),
        (f"peft==0.18.1 --hash=sha256:{TAG} --hash=sha256:{BAD}\n", "problem: other files of the same version are"),
        ("peft==0.18.1+kwargs.9\n", "of another revision"),
        ("peft==0.18.1+cu1\n", "problem: peft 0.18.1+cu1 is somebody else's"),
        ("peft==0.18.*\n", "lets the index decide"),
        ("peft===0.18.1\n", "peft 0.18.1 is stock"),
        # repositories
        (f"{UPSTREAM}@v0.18.1#egg=peft\n", "problem: peft 0.18.1 is stock"),
        (f"-e {UPSTREAM}.git@v0.18.1#egg=peft\n", "problem: peft 0.18.1 is stock"),
        (f"-e {UPSTREAM}\n", "is upstream's repository, stock of no known release"),
        (f"peft @ {UPSTREAM}@main\n", "is upstream's repository at main, stock of no known release"),
        ("git+ssh://git@github.com/huggingface/peft.git@v0.19.1\n", "problem: peft 0.19.1 is stock"),
        (
            "peft @ git+https://example.org/ours\n",
            "problem: peft comes from `git+https://example.org/ours`, and nothing",
        ),
        ("git+https://me:secret@example.org/peft\n", "comes from `git+https://example.org/peft`"),
        (
            "peft @ git+https://example.org/ours@0123abc --config-settings=upstream=0.18.1\n",
            "note: peft is built from `git+https://example.org/ours@0123abc` for 0.18.1",
        ),
        ("https://github.com/huggingface/peft/archive/refs/tags/v0.18.1.zip\n", "problem: peft 0.18.1 is stock"),
        ("peft @ https://github.com/huggingface/peft/archive/main.tar.gz\n", "at main, stock of no known release"),
        ("git+https://github.com/huggingface/trl@v1\n", "does not name peft"),
        # files
        (f"peft @ https://example.org/{WHEEL} --hash=sha256:{GOOD}\n", "ok: peft 0.18.1+kwargs.1 is patched"),
        (f"https://example.org/{WHEEL}#sha256={BAD}\n", "problem: the hash is not the released wheel's"),
        (f"./dist/{WHEEL}\n", "note: no hash is given"),
        (f"https://example.org/{TAGGED} --hash=sha256:{TAG}\n", "ok: peft 0.18.1 is patched: it is 0.18.1-1kwargs1"),
        ("https://example.org/peft-0.18.1-py3-none-any.whl\n", "problem: peft 0.18.1 is stock"),
        ("./peft-0.18.1.tar.gz\n", "problem: peft 0.18.1 is stock"),
        ("./other-1-py3-none-any.whl\n", "does not name peft"),
        # folders
        ("-e ../peft\n", "problem: peft comes from `../peft`, and nothing there says"),
        ("-e .\n", "problem: not looked into, and may bring peft: what `-e .` needs"),
    ],
)
def test_requirements(tmp_path: Path, releases: list[Release], text: str, answer: str) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(text)
    found = said(requested.examine(file, releases))
    assert answer.replace("FILE", str(file)) in found
    assert "secret" not in found


def test_requirements_are_followed(tmp_path: Path, releases: list[Release]) -> None:
    """What another file says counts, too, and narrows what the first one allows."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "requirements.txt").write_text("-r sub/base.txt\n--constraint sub/constraints.txt\n")
    (tmp_path / "sub" / "base.txt").write_text("torch\npeft<=0.18.1,>=0.18.0\n")
    (tmp_path / "sub" / "constraints.txt").write_text("numpy<2\n")
    answer = said(requested.examine(tmp_path / "requirements.txt", releases))
    assert answer.startswith("problem: `peft<=0.18.1,>=0.18.0` lets the index decide, stock included")
    assert answer.endswith("(base.txt, line 2)")
    (tmp_path / "sub" / "constraints.txt").write_text("peft==0.18.1+kwargs.1\n")
    assert "ok: peft 0.18.1+kwargs.1 is patched" in said(requested.examine(tmp_path / "requirements.txt", releases))
    (tmp_path / "sub" / "constraints.txt").write_text("peft==0.18.1\n")
    assert stock(said(requested.examine(tmp_path / "requirements.txt", releases)))
    (tmp_path / "sub" / "constraints.txt").write_text("peft==0.17.1\n")
    assert "contradict each other" in said(requested.examine(tmp_path / "requirements.txt", releases))
    for line, why in (("-r none.txt", "No such file"), ("-r https://example.org/a.txt", "is not downloaded")):
        (tmp_path / "requirements.txt").write_text(f"{line}\n")
        with pytest.raises(PatchsetError, match=why):
            requested.examine(tmp_path / "requirements.txt", releases)
    (tmp_path / "requirements.txt").write_text("-r requirements.txt\n")
    with pytest.raises(PatchsetError, match="recursively references itself"):
        requested.examine(tmp_path / "requirements.txt", releases)


def test_a_project_in_a_folder_is_followed(tmp_path: Path, releases: list[Release]) -> None:
    (tmp_path / "requirements.txt").write_text("-e .[train]\n")
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[project]\nname = "app"\n[project.optional-dependencies]\ntrain = ["peft==0.18.1"]\n')
    assert stock(said(requested.examine(tmp_path / "requirements.txt", releases)))
    (tmp_path / "requirements.txt").write_text("-e .\npeft==0.18.1+kwargs.1\n")
    pyproject.write_text(
        '[project]\nname = "app"\ndynamic = ["dependencies"]\n[tool.uv.sources]\npeft = {path = "a"}\n'
    )
    answer = said(requested.examine(tmp_path / "requirements.txt", releases))
    assert "ok: peft 0.18.1+kwargs.1 is patched" in answer
    assert "problem: not looked into, and may bring peft: its dynamic dependencies of `-e .`" in answer
    assert "no hash is given" in answer
    pyproject.write_text('[project]\nname = "peft"\ndynamic = ["dependencies"]\n')
    (tmp_path / "requirements.txt").write_text("-e .\n")
    answer = said(requested.examine(tmp_path / "requirements.txt", releases))
    assert answer.startswith("problem: peft comes from")
    assert "dynamic" not in answer
    pyproject.write_text('[project]\nname = "app"\ndependencies = ["torch"]\n')
    assert "does not name peft" in said(requested.examine(tmp_path / "requirements.txt", releases))


PROJECT = '[project]\nname = "app"\ndependencies = ["peft<=0.18.1,>=0.18.0"]\n'
EXACT = PROJECT.replace("<=0.18.1,>=0.18.0", "==0.18.1+kwargs.1")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('[project]\ndependencies = ["peft==0.19.1"]\n', "use peft==0.19.1+kwargs.1"),
        (EXACT, "ok: peft 0.18.1+kwargs.1 is patched"),
        ('[project.optional-dependencies]\ntrain = ["peft<=0.18.1"]\n', "use peft==0.18.1+kwargs.1"),
        ('[dependency-groups]\na = ["peft==0.17.1", {include-group = "b"}]\nb = []\n', "use peft==0.17.1+kwargs.1"),
        ('[project]\ndependencies = ["torch"]\n', "does not name peft"),
        ('[project]\nname = "peft-app"\ndescription = "PEFT, easily"\nkeywords = ["peft"]\n', "does not name peft"),
        ('[project]\ndynamic = ["dependencies"]\n', "problem: not looked into, and may bring peft: its dynamic dependencies"),
        # uv
        ('[tool.uv]\ndev-dependencies = ["peft==0.16.0"]\n', "use peft==0.16.0+kwargs.1 (`python -m patchset lock 0.16.0 --for uv`"),
        (PROJECT + '[tool.uv]\noverride-dependencies = ["peft==0.18.1+kwargs.1"]\n', "ok: peft 0.18.1+kwargs.1 is patched"),
        (EXACT + '[tool.uv]\noverride-dependencies = ["peft==0.18.1"]\n', "problem: peft 0.18.1 is stock"),
        (PROJECT + '[tool.uv]\nconstraint-dependencies = ["peft==0.18.1+kwargs.1"]\n', "ok: peft 0.18.1+kwargs.1 is patched"),
        (PROJECT + '[tool.uv]\nconstraint-dependencies = ["peft==0.18.1"]\n', "problem: peft 0.18.1 is stock"),
        ('[tool.uv]\nconstraint-dependencies = ["peft==0.18.1"]\n', "problem: peft 0.18.1 is stock"),
        (
            PROJECT
            + '[tool.uv]\nconfig-settings-package = { peft = { upstream = "0.18.1" } }\n'
            + '[tool.uv.sources]\npeft = { git = "https://example.org/ours" }\n',
            "note: peft is built from `git+https://example.org/ours` for 0.18.1",
        ),
        (
            PROJECT + '[tool.uv.sources]\npeft = { git = "https://github.com/huggingface/peft", tag = "v0.18.1" }\n',
            "problem: peft 0.18.1 is stock",
        ),
        (PROJECT + '[tool.uv.sources]\npeft = { path = "../peft", editable = true }\n', "comes from `../peft`, and nothing"),
        (PROJECT + f'[tool.uv.sources]\npeft = {{ url = "https://example.org/{WHEEL}" }}\n', "ok: peft 0.18.1+kwargs.1 is"),
        (
            PROJECT + '[tool.uv.sources]\npeft = { index = "peft-kwargs" }\n',
            "note: `peft<=0.18.1,>=0.18.0` takes what the index `peft-kwargs`",
        ),
        (PROJECT + '[tool.uv.sources]\npeft = { index = "pypi" }\n', "problem: `peft<=0.18.1,>=0.18.0` takes what the index `pypi`"),
        ('[project]\ndependencies = ["trl"]\n[tool.uv.sources]\npeft = { index = "a" }\n', "source for peft counts for nothing"),
        # PDM
        ('[tool.pdm.dev-dependencies]\ntest = ["peft==0.16.0"]\n', "use peft==0.16.0+kwargs.1 (`python -m patchset lock 0.16.0 --for pdm`"),
        (PROJECT + '[tool.pdm.resolution.overrides]\npeft = "0.18.1+kwargs.1"\n', "ok: peft 0.18.1+kwargs.1 is patched"),
        (EXACT + '[tool.pdm.resolution.overrides]\npeft = ">=0.18"\n', "lets the index decide"),
        (PROJECT + '[[tool.pdm.source]]\nname = "peft-kwargs"\nurl = "a"\ninclude_packages = ["peft"]\n', "note: `peft<="),
        # Poetry
        ('[tool.poetry.dependencies]\npython = "^3.11"\npeft = "0.18.1"\n', "problem: peft 0.18.1 is stock"),
        ('[tool.poetry.dependencies]\npeft = "0.18.1+kwargs.1"\n', "ok: peft 0.18.1+kwargs.1 is patched"),
        ('[tool.poetry.dependencies]\npeft = "^0.18.0"\n', "`peft ^0.18.0` lets the index decide, stock included; use peft==0.18.1+"),
        ('[tool.poetry.dependencies]\npeft = ">=0.15, <0.16 || ^0.17"\n', "use peft==0.17.1+kwargs.1"),
        ('[tool.poetry.group.dev.dependencies]\npeft = {version = "~0.17", extras = []}\n', "use peft==0.17.1+kwargs.1"),
        ('[tool.poetry.dependencies]\npeft = "*"\n', "`peft *` lets the index decide"),
        ('[tool.poetry.dependencies]\npeft = {path = "../peft"}\n', "comes from `../peft`"),
        ('[tool.poetry.dependencies]\npeft = "<0.15"\n', "excludes every patched release"),
        (
            '[tool.poetry.dependencies]\npeft = {git = "https://github.com/huggingface/peft.git", tag = "v0.18.1"}\n',
            "problem: peft 0.18.1 is stock",
        ),
        (PROJECT + '[tool.poetry.dependencies]\npeft = {source = "peft-kwargs"}\n', "note: `peft<=0.18.1,>=0.18.0` takes what"),
        (PROJECT + '[tool.poetry.dependencies]\npeft = {source = "pypi"}\n', "problem: `peft<=0.18.1,>=0.18.0` takes what"),
        (EXACT + '[tool.poetry.dependencies]\npeft = {source = "peft-kwargs"}\n', "ok: peft 0.18.1+kwargs.1 is patched"),
        ('[[tool.poetry.dependencies.peft]]\nversion = "0.18.1"\npython = "<3.11"\n', "problem: peft 0.18.1 is stock"),
        # others
        ('[tool.hatch.envs.train]\ndependencies = ["peft==0.18.1"]\n', "problem: peft 0.18.1 is stock"),
        ('[tool.pixi.pypi-dependencies]\npeft = "==0.18.1"\n', "`tool.pixi.pypi-dependencies.peft`, which has the word peft"),
        ('[tool.mine]\nneeds = ["peft==0.18.1"]\n', "`tool.mine.needs`, which has the word peft"),
    ],
)  # fmt: skip
def test_pyproject(tmp_path: Path, releases: list[Release], text: str, answer: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    found = said(requested.examine(tmp_path / "pyproject.toml", releases))
    assert answer in found
    assert "hash" not in found  # there is no place for one


def test_dynamic_dependencies(tmp_path: Path, releases: list[Release]) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndynamic = ["dependencies"]\n[tool.setuptools.dynamic]\ndependencies = {file = ["base.txt"]}\n'
    )
    (tmp_path / "base.txt").write_text("peft==0.18.1\n")
    assert stock(said(requested.examine(tmp_path / "pyproject.toml", releases)))
    (tmp_path / "base.txt").write_text("torch\n")
    assert "does not name peft" in said(requested.examine(tmp_path / "pyproject.toml", releases))


def test_uv_toml(tmp_path: Path, releases: list[Release]) -> None:
    (tmp_path / "uv.toml").write_text('override-dependencies = ["peft==0.18.1"]\n')
    assert stock(said(requested.examine(tmp_path / "uv.toml", releases)))
    (tmp_path / "uv.toml").write_text('override-dependencies = ["peft==0.18.1+kwargs.1"]\n')
    assert said(requested.examine(tmp_path / "uv.toml", releases)).startswith("ok: peft 0.18.1+kwargs.1 is patched")


UV = 'version = 1\n[[package]]\nname = "peft"\nversion = "VERSION"\n'
POETRY = '[metadata]\nlock-version = "2.1"\n[[package]]\nname = "peft"\nversion = "VERSION"\n'
PDM = '[metadata]\nlock_version = "4.5.0"\n[[package]]\nname = "peft"\nversion = "VERSION"\n'
PYLOCK = 'lock-version = "1.0"\ncreated-by = "a"\n[[packages]]\nname = "peft"\nversion = "VERSION"\n'
WHEELS = f'[[packages.wheels]]\nname = "{WHEEL}"\nurl = "https://example.org/{WHEEL}"\nhashes = {{sha256 = "HASH"}}\n'
LOCKS = {
    "uv.lock": UV + f'wheels = [{{ url = "https://example.org/{WHEEL}", hash = "sha256:HASH" }}]\n',
    "poetry.lock": POETRY + 'files = [{file = "a.whl", hash = "sha256:HASH"}]\n',
    "pdm.lock": PDM + 'files = [{file = "a.whl", hash = "sha256:HASH"}]\n',
    "pylock.toml": PYLOCK + WHEELS.replace("%2B", "+", 1),
    "pylock.train.toml": PYLOCK + WHEELS.replace("%2B", "+", 1),
}


@pytest.mark.parametrize("digest", [GOOD, BAD])
@pytest.mark.parametrize("name", LOCKS)
def test_lock_files(tmp_path: Path, releases: list[Release], name: str, digest: str) -> None:
    text = LOCKS[name].replace("HASH", digest)
    (tmp_path / name).write_text(text.replace("VERSION", "0.18.1+kwargs.1"))
    answer = said(requested.examine(tmp_path / name, releases))
    assert "ok: peft 0.18.1+kwargs.1 is patched" in answer
    assert ("ok: the hash is the released" in answer) == (digest == GOOD)
    assert ("problem: the hash is not" in answer) == (digest == BAD)
    (tmp_path / name).write_text(text.replace("VERSION", "0.18.1").replace("%2Bkwargs.1", "").replace("+kwargs.1", ""))
    answer = said(requested.examine(tmp_path / name, releases))
    assert "problem: peft 0.18.1 is stock, and affected" in answer
    locker = name.partition(".")[0]
    assert f"--for {locker}`" in answer
    text = text.replace("VERSION", "0.18.1").replace("peft", "trl")
    (tmp_path / name).write_text(text.replace("+kwargs.1", "").replace("%2Bkwargs.1", ""))
    assert said(requested.examine(tmp_path / name, releases)) == f"note: {tmp_path / name} does not name peft"


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        (
            "uv.lock",
            UV + 'resolution-markers = ["python_full_version < \'3.11\'"]\n',
            UV + 'resolution-markers = ["python_full_version >= \'3.11\'"]\n',
        ),
        ("poetry.lock", POETRY + 'markers = "python_full_version < \'3.11\'"\n', POETRY + 'markers = "python_full_version >= \'3.11\'"\n'),
        ("pdm.lock", PDM + 'marker = "python_full_version < \'3.11\'"\n', PDM + 'marker = "python_full_version >= \'3.11\'"\n'),
        (
            "pylock.toml",
            PYLOCK + 'marker = "python_full_version < \'3.11\'"\n' + WHEELS.replace("HASH", GOOD).replace("%2B", "+", 1),
            PYLOCK + 'marker = "python_full_version >= \'3.11\'"\n'
            + WHEELS.replace("HASH", GOOD).replace("%2Bkwargs.1", ""),
        ),
    ],
    ids=["uv", "poetry", "pdm", "pylock"],
)  # fmt: skip
def test_several_versions_in_one_lock_file(
    tmp_path: Path, releases: list[Release], name: str, first: str, second: str
) -> None:
    """Each is listed with its markers: one of them being patched says nothing about the other."""
    second = second[second.index("[[") :]
    text = first.replace("VERSION", "0.18.1+kwargs.1") + second.replace("VERSION", "0.18.1")
    (tmp_path / name).write_text(text)
    answer = said(requested.examine(tmp_path / name, releases)).replace('"', "'")
    assert "ok: peft 0.18.1+kwargs.1 is patched where python_full_version < '3.11'" in answer
    assert "says how) where python_full_version >= '3.11'" in answer
    assert "problem: peft 0.18.1 is stock" in answer


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", UV + 'source = { git = "https://example.org/ours#0123abc" }\n'),
        ("poetry.lock", POETRY + '[package.source]\ntype = "git"\nurl = "https://example.org/ours"\nresolved_reference = "0123abc"\n'),
        ("pdm.lock", PDM + 'git = "https://example.org/ours"\nrevision = "0123abc"\n'),
        ("pylock.toml", PYLOCK + 'vcs = {type = "git", url = "https://example.org/ours", commit-id = "0123abc"}\n'),
    ],
)  # fmt: skip
def test_locked_repositories(tmp_path: Path, releases: list[Release], name: str, text: str) -> None:
    (tmp_path / name).write_text(text.replace("VERSION", "0.18.1+kwargs.1"))
    answer = said(requested.examine(tmp_path / name, releases))
    assert "ok: peft 0.18.1+kwargs.1 is patched" in answer
    assert "note: it is built from `git+https://example.org/ours@0123abc`" in answer
    assert "hash" not in answer
    (tmp_path / name).write_text(text.replace("VERSION", "0.18.1"))  # may be tagged, or anybody's
    assert "and nothing there says whether it is patched" in said(requested.examine(tmp_path / name, releases))
    (tmp_path / name).write_text(
        text.replace("VERSION", "0.18.1").replace("example.org/ours", "github.com/huggingface/peft")
    )
    assert "problem: peft 0.18.1 is stock" in said(requested.examine(tmp_path / name, releases))


@pytest.mark.parametrize(
    "name",
    ["Pipfile", "Pipfile.lock", "environment.yml", "environment.yaml", "setup.py", "setup.cfg", "conda-lock.yml"]
    + ["pixi.toml", "pixi.lock", "requirements.yml", "Dockerfile", "notes.md"],
)
def test_formats_that_are_not_read(tool: Run, checkout: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("peft==0.18.1\n")
    result = tool(checkout, "doctor", str(tmp_path / name))
    assert result.returncode == 1
    assert result.stderr == (
        f"error: {name} is of a format that is not read, so that nothing is known about it; read are requirements files, "
        "pyproject.toml, uv.toml, and lock files of uv, Poetry and PDM and pylock.toml\n"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", b"no = toml ="),
        ("uv.lock", b""),
        ("uv.lock", b"version = 1\npackage = 3\n"),
        ("uv.lock", b"version = 1\n[[package]]\nname = 3\n"),
        ("uv.lock", b"version = 1\n[[package]]\nname = 'peft'\nversion = 3\n"),
        ("poetry.lock", b"metadata = 3\n"),
        ("poetry.lock", b"[metadata]\nlock-version = '2.1'\n[[package]]\nname = 'peft'\nversion = []\n"),
        ("pylock.toml", b"lock-version = '1.0'\npackages = 3\n"),
        ("pylock.toml", b"lock-version = '9.0'\ncreated-by = 'a'\npackages = []\n"),
        ("pyproject.toml", b"\xff"),
        ("pyproject.toml", b"project = 3\n"),
        ("pyproject.toml", b"[project]\ndependencies = 'peft'\n"),
        ("pyproject.toml", b"[project]\ndependencies = [3]\n"),
        ("pyproject.toml", b"[project]\ndependencies = ['no requirement at all']\n"),
        ("pyproject.toml", b"[tool]\nuv = 3\n"),
        ("pyproject.toml", b"[tool.uv]\nsources = []\n"),
        ("pyproject.toml", b"[tool.poetry.dependencies]\npeft = 'lots'\n"),
        ("pyproject.toml", b"[tool.poetry.dependencies]\npeft = 3\n"),
        ("requirements.txt", b"torch\nno requirement at all\n"),
        ("requirements.txt", b"peft==0.18.1 --nonsense\n"),
        ("requirements.txt", b"\xff\xfe\x00"),
        ("requirements.txt", b"# coding: nonsense\npeft\n"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, releases: list[Release], name: str, text: bytes) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(PatchsetError, match="^cannot read .*") as caught:
        requested.examine(tmp_path / name, releases)
    assert "\n" not in str(caught.value)


def test_what_is_no_file(tmp_path: Path, releases: list[Release]) -> None:
    for name in ("requirements.txt", "uv.lock", "pyproject.toml", "other.md"):
        with pytest.raises(PatchsetError, match="cannot read"):
            requested.examine(tmp_path / name, releases)
    with pytest.raises(PatchsetError, match="is a folder; name one of its files"):
        requested.examine(tmp_path, releases)
