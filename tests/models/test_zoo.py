"""A sample of the model zoo, spread over the modalities: every child wrapped in turn gives the unwrapped output."""

from __future__ import annotations

import pytest

from tests.evidence.zoo import _library
from tests.evidence.zoo._examine import examine

pytestmark = pytest.mark.row("zoo: each child of a model wrapped in turn, same output")
# Their forward passes call a child by keyword only, in every transformers that is tested with.
CRASHING = [
    "llama", "mixtral", "gemma2", "bert", "t5", "bart", "clip", "siglip", "gemma3", "llava", "idefics3", "blip-2",
    "whisper", "speecht5", "time_series_transformer",
]  # fmt: skip
# Theirs do not.
FINE = ["gpt2", "vit", "beit", "segformer", "videomae", "wav2vec2", "audio-spectrogram-transformer"]


def examined(model_type: str) -> None:
    if model_type not in _library.types():
        pytest.skip(f"this transformers has no {model_type}")
    found = examine(model_type)
    assert "reason" not in found, found
    assert found["same"], "some child was wrapped"
    assert not found["differs"], found["differs"]
    assert not found["other"], found["other"]
    assert not found["crash"], f"crash: {found['crash']}"


@pytest.mark.stock_fails("<0.20", raises=AssertionError, match="crash: ")
@pytest.mark.parametrize("model_type", CRASHING)
def test_called_by_keyword(model_type: str) -> None:
    examined(model_type)


@pytest.mark.parametrize("model_type", FINE)
def test_called_by_position(model_type: str) -> None:
    examined(model_type)
