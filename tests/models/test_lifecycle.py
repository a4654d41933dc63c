"""From the wrapped model to the merged one, on real models: nothing on the way may change what it should not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft.utils.other import ModulesToSaveWrapper
from safetensors.torch import load_file

from . import tiny

NEEDS_X = pytest.mark.stock_fails("<0.20", raises=TypeError, match="missing 1 required positional argument: 'x'")


def case(build: Callable[[], tiny.Tiny], *marks: pytest.MarkDecorator) -> Any:
    """A model as a parameter."""
    return pytest.param(build, marks=marks, id=build.__name__)


def models(*nested: pytest.MarkDecorator, bert: bool = True) -> pytest.MarkDecorator:
    """Every model, with what stock does wrong in the ones whose names are nested, Bert included or not."""
    return pytest.mark.parametrize(
        "build",
        [
            case(tiny.llama, NEEDS_X),
            case(tiny.bert, NEEDS_X, *nested if bert else ()),
            case(tiny.speecht5, NEEDS_X, *nested),
            case(tiny.gemma3, NEEDS_X),
            case(tiny.wav2vec2),
        ],
    )


UNTRAINED = pytest.mark.stock_fails(">=0.20", raises=AssertionError, match="not trained")
NOT_LOADED = pytest.mark.stock_fails(">=0.20", raises=KeyError, match="base_model.model.")


@models()
@pytest.mark.row("life cycle: wrapped equals unwrapped")
def test_wrapped_equals_unwrapped(build: Callable[[], tiny.Tiny]) -> None:
    case = build()
    model = case.build()
    expected = tiny.outputs(model, case.batch())
    assert tiny.same(tiny.outputs(case.wrap(model), case.batch()), expected)


@models(UNTRAINED)
@pytest.mark.row("life cycle: every named parameter trains")
def test_trains(build: Callable[[], tiny.Tiny]) -> None:
    case = build()
    model = case.wrap()
    losses = tiny.train(model, case.batch(), steps=4)
    assert losses[-1] < losses[0]
    assert tiny.untrained(model, case) == [], "not trained"


@models()
@pytest.mark.parametrize("reentrant", [True, False], ids=["reentrant", "not reentrant"])
@pytest.mark.row("life cycle: gradient checkpointing")
def test_gradient_checkpointing(build: Callable[[], tiny.Tiny], reentrant: bool) -> None:
    case = build()
    plain = case.build()
    weights = tiny.copied(plain)

    def gradients(checkpointing: bool, wrapped: bool = True) -> dict[str, torch.Tensor]:
        model = tiny.rebuilt(case, weights)
        torch.manual_seed(1)  # LoRA's own random weights
        called = (case.wrap(model) if wrapped else model).train()
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
            # A reentrant checkpoint needs an input with a gradient. An audio model may have no embeddings to take it
            # from; Wav2Vec2's `feature_projection` trains, which does as well.
            with contextlib.suppress(NotImplementedError):
                model.enable_input_require_grads()
        called(**case.batch()).loss.backward()
        return {name: p.grad for name, p in called.named_parameters() if p.grad is not None}

    try:
        gradients(checkpointing=True, wrapped=False)
    except RuntimeError as error:
        # SpeechT5 of transformers 5 shares a tensor between its checkpoints.
        pytest.skip(f"the unwrapped model cannot do it: {str(error).splitlines()[0][:60]}")
    expected = gradients(checkpointing=False)
    assert any("modules_to_save" in name for name in expected)
    torch.testing.assert_close(gradients(checkpointing=True), expected)


@models()
@pytest.mark.row("life cycle: disable_adapter()")
def test_disable_adapter(build: Callable[[], tiny.Tiny]) -> None:
    case = build()
    plain, batch = case.build(), case.batch()
    expected = tiny.outputs(plain, batch)
    model = case.wrap(plain)
    tiny.train(model, batch)
    trained = tiny.outputs(model, batch)
    with model.disable_adapter():
        disabled = tiny.outputs(model, batch)
    assert tiny.same(disabled, expected)
    assert not tiny.same(trained, expected)
    assert tiny.same(tiny.outputs(model, batch), trained)


@models(NOT_LOADED)
@pytest.mark.row("life cycle: save, reload")
def test_save_and_reload(build: Callable[[], tiny.Tiny], tmp_path: Path) -> None:
    case = build()
    plain, batch = case.build(), case.batch()
    weights = tiny.copied(plain)
    model = case.wrap(plain)
    tiny.train(model, batch)
    expected = tiny.outputs(model, batch)
    tiny.save(model, tmp_path)
    reloaded = PeftModel.from_pretrained(tiny.rebuilt(case, weights), tmp_path)
    assert tiny.same(tiny.outputs(reloaded, batch), expected)

    saved = load_file(tmp_path / "adapter_model.safetensors")
    for name, wrapper in tiny.outer_wrappers(model).items():
        for key, value in wrapper.modules_to_save["default"].state_dict().items():
            assert torch.equal(saved[f"{name}.{key}"], value)


# `set_adapter` unfreezes the other adapter's copy again, but not what a second wrapper hides in it.
@models(UNTRAINED, bert=False)
@pytest.mark.row("life cycle: second adapter")
def test_second_adapter(build: Callable[[], tiny.Tiny]) -> None:
    case = build()
    plain, batch = case.build(), case.batch()
    base = tiny.outputs(plain, batch)
    model = case.wrap(plain)
    tiny.train(model, batch)
    first = tiny.outputs(model, batch)

    model.add_adapter("other", case.lora())
    assert tiny.same(tiny.outputs(model, batch), first)
    model.set_adapter("other")
    assert tiny.same(tiny.outputs(model, batch), base)
    tiny.train(model, batch, steps=3)
    assert tiny.untrained(model, case, "other") == [], "not trained"
    second = tiny.outputs(model, batch)
    model.set_adapter("default")
    assert tiny.same(tiny.outputs(model, batch), first)
    assert not tiny.same(second, first)
    assert not tiny.same(second, base)


@models()
@pytest.mark.row("life cycle: delete an adapter")
def test_delete_adapter(build: Callable[[], tiny.Tiny]) -> None:
    if not hasattr(ModulesToSaveWrapper, "delete_adapter"):
        pytest.skip("PEFT before 0.16 cannot delete an adapter that has modules_to_save")
    case = build()
    model, batch = case.wrap(), case.batch()
    tiny.train(model, batch)
    first = tiny.outputs(model, batch)
    model.add_adapter("other", case.lora())
    model.delete_adapter("other")
    assert not any("other" in wrapper.modules_to_save for wrapper in tiny.wrappers(model).values())
    assert tiny.same(tiny.outputs(model, batch), first)


@models()
@pytest.mark.row("life cycle: merge")
def test_merge(build: Callable[[], tiny.Tiny]) -> None:
    case = build()
    plain, batch = case.build(), case.batch()
    keys, kind = plain.state_dict().keys(), type(plain)
    model = case.wrap(plain)
    tiny.train(model, batch)
    expected = tiny.outputs(model, batch)
    merged = model.merge_and_unload()
    assert type(merged) is kind
    assert tiny.wrappers(merged) == {}
    assert merged.state_dict().keys() == keys
    torch.testing.assert_close(tiny.outputs(merged, batch), expected, rtol=1e-4, atol=1e-5)


@models()
@pytest.mark.row("life cycle: unload")
def test_unload(build: Callable[[], tiny.Tiny]) -> None:
    case = build()
    plain, batch = case.build(), case.batch()
    keys = plain.state_dict().keys()
    model = case.wrap(plain, init_lora_weights=False)
    tiny.train(model, batch)
    unloaded = model.unload()
    assert tiny.wrappers(unloaded) == {}
    assert unloaded.state_dict().keys() == keys
    assert tiny.outputs(unloaded, batch)["logits"].isfinite().all()
