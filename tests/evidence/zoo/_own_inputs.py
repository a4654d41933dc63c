"""Inputs that single types want, where the forward signature does not tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tests.evidence.zoo._shrink import BATCH, LENGTH

if TYPE_CHECKING:
    from tests.evidence.zoo._inputs import Recipe


def _rand(*shape: int) -> Tensor:
    return torch.rand(BATCH, *shape)


def _ids(*shape: int) -> Tensor:
    return torch.randint(3, 8, (BATCH, *shape))


def _ones(*shape: int) -> Tensor:
    return torch.ones(BATCH, *shape, dtype=torch.long)


def _image(recipe: Recipe) -> Tensor:
    return _rand(3, recipe.sizes["image"], recipe.sizes["image"])


def _images(recipe: Recipe, count: int) -> Tensor:
    """Several images, or frames, for each text."""
    return _image(recipe)[:, None].expand(-1, count, -1, -1, -1)


def _if(recipe: Recipe, kind: str, **values: Any) -> dict[str, Any]:
    """Inputs that belong to a modality: nothing where that is not given."""
    return values if kind in recipe.kinds else {}


def _shared(recipe: Recipe) -> dict[str, Any]:
    """Keys and values that the main model of an assistant has made, for each kind of layer."""
    text = recipe.config.text_config
    states = {}
    for kind in ("full_attention", "sliding_attention"):
        layer = text.per_layer_config[text.layer_types.index(kind)] if kind in text.layer_types else text
        states[kind] = (_rand(layer.num_key_value_heads, LENGTH, layer.head_dim),) * 2
    return {"inputs_embeds": _rand(LENGTH, 2 * recipe.config.backbone_hidden_size), "shared_kv_states": states}


def _row_of_patches(recipe: Recipe) -> dict[str, Any]:
    """The 16 patches of each image of the batch side by side, each as large as a patch."""
    return {"target_sizes": torch.tensor([[4, 4]] * BATCH), "pixel_values": torch.rand(1, 3, 8, 8 * 16 * BATCH)}


def _omni(recipe: Recipe) -> dict[str, Any]:
    mask = _ones(recipe.mel().shape[-1])
    seconds = torch.ones(BATCH)
    return _if(recipe, "audio", feature_attention_mask=mask) | _if(recipe, "video", video_second_per_grid=seconds)


def _series(recipe: Recipe) -> dict[str, Any]:
    return {"past_values": _rand(recipe.config.context_length, recipe.config.num_input_channels)}


# Type -> what is added to the inputs that every type gets, or put in their place; None takes one away.
INPUTS: dict[str, Callable[[Recipe], dict[str, Any]]] = {
    "decision_transformer": lambda r: {
        "states": _rand(LENGTH, r.config.state_dim),
        "actions": _rand(LENGTH, r.config.act_dim),
        "rewards": _rand(LENGTH, 1),
        "returns_to_go": _rand(LENGTH, 1),
        "timesteps": torch.arange(LENGTH).expand(BATCH, LENGTH),
        "attention_mask": _ones(LENGTH),
    },
    "depth_pro": lambda r: {"pixel_values": _rand(3, 128, 128)},
    "dia": lambda r: {"decoder_input_ids": _ids(LENGTH, r.config.decoder_config.num_channels)},
    # two frames go together
    "ernie4_5_vl_moe": lambda r: _if(r, "video", pixel_values_videos=r.patches().repeat(2, 1), video_grid_thw=torch.tensor([[2, 4, 4]] * BATCH)),
    "fun_asr_nano_encoder": lambda r: {
        "input_features": _rand(16, r.config.num_mel_bins * r.config.num_stacked_frames),
        "input_features_mask": _ones(16),
    },
    "gemma3n_audio": lambda r: {
        "audio_mel": _rand(32, r.config.input_feat_size),
        "audio_mel_mask": torch.zeros(BATCH, 32, dtype=torch.bool),
    },
    "gemma4_assistant": _shared,
    "gemma4_audio": lambda r: {"input_features": _rand(32, 128)},
    "gemma4_unified_assistant": _shared,
    # four frames of 80 bins together
    "granite_speech5_ctc": lambda r: {"input_features": _rand(16, 320)},
    "granite_speech5_encoder": lambda r: {"input_features": _rand(16, 320)},
    "idefics": lambda r: _if(r, "image", pixel_values=_images(r, 1), image_attention_mask=_ones(LENGTH, 1)),
    "inkling2_vision": lambda r: {"pixel_values": torch.rand(4 * BATCH, 16, 16, 3), "image_grid_thw": torch.tensor([[1, 2, 2]] * BATCH)},
    # a place for each of two queries of four frames
    "instructblipvideo": lambda r: {"pixel_values": _images(r, 4), "input_ids": torch.cat([torch.full((BATCH, 8), 120), r.ids()], dim=1), "attention_mask": _ones(8 + LENGTH)},
    "kimi_k25_vision": lambda r: {"pixel_values": torch.rand(16 * BATCH, 3, r.config.patch_size, r.config.patch_size)},
    # as many places as latent queries
    "kosmos-2": lambda r: _if(r, "image", image_embeds_position_mask=(torch.arange(LENGTH) < 4).expand(BATCH, -1)),
    "kyutai_speech_to_text": lambda r: {"input_ids": _ids(LENGTH, r.config.num_codebooks + 1)},
    "lightglue": lambda r: {"pixel_values": _rand(2, 3, 32, 32)},
    "lxmert": lambda r: {"visual_feats": _rand(4, r.config.visual_feat_dim), "visual_pos": _rand(4, 4)},
    "mimi_decoder": lambda r: {"latents": _rand(r.config.hidden_size, LENGTH)},
    "minicpm_ocr_vision": _row_of_patches,
    "minicpmv4_7_vision": _row_of_patches,
    "muse_glimmer_assistant": lambda r: {
        "noise_embeds": _rand(r.config.block_size, r.config.hidden_size),
        "context_hidden_states": _rand(LENGTH, r.config.hidden_size * len(r.config.target_layer_ids)),
        "attention_mask": _ones(LENGTH + r.config.block_size),
    },
    "muse_spark_audio": lambda r: {"input_values": _rand(2 * 1920)},
    # four codebooks for each of the batch
    "musicgen": lambda r: {"decoder_input_ids": torch.randint(3, 8, (4 * BATCH, LENGTH))},
    "musicgen_melody": lambda r: {"decoder_input_ids": torch.randint(3, 8, (4 * BATCH, LENGTH)), **_if(r, "audio", input_features=_rand(LENGTH, 12))},
    "nemotron3_5_transcribe_asr_audio": lambda r: {"input_features": _rand(64, 128)},
    "nemotron3_5_transcribe_audio": lambda r: {"input_features": _rand(64, 128)},
    "nemotron3_5_transcribe_word_timestamp": lambda r: {"inputs_embeds": _rand(LENGTH, r.config.hidden_size)},
    "nemotron3_diarization_audio": lambda r: {"input_features": _rand(64, 128)},
    "omdet-turbo": lambda r: {
        "classes_input_ids": _ids(LENGTH),
        "classes_attention_mask": _ones(LENGTH),
        "tasks_input_ids": _ids(LENGTH),
        "tasks_attention_mask": _ones(LENGTH),
        "classes_structure": torch.ones(BATCH, dtype=torch.long),
    },
    "oneformer": lambda r: {"task_inputs": _ids(r.config.task_seq_len)},
    "patchtsmixer": _series,
    "patchtst": _series,
    "pi0": lambda r: {
        "state": _rand(r.config.max_state_dim),
        "noise": _rand(r.config.chunk_size, r.config.max_action_dim),
        "timestep": _rand(),
        "pixel_values": _images(r, 1),
        "pixel_attention_mask": _ones(1),
    },
    "pocket_tts_audio_tokenizer_decoder": lambda r: {"latents": _rand(r.config.hidden_size, LENGTH)},
    "pp_ocrv5_mobile_rec": lambda r: {"pixel_values": _rand(3, 96, 160)},
    "pp_ocrv5_server_rec": lambda r: {"pixel_values": _rand(3, 96, 160)},
    "qwen2_5_omni_thinker": _omni,
    "qwen3_asr_encoder": lambda r: {
        "input_features": _rand(r.config.num_mel_bins, 200),
        "input_features_mask": _ones(200),
    },
    "qwen3_omni_moe_thinker": _omni,
    "seggpt": lambda r: {name: _rand(3, 32, 32) for name in ("pixel_values", "prompt_pixel_values", "prompt_masks")},
    "speech-encoder-decoder": lambda r: {"input_features": None},
    "tapas": lambda r: {"token_type_ids": torch.zeros(BATCH, LENGTH, 7, dtype=torch.long)},
    # only a batch of one: it views a row of embeddings as one for each of the batch
    "tvp": lambda r: {"pixel_values": torch.rand(1, 2, 3, 64, 64), "input_ids": r.ids()[:1], "attention_mask": None},
    "vibevoice_acoustic_tokenizer_decoder": lambda r: {"hidden_states": _rand(r.config.hidden_size, 2)},
    "vibevoice_acoustic_tokenizer_encoder": lambda r: {"hidden_states": _rand(1, 3200)},
    "video_llama_3_vision": lambda r: {"merge_sizes": torch.ones(BATCH, dtype=torch.long)},
    "voxtral_realtime": lambda r: _if(r, "audio", input_features=_rand(r.config.audio_config.num_mel_bins, 64)),
    "voxtral_realtime_encoder": lambda r: {"input_features": _rand(r.config.num_mel_bins, 64)},
    "xclip": lambda r: _if(r, "image", pixel_values=_images(r, r.config.vision_config.num_frames)),
    "xcodec2": lambda r: {"input_values": _rand(1, 3840), "input_features": _rand(12, 80)},
}  # fmt: skip
