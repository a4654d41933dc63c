"""The model types of the installed transformers, and the classes that each has."""

from __future__ import annotations

from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

# The whole model before its parts: what takes the most kinds of input comes first, the bare one last.
_ORDER = (
    "MULTIMODAL_LM", "IMAGE_TEXT_TO_TEXT", "VISION_2_SEQ", "SPEECH_SEQ_2_SEQ", "SEQ_TO_SEQ_CAUSAL_LM", "CAUSAL_LM",
    "MASKED_LM", "CTC", "OBJECT_DETECTION", "UNIVERSAL_SEGMENTATION", "SEMANTIC_SEGMENTATION",
    "IMAGE_CLASSIFICATION", "VIDEO_CLASSIFICATION", "AUDIO_CLASSIFICATION", "TIME_SERIES_PREDICTION",
    "PRETRAINING",
)  # fmt: skip
# The whole model, where the mappings above have a part of it only, with another configuration.
_WHOLE = {
    "musicgen": "MusicgenForConditionalGeneration",
    "musicgen_melody": "MusicgenMelodyForConditionalGeneration",
}


def types() -> list[str]:
    """Every model type that has a configuration and a model class."""
    return sorted(name for name in CONFIG_MAPPING_NAMES if classes(name))


def classes(model_type: str) -> list[str]:
    """Names of a type's model classes, three to try first and the bare one."""
    mappings = [f"MODEL_FOR_{task}_MAPPING_NAMES" for task in _ORDER] + ["MODEL_MAPPING_NAMES"]
    found = [_WHOLE[model_type]] if model_type in _WHOLE else []
    for mapping in mappings:
        names = getattr(modeling_auto, mapping, {}).get(model_type, ())
        found += [names] if isinstance(names, str) else list(names)
    found = list(dict.fromkeys(found))
    return found[:3] + found[3:][-1:]
