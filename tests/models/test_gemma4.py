"""The job that this project is for: train Gemma 4's vision tower beside LoRA on its language model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file

from . import tiny

pytestmark = [
    pytest.mark.skipif(
        not hasattr(transformers, "Gemma4ForConditionalGeneration"),
        reason=f"transformers {transformers.__version__} has no Gemma 4",
    ),
    pytest.mark.stock_fails("<0.20", raises=TypeError, match="missing 1 required positional argument: 'x'"),
]


@pytest.mark.row("Gemma 4: first forward pass, loss as unwrapped")
def test_loss_equals_the_unwrapped_models() -> None:
    gemma = tiny.gemma4()
    model = gemma.build()
    expected = tiny.outputs(model, gemma.batch())
    assert tiny.same(tiny.outputs(gemma.wrap(model), gemma.batch()), expected)


@pytest.mark.row("Gemma 4: the vision tower trains")
def test_training_lowers_the_loss_and_reaches_the_vision_tower() -> None:
    gemma = tiny.gemma4()
    model = gemma.wrap()
    losses = tiny.train(model, gemma.batch(), steps=8)
    assert losses[-1] < losses[0] - 0.05
    assert list(tiny.wrappers(model)) == [f"base_model.model.model.{name}" for name in gemma.save]
    assert tiny.untrained(model, gemma) == []
    for name, wrapper in tiny.wrappers(model).items():
        gradients = {key: p.grad for key, p in wrapper.modules_to_save["default"].named_parameters()}
        assert [f"{name}.{key}" for key, g in gradients.items() if g is None or not g.abs().sum() > 0] == []
        assert all(p.grad is None for p in wrapper.original_module.parameters())


@pytest.mark.row("Gemma 4: the image counts")
def test_the_image_counts() -> None:
    gemma = tiny.gemma4()
    model, batch = gemma.wrap(), gemma.batch()
    black = {**batch, "pixel_values": torch.zeros_like(batch["pixel_values"])}
    assert not tiny.same(tiny.outputs(model, batch), tiny.outputs(model, black))


@pytest.mark.row("Gemma 4: disable_adapter()")
def test_disable_adapter_gives_the_unwrapped_model() -> None:
    gemma = tiny.gemma4()
    plain = gemma.build()
    expected = tiny.outputs(plain, gemma.batch())
    model = gemma.wrap(plain)
    tiny.train(model, gemma.batch())
    trained = tiny.outputs(model, gemma.batch())
    with model.disable_adapter():
        assert tiny.same(tiny.outputs(model, gemma.batch()), expected)
    assert tiny.same(tiny.outputs(model, gemma.batch()), trained)
    assert not tiny.same(trained, expected)


@pytest.mark.row("Gemma 4: saved, reloaded, merged")
def test_saved_reloaded_and_merged(tmp_path: Path) -> None:
    gemma = tiny.gemma4()
    plain = gemma.build()
    weights = tiny.copied(plain)
    model = gemma.wrap(plain)
    tiny.train(model, gemma.batch())
    expected = tiny.outputs(model, gemma.batch())

    tiny.save(model, tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    for name in gemma.save:
        assert any(key.startswith(f"base_model.model.model.{name}.") for key in saved)
    reloaded = PeftModel.from_pretrained(tiny.rebuilt(gemma, weights), tmp_path)
    assert tiny.same(tiny.outputs(reloaded, gemma.batch()), expected)

    merged = model.merge_and_unload()
    assert type(merged) is transformers.Gemma4ForConditionalGeneration
    assert tiny.wrappers(merged) == {}
    assert merged.state_dict().keys() == weights.keys()
    torch.testing.assert_close(tiny.outputs(merged, gemma.batch()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.row("Gemma 4: the script in docs/")
def test_documented_script(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[2] / "docs" / "gemma4.md"
    (script,) = re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    exec(compile(script, str(page), "exec"), {})  # noqa: S102 - our own page
    printed = capsys.readouterr().out
    assert "reloaded, same output: True" in printed
    assert "merged, same output: True" in printed
