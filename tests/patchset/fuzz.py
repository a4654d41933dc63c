"""Whatever is in the files that the tool reads, it ends in one line: made-up inputs, made from real ones.

python -m tests.patchset.fuzz --inputs 20000
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import re
import sys
import tarfile
import time
import traceback
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from patchset import pins
from patchset.__main__ import main as tool
from patchset.audit import asked
from patchset.errors import PatchsetError
from patchset.pins import ROOT
from patchset.series import headers
from patchset.series.apply import apply_series
from patchset.series.patch import read_series, series_files
from patchset.sources.unpack import unpack
from patchset.upstream.port import saved
from patchset.verbs import rebuild

# What parsers trip over.
TOKENS = (
    *(
        b"\0",
        b"\r",
        b"\n",
        b"\xff",
        b"\xc3",
        "\u2028".encode(),
        b"\x85",
        b" ",
        b"\t",
        b"/",
        b"\\",
        b"..",
        b"%",
        b"\x1b",
    ),
    *(b'"', b"'", b"[", b"]", b"{", b"}", b"<", b">", b"&#0;", b"=", b":", b"@", b",", b"#", b";", b"=?utf-8?q?=ff?="),
    *(
        b"0",
        b"-1",
        b"1e999",
        b"9" * 30,
        b"true",
        b"null",
        b"[[1]]",
        b"{a = 1}",
        b"1979-05-27",
        b"[" * 2000,
        b"x" * 300,
    ),
    *(b"From ", b"Subject: ", b"\ndiff --git a/x b/x\n", b"@@ -1 +1 @@\n", b".git/", b"*", b"==1", b">=", b"-r x\n"),
)
EDITS = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 30), st.sampled_from(TOKENS) | st.binary(max_size=6)), max_size=5
)
# The values of TOML and JSON, of which some become others of another type.
_VALUE = re.compile(rb"(?<=[=:] )(\"[^\"\n]*\"|\[[^]\n]*\]|[\w.+-]+)")
VALUES = st.lists(
    st.tuples(
        st.integers(0, 10**6), st.sampled_from([b"1", b"-1", b'"x"', b"[]", b"[1]", b"{}", b"true", b'""', b"1.5"])
    ),
    max_size=3,
)


@dataclass(frozen=True)
class Target:
    """What reads a file.

    Attributes:
        name: for people.
        samples: real files, or ones like them.
        read: reads one in an empty folder; `PatchsetError` and `OSError` are what a user sees as one line.
        share: of all inputs.
    """

    name: str
    samples: tuple[bytes, ...]
    read: Callable[[bytes, Path], object]
    share: float = 1


def edited(sample: bytes, values: list[tuple[int, bytes]], edits: list[tuple[int, int, bytes]]) -> bytes:
    for place, value in values:
        if found := list(_VALUE.finditer(sample)):
            match = found[place % len(found)]
            sample = sample[: match.start()] + value + sample[match.end() :]
    for place, length, text in edits:
        at = place % (len(sample) + 1)
        sample = sample[:at] + text + sample[at + length :]
    return sample


def _patch(data: bytes, folder: Path) -> None:
    (folder / "0001-x.patch").write_bytes(data)
    (folder / "series").write_text("0001-x.patch\n")
    patches = read_series(folder)
    with contextlib.suppress(PatchsetError):
        headers.check(patches)
    (folder / "tree").mkdir()
    apply_series(folder / "tree", patches, allow_offsets=True)


def _series(data: bytes, folder: Path) -> None:
    (folder / "0001-x.patch").touch()
    (folder / "series").write_bytes(data)
    series_files(folder)


def _pins(data: bytes, folder: Path) -> None:
    (folder / "releases.toml").write_bytes(data)
    pins.load(folder / "releases.toml")


def _sdist(data: bytes, folder: Path) -> None:
    unpack(gzip.compress(data, 1), folder, "peft-0.18.1")


def _packed(data: bytes, folder: Path) -> None:
    unpack(data, folder, "peft-0.18.1")


def _configuration(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        (folder / name).write_bytes(data)
        (folder / "config.json").write_bytes(data)
        asked.read(folder / name).types()

    return read


def _verb(*words: str, name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        (folder / name).write_bytes(data)
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            tool([word.replace("FILE", str(folder / name)).replace("FOLDER", str(folder)) for word in words])
        if "\n" in errors.getvalue().rstrip("\n"):
            raise AssertionError(f"more than a line: {errors.getvalue()!r}")

    return read


def _members(data: bytes, folder: Path) -> None:
    (folder / "x.whl").write_bytes(data)
    (folder / "y.whl").write_bytes(_wheel())
    rebuild._differences(folder / "x.whl", folder / "y.whl")


def _state(data: bytes, folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "patchset-adopt.json").write_bytes(data)
    saved(folder)


def _tar() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("PKG-INFO", "src/peft/__init__.py", "ä" * 120, "setup.py"):
            entry = tarfile.TarInfo(f"peft-0.18.1/{name}")
            entry.size = 40
            archive.addfile(entry, io.BytesIO(b"Name: peft\nVersion: 0.18.1+kwargs.1\n".ljust(40)))
    return data.getvalue()


def _wheel() -> bytes:
    data = io.BytesIO()
    info = "peft-0.18.1+kwargs.1.dist-info"
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("peft/__init__.py", "x = 1\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: peft\nVersion: 0.18.1+kwargs.1\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"peft/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return data.getvalue()


_TOML = (ROOT / "vendor" / "releases.toml").read_bytes()[:3000].rpartition(b"[[release]]")[0]
_ADAPTER = json.dumps(
    {"peft_type": "LORA", "modules_to_save": ["lm_head", "x"], "base_model_name_or_path": ".", "model_type": "gemma4"}
).encode()
_YAML = (
    b"base_model: .\nlora_modules_to_save: &x\n  - lm_head\n  - embed_tokens\nother: *x\nmodel_type: gemma4\n"
    b"additional_target: lm_head,embed_tokens\ndate: 1979-05-27\nnumber: 0o7\n"
)
_SUMS = b"0" * 64 + b"  peft-0.18.1+kwargs.1-py3-none-any.whl\n" + b"1" * 64 + b" *x.whl\n"
_ENVIRONMENT = b"name: x\ndependencies:\n  - python\n  - peft=0.18.1\n  - pip:\n    - peft==0.18.1\n"
_LOCK = (
    b'version = 1\n[[package]]\nname = "peft"\nversion = "0.18.1"\nsource = { registry = "https://host/simple" }\n'
    b'wheels = [{ url = "https://host/peft-0.18.1-py3-none-any.whl", hash = "sha256:00", size = 1 }]\n'
    b'[[packages]]\nname = "peft"\nversion = "0.18.1"\nsdist = { url = "x", hashes = { sha256 = "00" } }\n'
)
_PROJECT = (
    b'[project]\nname = "x"\ndependencies = ["peft==0.18.1", "peft @ git+https://host/x"]\n'
    b'[project.optional-dependencies]\na = ["peft"]\n[dependency-groups]\ndev = ["peft", {include-group = "x"}]\n'
    b'[tool.uv]\ndev-dependencies = ["peft"]\n[tool.uv.sources]\npeft = { git = "x" }\n'
    b'[tool.pdm.dev-dependencies]\nx = ["peft"]\n'
    b'[tool.poetry.dependencies]\npeft = { version = "^0.18", git = "x" }\n[tool.poetry.group.x.dependencies]\npeft = "1"\n'
)
_PATCHES = tuple(path.read_bytes()[:6000] for path in series_files(ROOT / "patches" / "0.21")[:6])
_STATE = json.dumps(
    {
        "release": {**vars(pins.load()[0])},
        "base": "0.18.1",
        "results": [{"name": "x", "state": "applies", "note": ""}],
        "head": "0" * 40,
        "through": False,
    },
    indent=1,
).encode()
_MODEL = (
    b"import torch\nfrom torch import nn\n\n\nclass Tower(nn.Module):\n    def __init__(self, config):\n"
    b"        super().__init__()\n        self.layers = nn.ModuleList([nn.Linear(1, 1) for _ in range(2)])\n"
    b"        self.embed = nn.Embedding(1, 1)\n\n    def forward(self, x, **kwargs):\n        for layer in self.layers:\n"
    b"            x = layer(input=x)\n        return self.embed(input=x, **kwargs)\n"
)
TARGETS = (
    Target("patch", _PATCHES, _patch, 2),
    Target("series", (b"0001-x.patch\n# x\n0001-x.patch -p1\n",), _series),
    Target("releases.toml", (_TOML,), _pins),
    Target("sdist", (_tar(),), _sdist, 2),
    Target("packed sdist", (gzip.compress(_tar()),), _packed),
    Target("adapter's configuration", (_ADAPTER,), _configuration("adapter_config.json")),
    Target("framework's configuration", (_YAML,), _configuration("x.yaml")),
    Target("published digests", (_SUMS,), _verb("doctor", "FILE", "--verify", "FILE", name="SHA256SUMS")),
    Target("environment file", (_ENVIRONMENT,), _verb("doctor", "FILE", name="environment.yml")),
    Target(
        "pylock.toml",
        (_LOCK.replace(b"version = 1", b"lock-version = '1.0'\ncreated-by = 'x'"),),
        _verb("doctor", "FILE", name="pylock.toml"),
    ),
    Target("wheel to rebuild", (_wheel(),), _members),
    Target("lock file", (_LOCK,), _verb("doctor", "FILE", name="x.lock"), 2),
    Target("pyproject.toml", (_PROJECT,), _verb("doctor", "FILE", name="pyproject.toml"), 2),
    Target("requirements", (b"peft==0.18.1 --hash=sha256:00\n-r x\n",), _verb("doctor", "FILE", name="r.txt")),
    Target("wheel", (_wheel(),), _verb("index", "FOLDER", name="peft-0.18.1+kwargs.1-py3-none-any.whl")),
    Target("our sdist", (gzip.compress(_tar()),), _verb("index", "FOLDER", name="peft-0.18.1+kwargs.1.tar.gz")),
    Target("state of adopt", (_STATE,), _state),
    Target("modelling file", (_MODEL,), _verb("audit", "FILE", name="modeling_x.py")),
)


def fuzz(target: Target, inputs: int, number: int) -> list[tuple[bytes, str]]:
    """Try made-up inputs on a target.

    Returns:
        The inputs that did not end in one line, with their tracebacks; of those that end at the same place, the first.
    """
    found: dict[str, tuple[bytes, str]] = {}

    @seed(number)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(target.samples), VALUES, EDITS)
    def one(sample: bytes, values: list[tuple[int, bytes]], edits: list[tuple[int, int, bytes]]) -> None:
        data = edited(sample, values, edits)
        with TemporaryDirectory() as folder:
            try:
                target.read(data, Path(folder))
            except (PatchsetError, OSError) as error:
                if "\n" in str(error):
                    found.setdefault(f"lines of {str(error).partition(' ')[0]}", (data, f"two lines: {error}"))
            except Exception as error:  # noqa: BLE001 - this is what is looked for
                place = traceback.extract_tb(error.__traceback__)[-1]
                found.setdefault(
                    f"{type(error).__name__} {place.filename}:{place.lineno}", (data, traceback.format_exc())
                )

    one()
    return list(found.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="a target's name")
    options = parser.parse_args()
    chosen = [target for target in TARGETS if options.only in (None, target.name)]
    whole = sum(target.share for target in chosen)
    figures, failed = {}, False
    begin = time.monotonic()
    for target in chosen:
        inputs = -round(-options.inputs * target.share // whole)
        failures = fuzz(target, inputs, options.seed)
        figures[target.name] = inputs
        for data, told in failures:
            print(f"{target.name}: {data!r}\n{told}", file=sys.stderr)
        failed = failed or bool(failures)
        if failures:
            figures[f"{target.name}, failures"] = len(failures)
    shown = {"seed": options.seed, "inputs": figures, "seconds": round(time.monotonic() - begin)}
    print(json.dumps(shown, indent=1))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
