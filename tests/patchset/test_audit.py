"""``audit``: modelling files as users write them, and what it says of each call."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.markup import escape

from patchset.audit.calls import Child, Index, affected
from patchset.audit.classes import read
from patchset.pins import ROOT
from patchset.verbs.printing import print_table, table
from tests.patchset.tool import Run

HEAD = "import torch\nfrom torch import nn\n\n\n"
MODEL = (
    HEAD
    + """class Tower(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.linear = nn.Linear(size, size)

    def forward(self, pixel_values):
        return self.linear(pixel_values)


class Model(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.vision_tower = Tower(size)
        self.head = nn.Linear(size, 2)

    def forward(self, pixels):
        return self.head(self.vision_tower(pixel_values=pixels))
"""
)


def found(folder: Path, text: str, *, others: dict[str, str] | None = None) -> list[Child]:
    """What is found in a file of that text, which may import from others."""
    sources = {"modeling_mine.py": text, **(others or {})}
    for name, content in sources.items():
        (folder / name).write_text(HEAD + content)
    return list(affected(Index([read(folder / name) for name in sources])))


def paths(folder: Path, init: str, forward: str, more: str = "") -> dict[str, tuple[str, ...]]:
    """By path, the keywords that a model of that ``__init__`` and that ``forward`` is found to call children with."""
    body = f"class Model(nn.Module):\n    def __init__(self, config, size=8):\n        {init}\n"
    return {
        child.path: child.keywords
        for child in found(folder, f"{body}\n    def forward(self, a, b=None, **kwargs):\n        {forward}\n{more}")
        if child.owner == "Model"
    }


@pytest.mark.parametrize(
    "call",
    [
        "self.layer(a)",
        "self.layer(a, mask=b)",
        "self.layer(*a)",
        "self.layer(*a, mask=b)",
        "self.layer()",
        "self.layer(x=a)",  # stock's wrapper has a parameter of that name
        "self.helper(hidden=a)",
        "self.factor(hidden=a)",
        "self.config(hidden=a)",
        "self.other(hidden=a)",
        "self.activation(hidden=a)",
        "self.layer.to(device=a)",
        "self.layer.weight.view(dtype=a)",
        "self.layer(a).view(dtype=a)",
        "other.layer(hidden=a)",
        "super().forward(hidden=a)",
    ],
)
def test_calls_that_stock_can_do(tmp_path: Path, call: str) -> None:
    init = "self.layer = nn.Linear(8, 8); self.factor = 2; self.config = config.text; self.activation = torch.relu"
    assert paths(tmp_path, init, call, "\n    def helper(self, hidden):\n        return hidden\n") == {}


@pytest.mark.parametrize(
    ("init", "call", "path"),
    [
        ("self.layer = nn.Linear(8, 8)", "self.layer(hidden=a)", "layer"),
        ("self.layer: nn.Module = nn.Linear(8, 8)", "b = self.layer(hidden=a).logits[0]", "layer"),
        ("self.layer = self.build(config)", "self.layer(hidden=a)", "layer"),
        ("self.layer = AutoModel.from_config(config)", "self.layer(hidden=a)", "layer"),
        ("self.layer = torch.compile(nn.Linear(8, 8))", "self.layer(hidden=a)", "layer"),
        ("self.layer = nn.Linear(8, 8) if size else None", "self.layer(hidden=a)", "layer"),
        ("self.layer = config.layer and nn.Linear(8, 8)", "self.layer(hidden=a)", "layer"),
        ("self.layer = size", "self.layer(hidden=a)", "layer"),  # handed in
        ("layer = nn.Linear(8, 8); self.layer = layer", "self.layer(hidden=a)", "layer"),
        ("self.layer = None\n        if size:\n            self.layer = nn.Linear(8, 8)", "self.layer(h=a)", "layer"),
        ("self.add_module('layer', nn.Linear(8, 8))", "self.layer(hidden=a)", "layer"),
        ("setattr(self, 'layer', nn.Linear(8, 8))", "getattr(self, 'layer')(hidden=a)", "layer"),
        ("self.layer = nn.Sequential(nn.ReLU(), nn.Linear(8, 8))", "self.layer(hidden=a)", "layer"),
        ("self.heads = nn.ModuleDict({'a': nn.Linear(8, 8)})", "self.heads['a'](hidden=a)", "heads.<n>"),
    ],
)
def test_children_however_made(tmp_path: Path, init: str, call: str, path: str) -> None:
    assert list(paths(tmp_path, init, call)) == [path]


@pytest.mark.parametrize(
    "call",
    [
        "for layer in self.layers: a = layer(hidden=a)",
        "for layer in self.layers[: self.config.depth]: a = layer(hidden=a)",
        "for layer in reversed(self.layers): a = layer(hidden=a)",
        "for index, layer in enumerate(self.layers[:2]): a = layer(hidden=a)",
        "for layer, item in zip(self.layers, a): item = layer(hidden=item)",
        "for index, (item, layer) in enumerate(zip(a, self.layers)): item = layer(hidden=item)",
        "for name, layer in self.layers.named_children(): a = layer(hidden=a)",
        "for layer in self.layers.children(): a = layer(hidden=a)",
        "layers = self.layers[1:]\n        for layer in layers: a = layer(hidden=a)",
        "for index in range(2): a = self.layers[index](hidden=a)",
        "layer = self.layers[-1]; a = layer(hidden=a)",
        "return [layer(hidden=a) for layer in self.layers if layer is not None]",
        "return {index: layer(hidden=a) for index, layer in enumerate(self.layers)}",
        "while a: a = self.layers[0](hidden=a)",
        "with torch.no_grad():\n            for layer in self.layers: a = layer(hidden=a)",
        "def inner(h): return [layer(hidden=h) for layer in self.layers]",
    ],
)
def test_lists(tmp_path: Path, call: str) -> None:
    init = "self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(2)])"
    assert paths(tmp_path, init, call) == {"layers.<n>": ("hidden",)}


@pytest.mark.parametrize(
    ("call", "path"),
    [
        ("tower = self.one; tower(hidden=a)", ["one"]),
        ("tower = other = self.one; other(hidden=a)", ["one"]),
        ("tower, rest = self.one, 1; tower(hidden=a)", ["one"]),
        ("tower = self.one if b else self.two; tower(hidden=a)", ["one", "two"]),
        ("(self.one or self.two)(hidden=a)", ["one", "two"]),
        ("if (tower := self.one) is not None: tower(hidden=a)", ["one"]),
        (
            "if b:\n            tower = self.one\n        else:\n            tower = self.two\n        tower(hidden=a)",
            ["one", "two"],
        ),
        ("for tower in (self.one, self.two): tower(hidden=a)", ["one", "two"]),
        ("tower = self.one; tower = a; tower(hidden=a)", []),
        ("tower = self.one\n        for tower in a: tower(a)\n        tower = b\n        tower(hidden=a)", []),
        ("tower = self.one; f = lambda tower: tower(hidden=a)", []),
        ("call = lambda: self.one(hidden=a)", ["one"]),
    ],
)
def test_aliases(tmp_path: Path, call: str, path: list[str]) -> None:
    init = "self.one = nn.Linear(8, 8); self.two = nn.Linear(8, 8)"
    assert list(paths(tmp_path, init, call)) == path


@pytest.mark.parametrize(
    ("methods", "call", "paths"),
    [
        ("def get_decoder(self): return self.decoder", "self.get_decoder()(x=1, y=2)", []),
        ("def get_decoder(self): return self.decoder", "self.get_decoder()(y=2)", ["decoder"]),
        ("def get_decoder(self): return self.decoder", "d = self.get_decoder()\n        d(y=2)", ["decoder"]),
        ("def get_decoder(self):\n        return self.decoder if self.a else self.encoder", "self.get_decoder()(y=2)", ["decoder", "encoder"]),
        ("def get_part(self, name): return getattr(self, 'decoder')", "self.get_part('a')(y=2)", ["decoder"]),
        ("@property\n    def inner(self): return self.decoder", "self.inner(y=2)", ["decoder"]),
        ("@functools.cached_property\n    def inner(self): return self.layers", "self.inner[0](y=2)", ["layers.<n>"]),
        ("@property\n    def inner(self): return self.get()\n    def get(self): return self.decoder", "self.inner(y=2)", ["decoder"]),
        ("@property\n    def inner(self): return self.decoder.part", "self.inner(y=2)", ["decoder.part"]),
        ("def get_part(self): return self.decoder.get_part()", "self.get_part()(y=2)", ["decoder.part"]),
        # what they return cannot be seen, is no module, or is not what they return
        ("def get_decoder(self): return find(self)", "self.get_decoder()(y=2)", []),
        ("def get_decoder(self): return self", "self.get_decoder()(y=2)", []),
        ("def get_decoder(self): return self.get_decoder()", "self.get_decoder()(y=2)", []),
        ("@property\n    def inner(self):\n        def f(): return self.decoder\n        return f", "self.inner(y=2)", []),
        ("@property\n    def inner(self): return self.size", "self.inner(y=2)", []),
    ],
)  # fmt: skip
def test_methods_and_properties_that_say_what_they_return(
    tmp_path: Path, methods: str, call: str, paths: list[str]
) -> None:
    (tmp_path / "modeling_a.py").write_text(
        f"""
class Part(nn.Module):
    def __init__(self):
        self.part = nn.Linear(2, 2)

    def get_part(self):
        return self.part


class Model(nn.Module):
    def __init__(self):
        self.decoder, self.size = Part(), 3
        self.decoder = Part()
        self.encoder = Part()
        self.layers = nn.ModuleList([Part()])

    {methods}

    def forward(self, a):
        {call}
"""
    )
    found = affected(Index([read(tmp_path / "modeling_a.py")]))
    assert sorted(child.path for child in found) == paths


def test_a_base_says_what_its_method_returns(tmp_path: Path) -> None:
    (tmp_path / "modeling_a.py").write_text(
        """
class Base(nn.Module):
    def get_decoder(self):
        return self.model

class Model(Base):
    def __init__(self):
        self.model = nn.Linear(2, 2)

    def forward(self, a):
        return self.get_decoder()(input=a)

class Other(Base):
    def __init__(self):
        self.model = nn.Linear(2, 2)
        self.other = nn.Linear(2, 2)

    def get_decoder(self):
        return self.other

    def forward(self, a):
        return self.get_decoder()(input=a)
"""
    )
    found = affected(Index([read(tmp_path / "modeling_a.py")]))
    assert [(child.owner, child.path) for child in found] == [("Model", "model"), ("Other", "other")]


def test_nested(tmp_path: Path) -> None:
    """A path into a class of the file is followed; into another's, a name counts that is a submodule elsewhere."""
    inner = (
        "\n\nclass Inner(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.vision_tower = nn.Linear(8, 8)\n\n    def get_image(self, pixels):\n        ...\n"
    )
    init = "self.model = Inner(); self.far = AutoModel.from_config(config); self.blocks = nn.ModuleList([Inner()])"
    for call, expected in {
        "self.model.vision_tower(pixels=a)": ["model.vision_tower"],
        "self.model.get_image(pixels=a)": [],
        "self.model.generate(pixels=a)": [],
        "self.far.vision_tower(pixels=a)": ["far.vision_tower"],
        "self.far.get_image(pixels=a)": [],
        "for block in self.blocks: block.vision_tower(pixels=a)": ["blocks.<n>.vision_tower"],
    }.items():
        assert list(paths(tmp_path, init, call, inner)) == expected, call


def test_inherited(tmp_path: Path) -> None:
    """A base's child, from the same file and from another one that is read with it; a subclass's child, called above."""
    base = "class Base(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.tower = nn.Linear(8, 8)\n"
    user = "\n\nclass Model(Base):\n    def forward(self, a):\n        return self.tower(hidden=a)\n"
    assert [child.owner for child in found(tmp_path, base + user)] == ["Model"]
    imported = "from .modeling_base import Base as Base\n" + user
    assert [child.path for child in found(tmp_path, imported, others={"modeling_base.py": base})] == ["tower"]
    assert found(tmp_path, imported) == []
    caller = "class Caller(nn.Module):\n    def forward(self, a):\n        return self.tower(hidden=a)\n\n\n"
    assert [child.owner for child in found(tmp_path, caller + base.replace("nn.Module", "Caller"))] == ["Caller"]
    assert found(tmp_path, caller + base) == []


def test_mixed(tmp_path: Path) -> None:
    """One keyword-only call is enough; any method's counts; lines are given apart."""
    text = (
        "class Model(nn.Module):\n    def __init__(self):\n        self.tower = nn.Linear(8, 8)\n\n"
        "    def forward(self, a, **kwargs):\n        return self.tower(a, mask=None) + self.tower(**kwargs)\n\n"
        "    def get_image_features(self, pixels):\n        return self.tower(hidden=pixels, mask=None)\n"
    )
    (child,) = found(tmp_path, text)
    assert (child.path, child.keywords) == ("tower", ("**kwargs", "hidden", "mask"))
    assert (child.lines, child.positional_lines) == ((10, 13), (10,))


def test_classes_that_are_no_modules(tmp_path: Path) -> None:
    text = (
        "class Cache:\n    def __init__(self):\n        self.layer = make()\n\n"
        "    def update(self, a):\n        return self.layer(hidden=a)\n\n\n"
        "class Model(nn.Module):\n    def __init__(self):\n        self.cache = Cache()\n\n"
        "    def forward(self, a):\n        return self.cache(hidden=a)\n"
    )
    assert found(tmp_path, text) == []


def test_the_verb(tool: Run, checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "modeling_mine.py").write_text(MODEL)
    result = tool(checkout, "audit", str(tmp_path / "modeling_mine.py"))
    assert result.returncode == 1
    assert "\x1b" not in result.stdout + result.stderr
    assert ["Model", "vision_tower", "pixel_values", "21"] in [line.split() for line in result.stdout.splitlines()]
    assert "1 class of 1 file calls 1 child by keyword only, at 1 place\n" in result.stdout
    assert "stock PEFT 0.15.0 to 0.19.1 fails" in result.stdout
    assert "  modeling_mine.py: vision_tower\n" in result.stdout
    (tmp_path / "modeling_mine.py").write_text(MODEL.replace("pixel_values=pixels", "pixels"))
    fine = tool(checkout, "audit", str(tmp_path / "modeling_mine.py"))
    assert (fine.returncode, fine.stdout) == (0, "no class of 1 file calls a child by keyword only\n")


@pytest.mark.parametrize("width", [23, 22])
def test_the_quick_table_is_the_wrapped_one(width: int) -> None:
    """They fit into 23 columns."""
    rows = ("class", "child"), ("Model", "tower"), ("", "layers.<n>"), ("Other", "**kwargs[i]")
    wrapped = table(*rows[0])
    for row in rows[1:]:
        wrapped.add_row(*map(escape, row))
    printed = []
    for show in (lambda shown: shown.print(wrapped), lambda shown: print_table(shown, *rows)):
        show(Console(file=(found := io.StringIO()), width=width, force_terminal=True, color_system=None))
        printed.append([line.rstrip() for line in found.getvalue().splitlines()])
    assert printed[0] == printed[1]
    assert len(printed[0]) == (6 if width == 23 else 7) + 1


def test_a_folder_with_a_file_that_is_not_python(tool: Run, checkout: Path, tmp_path: Path) -> None:
    for name in ("one/modeling_one.py", "two/modeling_two.py", ".venv/modeling_three.py"):
        (tmp_path / "models" / name).parent.mkdir(parents=True)
        (tmp_path / "models" / name).write_text(MODEL)
    (tmp_path / "models" / "broken.py").write_text("x = 1\ndef (:\n")
    (tmp_path / "models" / "latin.py").write_bytes(b"x = '\xe9'\n")
    result = tool(checkout, "audit", str(tmp_path / "models"), "--json")
    assert result.returncode == 1
    answer = json.loads(result.stdout)
    assert answer["files"] == 2
    assert answer["names"] == {"one": ["vision_tower"], "two": ["vision_tower"]}
    assert answer["unreadable"]["broken.py"].startswith("line 2: ")
    assert "latin.py" in answer["unreadable"]
    assert answer["stock_fails"][0] == "0.15.0"
    assert answer["stock_fails"][-1] == "0.19.1"
    assert answer["children"][0] == {
        "file": "one/modeling_one.py",
        "class": "Model",
        "path": "vision_tower",
        "name": "vision_tower",
        "keywords": ["pixel_values"],
        "lines": [21],
        "positional_lines": [],
    }
    one = tool(checkout, "audit", str(tmp_path / "models"), "--model", "two")
    assert "  two: vision_tower\n" in one.stdout
    assert "one" not in one.stdout.split("fails at them")[0].split()
    text = tool(checkout, "audit", str(tmp_path / "models")).stdout
    assert "note: cannot read broken.py: line 2" in text
    assert "2 classes of 2 files call 2 children by keyword only, at 2 places (2 could not be read)" in text


def test_transformers_of_an_interpreter(tool: Run, checkout: Path, tmp_path: Path) -> None:
    """Found and read without being imported, by a stand-in that cannot be."""
    package = tmp_path / "site" / "transformers"
    (package / "models" / "mine").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemError\n")
    for name in ("modeling_mine.py", "modular_mine.py", "processing_mine.py"):
        (package / "models" / "mine" / name).write_text(MODEL)
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(package.parent)!r})\nexec(sys.argv[-1])\n"
    )
    python.chmod(0o755)
    answer = json.loads(tool(checkout, "audit", "--python", str(python), "--json").stdout)
    assert answer["files"] == 1
    assert answer["names"] == {"mine": ["vision_tower"]}


def test_bad_input(tool: Run, checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / "fails").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "without").write_text("#!/bin/sh\necho\n")
    for name in ("fails", "without"):
        (tmp_path / name).chmod(0o755)
    for arguments, message in {
        (str(tmp_path / "none.py"),): "does not exist",
        (str(tmp_path / "notes.txt"),): "is not a Python file",
        (str(tmp_path / "empty"),): "holds no Python file",
        (str(tmp_path / "broken.py"),): "broken.py: line 1: ",
        (str(tmp_path), "--model", "gemma9"): "no folder with modelling files is named gemma9",
        ("--python", str(tmp_path / "none")): "cannot run",
        ("--python", str(tmp_path / "fails")): "cannot run",
        ("--python", str(tmp_path / "without")): "has no transformers",
    }.items():
        result = tool(checkout, "audit", *arguments)
        assert result.returncode == 1
        assert message in result.stderr
        assert result.stderr.startswith("error: ")
        assert len(result.stderr.splitlines()) == 1


GEMMA = """
class GemmaModel(PreTrainedModel):
    def __init__(self, config):
        self.vision_tower = AutoModel.from_config(config.vision_config)
        self.embeddings = GemmaEmbeddings(config)
        self.lm_head = nn.Linear(2, 2)

    def forward(self, pixel_values):
        return self.lm_head(self.embeddings(self.vision_tower(pixel_values=pixel_values)))


class GemmaEmbeddings(nn.Module):
    def __init__(self, config):
        self.word_embeddings = nn.Embedding(2, 2)
        self.is_embeddings = config.is_embeddings
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An environment whose transformers has one model; and peft, by its metadata."""
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    for folder, name, text in (
        ("transformers", "__init__.py", ""),
        ("transformers/models/gemma9", "modeling_gemma9.py", GEMMA),
        ("transformers/models/gemma9", "configuration_gemma9.py", 'class A:\n    model_type = "gemma9_text"\n'),
    ):
        (site / folder).mkdir(parents=True, exist_ok=True)
        (site / folder / name).write_text(text)
    return tmp_path / "venv" / "bin" / "python"


def has_peft(python: Path, version: str) -> None:
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    for old in site.glob("peft-*.dist-info"):
        shutil.rmtree(old)
    (site / f"peft-{version}.dist-info").mkdir()
    (site / f"peft-{version}.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: peft\nVersion: {version}\n"
    )


CONFIGURATIONS = {
    "adapter_config.json": '{"peft_type": "LORA", "base_model_name_or_path": "BASE", "modules_to_save": [NAMES]}',
    "axolotl.yaml": "base_model: BASE\nadapter: lora\nlora_modules_to_save: [NAMES]\n",
    "llamafactory.yaml": "model_name_or_path: BASE\nfinetuning_type: lora\nadditional_target: NAMES\n",
    "swift.yml": "model: BASE\nmodules_to_save: [NAMES]\n",
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_will_it_run(tool: Run, checkout: Path, python: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text(
        '{"model_type": "gemma9", "text_config": {"model_type": "gemma9_text"}}'
    )

    def audit(names: str, *options: str, base: str = "base") -> subprocess.CompletedProcess[str]:
        quoted = ", ".join(f'"{one}"' for one in names.split(",")) if name.endswith(".json") else names
        (tmp_path / name).write_text(CONFIGURATIONS[name].replace("BASE", base).replace("NAMES", quoted))
        return tool(checkout, "audit", str(tmp_path / name), "--python", str(python), *options)

    for version, status in (("0.18.1", 1), ("0.20.0", 0), ("0.18.1+kwargs.1", 0)):
        has_peft(python, version)
        result = audit("vision_tower,lm_head")
        assert result.returncode == status, result.stdout + result.stderr
        assert "of gemma9\n" in result.stdout
        called = "vision_tower: called by keyword only (GemmaModel, modeling_gemma9.py, line 9)"
        assert f"{called}; stock PEFT 0.15.0 to 0.19.1 fails at that" in result.stdout
        assert "lm_head: nothing is wrong with it" in result.stdout
        assert ("will not work with the installed peft 0.18.1, stock" in result.stdout) == bool(status)
        assert (f"nothing here stops the installed peft {version}" in result.stdout) == (not status)
    has_peft(python, "0.20.0")
    nested = audit("embeddings")
    assert nested.returncode == 1
    assert (
        "embeddings: means modules inside of itself too (GemmaModel); stock PEFT 0.15.0 to 0.21.2 leaves"
        in nested.stdout
    )
    assert audit("lm_head").returncode == 0
    assert "nothing: no class that was read has a module of that name" in audit("nothing").stdout
    unknown = audit("lm_head", base="google/gemma-9")
    assert unknown.returncode == 1
    assert "name transformers' folder of the model with --model" in unknown.stderr
    found = json.loads(audit("vision_tower", "--model", "gemma9", "--json", base="google/gemma-9").stdout)
    assert (found["models"], found["runs"], found["names"][0]["faults"]) == (["gemma9"], True, ["forward-kwargs"])


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.json", "{", "cannot read"),
        ("a.json", "[]", "holds no names and values"),
        ("a.yaml", "a: [", "cannot read"),
        ("a.yaml", "a: 1", "is no configuration of an adapter"),
        ("a.yaml", "modules_to_save: 3", "must be a list of names"),
        ("a.yaml", "modules_to_save: [3]", "must be a list of names"),
        ("a.yml", "modules_to_save: [a]", "name transformers' folder of the model with --model"),
    ],
)
def test_configurations_that_are_none(
    tool: Run, checkout: Path, python: Path, tmp_path: Path, name: str, text: str, why: str
) -> None:
    (tmp_path / name).write_text(text)
    result = tool(checkout, "audit", str(tmp_path / name), "--python", str(python))
    assert result.returncode == 1
    assert why in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_configuration_without_names(tool: Run, checkout: Path, python: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "modules_to_save": null}')
    result = tool(checkout, "audit", str(tmp_path / "adapter_config.json"), "--python", str(python))
    assert result.returncode == 0
    assert "no module is trained whole" in result.stdout


def test_what_the_installed_peft_does(tool: Run, checkout: Path, python: Path) -> None:
    for version, calls, inside in (("0.18.1", True, True), ("0.20.0", False, True), ("0.18.1+kwargs.1", False, False)):
        has_peft(python, version)
        result = tool(checkout, "audit", "--python", str(python))
        assert result.returncode == 1
        (first, second) = (line for line in result.stdout.splitlines() if line.startswith("stock PEFT"))
        assert first.startswith("stock PEFT 0.15.0 to 0.19.1 fails at them")
        assert f"peft {version}, " in first
        assert first.endswith(", does):" if calls else ", does not):")
        assert second.startswith("stock PEFT 0.15.0 to 0.21.2 trains only a part")
        assert second.endswith(", does):" if inside else ", does not):")
        assert result.stdout.splitlines()[-1] == "  gemma9: embeddings"


def test_the_page_says_what_was_measured() -> None:
    """Recall and precision are those of the last comparison with the zoo, and those of its rows."""
    found = json.loads((ROOT / "tests" / "evidence" / "results" / "audit.json").read_text())
    assert {key: sum(len(row.get(key, ())) for row in found["rows"]) for key in ("found", "missed", "more")} == {
        key: found[key] for key in ("found", "missed", "more")
    }
    crash = found["found"] + found["missed"]
    page = " ".join((ROOT / "docs" / "auditing.md").read_text().split())
    assert f"on the {found['types']} model types" in page
    assert f"of the {crash:,} names that crash with stock {found['versions']['peft']}, type by type" in page
    assert f"audit finds {found['found']:,}, a recall of {found['found'] / crash:.1%}".replace("%", " %") in page
    assert f"names {found['more']} more" in page
    assert f"a precision of {found['found'] / (found['found'] + found['more']):.1%}".replace("%", " %") in page
