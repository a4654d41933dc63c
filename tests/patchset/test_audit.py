"""The audit names the children that are called by keyword only, and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from patchset._calls import read
from tests.patchset.conftest import Run

MODEL = """
class Layer(nn.Module):
    def __init__(self, config):
        self.attention = Attention(config)
        self.mlp = MLP(config)

    def forward(self, x):
        x = self.attention(hidden_states=x)
        return self.mlp(x)


class Encoder(nn.Module):
    def __init__(self, config):
        self.layers = nn.ModuleList([Layer(config) for _ in range(2)])
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        for number, layer in enumerate(self.layers[:2]):
            x = layer(hidden_states=x)
        return self.norm(x)


class Base(nn.Module):
    def __init__(self, config):
        self.tower = Encoder(config) if config.vision else None


class Model(Base):
    def __init__(self, config):
        super().__init__(config)
        self.embed: nn.Module = AutoModel.from_config(config)
        self.head = nn.Linear(4, 4)
        self.add_module("adapter", nn.Linear(4, 4))
        self.hidden_size = int(config.hidden_size)

    def features(self, pixel_values):
        tower = self.tower
        return tower(pixel_values=pixel_values)

    def forward(self, ids, pixel_values, **kwargs):
        x = self.embed(input_ids=ids, **kwargs) + self.features(pixel_values=pixel_values)
        x = self.tower.layers[0](hidden_states=x)
        x = self.adapter(input=x)
        return self.head(x, **kwargs), self.loss(logits=x), self.other(*x, y=x)
"""


def test_what_is_named() -> None:
    found = [(call.owner, call.child, call.keywords) for call in read(MODEL)]
    assert found == [
        ("Layer", "attention", ("hidden_states",)),
        ("Encoder", "layers.<n>", ("hidden_states",)),
        ("Model", "tower", ("pixel_values",)),
        ("Model", "embed", ("input_ids", "**")),
        ("Model", "tower.layers.<n>", ("hidden_states",)),
        ("Model", "adapter", ("input",)),
    ]


@pytest.mark.parametrize(
    "loop",
    [
        "for m in self.children_",
        "for i, m in enumerate(self.children_)",
        "for m, x in zip(self.children_, x)",
        "for i, (x, m) in enumerate(zip(x, self.children_))",
        "for m in reversed(self.children_)",
        "for k, m in self.children_.items()",
        "for m in self.children_.values()",
    ],
)
def test_loops(loop: str) -> None:
    head = "class A:\n    def __init__(self):\n        self.children_ = nn.ModuleList()\n    def forward(self, x):\n"
    for body in (f"        {loop}:\n            m(x=1)\n", f"        return [m(x=1) {loop}]\n"):
        assert [call.child for call in read(head + body)] == ["children_.<n>"]


def test_a_method_is_no_child() -> None:
    source = (
        "class A:\n    def __init__(self):\n        self.f = F()\n    def f(self): ...\n    def forward(self, x):\n"
    )
    assert read(f"{source}        return self.f(x=x)\n") == []


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()  # beside the checkout
    (tmp_path / "mine" / "modeling_mine.py").write_text(MODEL)
    return tmp_path / "mine" / "modeling_mine.py"


def test_a_file(tool: Run, checkout: Path, model: Path) -> None:
    result = tool(checkout, "audit", str(model))
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == (
        "in modules_to_save, these names and the ends of them crash on stock PEFT 0.15.0 to 0.19.1: "
        "attention, layers.<n>, tower, embed, tower.layers.<n>, adapter"
    )
    (found,) = json.loads(tool(checkout, "audit", str(model), "--json").stdout)
    assert found["path"] == "modeling_mine.py"
    assert found["calls"][0] == {"owner": "Layer", "child": "attention", "keywords": ["hidden_states"], "line": 8}


def test_a_folder(tool: Run, checkout: Path, model: Path) -> None:
    (model.parent / "deeper").mkdir()
    (model.parent / "deeper" / "broken.py").write_text("def\n")
    (model.parent / "fine.py").write_text("x = 1\n")
    result = tool(checkout, "audit", str(model.parent))
    assert result.returncode == 1
    assert "not read: deeper/broken.py: invalid syntax" in result.stdout
    assert "1 of 3 files have 6 such calls" in result.stdout
    model.unlink()
    result = tool(checkout, "audit", str(model.parent / "fine.py"))
    assert (result.returncode, result.stdout) == (0, "no child is called by keyword only\n")


def test_an_installed_transformers(tool: Run, checkout: Path, model: Path) -> None:
    installed = model.parent / "transformers"
    (installed / "models" / "mine").mkdir(parents=True)
    (installed / "__init__.py").write_text("raise RuntimeError('nothing is imported')\n")
    model.rename(installed / "models" / "mine" / model.name)
    path = {"PYTHONPATH": str(model.parent)}
    assert tool(checkout, "audit", **path).returncode == 1
    assert "Encoder" in tool(checkout, "audit", "--model", "mine", **path).stdout
    assert "has no model 'other'" in tool(checkout, "audit", "--model", "other", **path).stderr


def test_bad_input(tool: Run, checkout: Path, tmp_path: Path) -> None:
    assert "nowhere does not exist" in tool(checkout, "audit", "nowhere").stderr
    (tmp_path / "empty").mkdir()
    assert "has no Python file" in tool(checkout, "audit", str(tmp_path / "empty")).stderr
    (tmp_path / "broken.py").write_text("def\n")
    result = tool(checkout, "audit", str(tmp_path / "broken.py"))
    assert result.stderr.startswith(f"error: cannot read {tmp_path}/broken.py: invalid syntax")
    assert "cannot ask nobody for its transformers" in tool(checkout, "audit", "--python", "nobody").stderr
