"""Shrink a configuration: the same model with few layers, narrow ones, and a small vocabulary."""

from __future__ import annotations

import inspect
import re
from typing import Any

from transformers import CONFIG_MAPPING, AutoConfig, PretrainedConfig

from tests.evidence.zoo._own import CONFIGURATIONS

VOCABULARY = 128
WIDTH, HEADS, HEAD, INNER = 32, 4, 8, 64
IMAGE, PATCH = 32, 8  # pixels
BATCH, LENGTH = 2, 8  # of the inputs

# Name of a whole number, and what it becomes; the first that matches counts. None: it stays.
_NUMBERS: tuple[tuple[str, int | None], ...] = (
    (r"vocab_size(_.*)?$|.*_vocab_size$|codebook_size$", VOCABULARY),
    (r"max_(source|target)_positions$|n_ctx$|max_seq_len.*|max_sequence_length$", 64),
    (r"(max_)?(n_)?position(s|_embeddings)$|max_position_embeddings$|max_.*positions?$", 128),
    (
        r".*(num|n)_(hidden_|encoder_|decoder_)?(layers?|blocks)$|.*_layers$|num_.*_layers$|n_layer$|depth$|.*_depth$",
        2,
    ),
    (r"(num|n)_(group|limited_groups)$|n_groups?$|topk_group$", 1),
    (r"(num|n)_(local_|routed_)?experts$|moe_num_experts$|num_experts.*_?$", 4),
    (r"num_experts_per_tok$|moe_(topk|k)$|num_selected_experts$|top_k$", 2),
    (r"n_shared_experts$|num_shared_experts?$", 1),
    (r"(num_|n_)?(multi_query_)?(key_value|kv)_heads$|num_kv_heads$|.*_(kv|key_value)_heads$", 2),
    (r".*attention_heads$|(num|n)_heads?$|.*_num_heads$|.*_heads$|nhead$", HEADS),
    (r".*(head_dim|head_size|dim_head|d_kv|rotary_dim)$|.*_dim_per_head$", HEAD),
    (r".*lora_rank$|.*_lora_dim$", HEAD),
    (
        r".*(intermediate|ffn|ffw|feedforward|d_ff|mlp_dim|inner|hidden_act_dim).*(size|dim|dims)?$|d_ff$|n_inner$",
        INNER,
    ),
    (r"image_size$|img_size$", IMAGE),
    (r"patch_size$", PATCH),
    (r"(num_mel_bins|num_channels|in_chans|num_frames|temporal_patch_size|tubelet_size)$", None),
    (
        r".*(hidden|embed|embedding|emb|projection|model|proj|cross_attention|out|input|output)_?(size|dim|dims)$",
        WIDTH,
    ),
    (r"d_model$|n_embd$|dim$|hidden$|embed_dims?$|.*_width$|width$|d_embed$", WIDTH),
    (r"window_size$", 4),
    (r"mm_tokens_per_image$|image_seq_len(gth)?$|vision_soft_tokens_per_image$", 4),
    (r"sliding_window$|attention_window$|local_attention$", 16),
    (r"num_(object_)?queries$|num_latents$|qformer_num_query.*|num_query_tokens$", 8),
)


def attribute(config: PretrainedConfig, name: str) -> Any:
    """A configuration's attribute; None where it has none, or another one for each layer."""
    try:
        return getattr(config, name, None)
    except Exception:  # transformers' own, for what varies by layer, is no AttributeError
        return None


def shrunken(model_type: str, way: str) -> PretrainedConfig:
    """A small configuration of a type.

    Args:
        model_type: as in transformers' mappings.
        way: `narrow` sets widths to a few fixed ones; `scaled` divides the default widths by eight; `short` leaves
            them and takes layers away only, for types whose sizes hang together in their own way.
    """
    kind = CONFIG_MAPPING[model_type]
    try:
        default = kind()
    except Exception:  # a few are not valid without values
        default = kind(**CONFIGURATIONS.get(model_type, {}))
    return _shrink(kind, default, way)


# What a configuration leaves open, and a model wants.
_UNSET = {"prediction_length": 4, "image_token_id": 120, "image_token_index": 120, "audio_token_id": 121}
_UNSET |= {"vocab_size": VOCABULARY, "num_experts_per_tok": 2}
WAYS = ("narrow", "scaled", "short")


def _shrink(
    kind: type[PretrainedConfig], default: PretrainedConfig, way: str, own: dict[str, Any] | None = None
) -> PretrainedConfig:
    values = CONFIGURATIONS.get(kind.model_type, {}) | (own or {})
    parts = getattr(kind, "sub_configs", {})
    for name, value in _defaults(kind).items():
        part = attribute(default, name)
        if part is None and name in parts and parts[name] is not AutoConfig:
            part = parts[name]()  # a tower that is there if it is configured
        inner = values.get(name)
        if isinstance(inner, dict) and "model_type" in inner:
            part = CONFIG_MAPPING[inner["model_type"]]()  # another tower than the default
        if name in parts or isinstance(part, PretrainedConfig):
            if isinstance(part, PretrainedConfig):
                values[name] = _shrink(type(part), part, way, inner if isinstance(inner, dict) else None)
            continue
        if name in values:
            continue
        new = _UNSET.get(name) if value is None else _value(name, value, way)
        if new is not None:
            values[name] = new
    heads = attribute(default, "num_attention_heads")
    if heads is not None and heads == attribute(default, "num_key_value_heads") and "num_attention_heads" in values:
        values["num_key_value_heads"] = values["num_attention_heads"]
    try:
        made = kind(**values)
    except TypeError:  # before transformers 5 some take their parts as mappings alone
        made = kind(**{name: v.to_dict() if isinstance(v, PretrainedConfig) else v for name, v in values.items()})
    if "rope_parameters" not in values:
        _settle(made)
    stages = attribute(default, "stage_names")
    if stages and stages == attribute(made, "stage_names") and "out_features" not in values:
        made.out_features = attribute(default, "out_features")  # what its user wants of a backbone
    return made


def _settle(config: PretrainedConfig) -> None:
    """Bring what follows from the widths into line with them."""
    heads, width = attribute(config, "num_attention_heads"), attribute(config, "hidden_size")
    for rope in (attribute(config, "rope_parameters"), attribute(config, "rope_scaling")):
        if isinstance(rope, dict) and heads and width and "rope_type" in rope:
            # parts of half a head: time, height, width; read by models for images and videos alone
            head = attribute(config, "head_dim") or width // heads
            half = int(head * (rope.get("partial_rotary_factor") or 1)) // 2
            rope["mrope_section"] = [half - 2 * (half // 3), half // 3, half // 3]


def _defaults(kind: type[PretrainedConfig]) -> dict[str, Any]:
    parameters = inspect.signature(kind).parameters.values()
    general = set(inspect.signature(PretrainedConfig).parameters)
    return {p.name: p.default for p in parameters if p.name not in general or p.name.endswith("_token_id")}


def _value(name: str, value: Any, way: str) -> Any:
    """The small value, None where the default stays."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        if re.search(r"token_(id|index)$|_id$", name):
            return _token(name, value)
        return _number(name, value, way)
    if isinstance(value, (list, tuple)) and value and all(isinstance(one, int) for one in value):
        return _list(name, list(value), way)
    if isinstance(value, float) and re.search("dropout|drop_rate|drop_path|layerdrop|droppath", name):
        return 0.0
    return None


def _token(name: str, value: int) -> int | None:
    """Tokens' ids, each its own at the vocabulary's end."""
    if value < VOCABULARY - 28:
        return None
    return VOCABULARY - 1 - sum(map(ord, name)) % 27


def _number(name: str, value: int, way: str) -> int | None:
    for pattern, small in _NUMBERS:
        if re.match(pattern, name):
            if small is None or value <= small:
                return None
            kept = small in (WIDTH, HEADS, HEAD, INNER, IMAGE, PATCH) and way != "narrow"
            if not kept:
                return small
            if way == "scaled" and small in (WIDTH, INNER) and value % 8 == 0:
                return value // 8
            return None
    return None


def _list(name: str, value: list[int], way: str) -> list[int] | None:
    if re.search("depths?$|layers$|num_blocks", name):
        return [min(one, 2) if way == "short" else 1 for one in value]
    if way != "short" and re.search("conv_dim|hidden_sizes|embed_dims?$|channels|dims?$|widths|sizes$", name):
        for divisor in (8, 4, 2):
            if all(one % divisor == 0 for one in value):
                return [one // divisor for one in value]
    return None
