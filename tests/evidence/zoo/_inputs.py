"""Inputs for any model: made from its forward signature and configuration, mended by what the model says is wrong."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from tests.evidence.zoo._own_inputs import INPUTS
from tests.evidence.zoo._shrink import BATCH, LENGTH, attribute

SOUND, FRAMES = 4000, 4
Inputs = dict[str, Any]
# Inputs of a kind, as the types name them.
TEXT = ("input_ids",)
IMAGES = ("pixel_values", "flattened_patches")
VIDEOS = ("pixel_values_videos",)
SOUNDS = ("input_features", "input_values", "audio_values", "audio_input_values")


def find(config: PretrainedConfig, *names: str, default: Any = None) -> Any:
    """The first of these attributes that a configuration, or one inside it, has."""
    todo = [config]
    while todo:
        one = todo.pop(0)
        for name in names:
            value = attribute(one, name)
            if value is not None and not isinstance(value, PretrainedConfig):
                return value
        todo += [part for part in vars(one).values() if isinstance(part, PretrainedConfig)]
    return default


def part(config: PretrainedConfig, *names: str) -> PretrainedConfig:
    """A configuration inside another, or that itself."""
    return next((found for name in names if isinstance(found := attribute(config, name), PretrainedConfig)), config)


class Recipe:
    """What goes into a model, in sizes that may be changed.

    Attributes:
        kinds: the modalities that are given: `text`, `image`, `video`, `audio`.
        sizes: numbers and shapes that a model may correct, see `mend`: it starts with the commonest.
    """

    def __init__(self, model: nn.Module, kinds: frozenset[str]) -> None:
        self.config: PretrainedConfig = model.config
        self.kinds = kinds
        self.signature = {
            name: p
            for name, p in inspect.signature(model.forward).parameters.items()
            if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        }
        vision = part(self.config, "vision_config", "vision_tower_config", "backbone_config", "image_encoder_config")
        size = find(vision, "image_size", "img_size", default=64)
        self.sizes: dict[str, Any] = {
            "image": max(size) if isinstance(size, (list, tuple)) else int(size),
            "channels": find(vision, "num_channels", "in_channels", "in_chans", default=3),
            "image_tokens": 4, "audio_tokens": 4, "video_tokens": 4,
            "mel": 2 * find(self.config, "max_source_positions", default=32), "flat": None, "sound": SOUND,
        }  # fmt: skip

    def inputs(self) -> Inputs:
        """Make them."""
        torch.manual_seed(0)
        made: Inputs = {}
        for name, parameter in self.signature.items():
            maker = _MAKERS.get(name)
            kind = _kind(name)
            asked = name in _ALWAYS or parameter.default is inspect.Parameter.empty or self.sizes.get("everything")
            wanted = kind in self.kinds if kind else asked
            if maker and wanted:
                value = maker(self)
                if value is not None:
                    made[name] = value
        if "use_cache" in self.signature:
            made["use_cache"] = False
        if own := INPUTS.get(self.config.model_type):
            made |= own(self)
        return {name: value for name, value in made.items() if value is not None}

    @property
    def vocabulary(self) -> int:
        return int(min(find(self.config, "vocab_size", default=100), 100))

    def ids(self) -> Tensor:
        """Token ids, with the places of images and sounds in them."""
        ids = torch.randint(3, max(self.vocabulary - 28, 8), (BATCH, LENGTH))
        for kind in ("image", "video", "audio"):
            token = find(self.config, f"{kind}_token_id", f"{kind}_token_index", f"{kind}_soft_token_id")
            if kind in self.kinds and isinstance(token, int):
                places = torch.full((BATCH, self.sizes[f"{kind}_tokens"]), token)
                ids = torch.cat([ids[:, :2], *self._around(kind, places), ids[:, 2:]], dim=1)
        return ids

    def _around(self, kind: str, places: Tensor) -> list[Tensor]:
        """What encloses the places, where the model has tokens for that."""
        start = find(self.config, f"{'vision' if kind != 'audio' else kind}_start_token_id")
        end = find(self.config, f"{'vision' if kind != 'audio' else kind}_end_token_id")
        wrap = [torch.full((BATCH, 1), token) if isinstance(token, int) else None for token in (start, end)]
        return [piece for piece in (wrap[0], places, wrap[1]) if piece is not None]

    @property
    def length(self) -> int:
        return int(self.ids().shape[1])

    # images

    def image(self) -> Tensor | None:
        side, channels = self.sizes["image"], self.sizes["channels"]
        high, wide = self.sizes.get("height", side), self.sizes.get("width", side)
        if self.signature.keys() & {"image_grid_thw", "image_grid_hws", "grid_thw"}:
            return self.patches()
        if "image_position_ids" in self.signature or "pixel_position_ids" in self.signature:
            return self.patches().unflatten(0, (BATCH, 16))
        if self.sizes.get("dims") == 5:
            return torch.rand(BATCH, self.sizes.get("tiles", 1), channels, high, wide)
        if self.sizes["flat"]:
            return torch.rand(BATCH, 16, self.sizes["flat"])
        return torch.rand(BATCH, channels, high, wide)

    def patches(self) -> Tensor:
        """Flat patches, 16 of each image."""
        vision = part(self.config, "vision_config")
        patch = find(vision, "patch_size", default=14)
        temporal = find(vision, "temporal_patch_size", default=1)
        return torch.rand(BATCH * 16, self.sizes["flat"] or self.sizes["channels"] * temporal * patch * patch)

    def grid(self) -> Tensor:
        return torch.tensor([[1, 4, 4]] * BATCH)

    def video(self) -> Tensor | None:
        side, channels = self.sizes["image"], self.sizes["channels"]
        if "video_grid_thw" in self.signature:
            return self.image()
        return torch.rand(BATCH, find(self.config, "num_frames", default=FRAMES), channels, side, side)

    def pixels(self) -> Tensor | None:
        """`pixel_values`, of images or, for models that take nothing else, of videos."""
        if self.sizes.get("video"):
            return self.video()
        return self.image()

    # sounds

    def mel(self) -> Tensor:
        audio = part(self.config, "audio_config", "audio_encoder_config", "speech_config", "encoder_config")
        bins = find(audio, "num_mel_bins", "input_feat_size", "feature_size", "input_feat_per_channel", default=80)
        if self.sizes.get("spectrogram") and "input_features" in self.signature:
            return torch.rand(BATCH, 1, self.sizes["mel"], bins)
        if not self.sizes.get("frames_last") and self._frames_first():
            return torch.rand(BATCH, self.sizes["mel"], bins)
        return torch.rand(BATCH, bins, self.sizes["mel"])

    def _frames_first(self) -> bool:
        """Whether frames come before mel bins: not where the encoder is Whisper's, or like it."""
        return "whisper" not in str(self.config).lower() and "audio" not in str(self.config.model_type)

    def wave(self) -> Tensor:
        if self.sizes.get("mono"):
            return torch.rand(BATCH, 1, self.sizes["sound"])
        return torch.rand(BATCH, self.sizes["sound"])

    # time series

    def past(self) -> Tensor:
        length = find(self.config, "context_length", default=24)
        lags = find(self.config, "lags_sequence", default=[0])
        extra = max(lags) if isinstance(lags, (list, tuple)) else 0
        channels = find(self.config, "num_input_channels", "input_size", default=1)
        shape = (BATCH, length + extra) if channels == 1 else (BATCH, length + extra, channels)
        return torch.rand(shape)


def _kind(name: str) -> str:
    own = {"text": TEXT, "image": (*IMAGES, "image_grid_thw", "image_grid_hws", "image_position_ids", "pixel_position_ids"),
           "video": (*VIDEOS, "video_grid_thw"), "audio": SOUNDS}  # fmt: skip
    return next((kind for kind, names in own.items() if name in names), "")


def kinds(model: nn.Module) -> Iterator[frozenset[str]]:
    """Sets of modalities to try: all that the signature has, then fewer."""
    names = set(inspect.signature(model.forward).parameters)
    has = [
        kind
        for kind, own in (("text", TEXT), ("image", IMAGES), ("audio", SOUNDS), ("video", VIDEOS))
        if names & set(own)
    ]
    for size in range(len(has), 0, -1):
        yield from map(frozenset, itertools.combinations(has, size))


_ALWAYS = {"mm_token_type_ids", "attention_mask", "decoder_input_ids", "token_type_ids", "bbox"}


def _ones(recipe: Recipe) -> Tensor | None:
    return torch.ones(BATCH, recipe.length, dtype=torch.long) if "text" in recipe.kinds else None


def _types(recipe: Recipe) -> Tensor | None:
    if "text" not in recipe.kinds:
        return None
    token = find(recipe.config, "image_token_id", "image_token_index")
    return (
        (recipe.ids() == token).long()
        if isinstance(token, int)
        else torch.zeros(BATCH, recipe.length, dtype=torch.long)
    )


_MAKERS: dict[str, Callable[[Recipe], Any]] = {
    "input_ids": lambda r: r.ids() if "text" in r.kinds else None,
    "attention_mask": _ones,
    "token_type_ids": _types,
    "mm_token_type_ids": _types,
    "decoder_input_ids": lambda r: torch.randint(3, 8, (BATCH, LENGTH)),
    "bbox": lambda r: torch.randint(0, 8, (BATCH, r.length, 4)).cumsum(-1) if "text" in r.kinds else None,
    "pixel_values": Recipe.pixels,
    "pixel_values_videos": Recipe.video,
    "flattened_patches": lambda r: torch.rand(BATCH, 16, 2 + 3 * find(r.config, "patch_size", default=16) ** 2),
    "image_grid_thw": Recipe.grid,
    "video_grid_thw": Recipe.grid,
    "image_grid_hws": lambda r: r.grid()[:, 1:],
    "image_sizes": lambda r: torch.tensor([[r.sizes["image"]] * 2] * BATCH) if "image" in r.kinds else None,
    "image_position_ids": lambda r: torch.tensor([[x, y] for y in range(4) for x in range(4)]).expand(BATCH, 16, 2),
    "pixel_position_ids": lambda r: torch.tensor([[x, y] for y in range(4) for x in range(4)]).expand(BATCH, 16, 2),
    "pixel_attention_mask": lambda r: torch.ones(BATCH, *r.sizes.get("mask", (16,)), dtype=torch.long),
    "spatial_shapes": lambda r: torch.tensor([[4, 4]] * BATCH),
    "input_features": Recipe.mel,
    "audio_values": Recipe.wave,
    "audio_input_values": Recipe.wave,
    "input_values": lambda r: r.mel() if r.sizes.get("spectrogram") else r.wave(),
    "input_features_mask": lambda r: torch.ones(BATCH, r.sizes["mel"], dtype=torch.bool),
    "feature_attention_mask": lambda r: torch.ones(BATCH, r.sizes["mel"], dtype=torch.long),
    "past_values": Recipe.past,
    "past_time_features": lambda r: torch.rand(*r.past().shape[:2], find(r.config, "num_time_features", default=1)),
    "past_observed_mask": lambda r: torch.ones_like(r.past()),
    "hidden_states": lambda r: r.patches(),
    "grid_thw": Recipe.grid,
    "query_embeds": lambda r: torch.rand(BATCH, LENGTH, find(r.config, "hidden_size")),
    "encoder_hidden_states": lambda r: torch.rand(BATCH, 16, find(r.config, "encoder_hidden_size", "hidden_size")),
    "inputs": lambda r: torch.randint(3, 90, (BATCH, LENGTH)),
    "input_points": lambda r: torch.tensor([[[[4.0, 4.0]]]] * BATCH),
    "speech_inputs": Recipe.wave,
    "is_longer": lambda r: torch.zeros(BATCH, 1, dtype=torch.bool),
    "audio_codes": lambda r: torch.randint(0, 8, (BATCH, 2, LENGTH)),
    "qformer_input_ids": lambda r: torch.randint(3, 90, (BATCH, LENGTH)),
}  # fmt: skip


def mend(recipe: Recipe, error: Exception) -> bool:
    """Change a size as an error message asks; whether there was one to change."""
    text = str(error)
    numbers = [int(one) for one in re.findall(r"\d+", text)]
    before = dict(recipe.sizes)
    if match := re.search(
        r"(image|video|audio|speech)s? (?:features|tokens).*do(?:es)? not match", text, re.IGNORECASE
    ):
        kind = {"speech": "audio"}.get(match[1].lower(), match[1].lower())
        if len(numbers) >= 2:
            tokens, features = _tokens_and_features(text, numbers)
            if tokens == features:  # the features were counted by their values
                tokens *= find(part(recipe.config, "text_config"), "hidden_size", default=1)
            recipe.sizes[f"{kind}_tokens"] = max(1, recipe.sizes[f"{kind}_tokens"] * features // max(tokens, 1))
    elif match := re.search(r"expected input\[\d+, \d+, (\d+)\] to have (\d+) channels", text):
        recipe.sizes |= {"frames_last": match[1] == match[2], "mono": match[2] == "1"}
    elif "5D tensor of shape (batch_size, 2" in text:
        recipe.sizes |= {"dims": 5, "tiles": 2}
    elif "Dimension out of range" in text and "input_features" in recipe.signature:
        recipe.sizes["spectrogram"] = True
    elif "Dimension out of range" in text and "input_values" in recipe.signature:
        recipe.sizes |= {"spectrogram": True, "mel": find(recipe.config, "max_length", default=64)}
    elif "doesn't match model" in text and len(numbers) >= 4:
        recipe.sizes |= {"height": numbers[-2], "width": numbers[-1]}
    elif match := re.search(r"input features to be of length (\d+)", text):
        recipe.sizes["mel"] = int(match[1])
    elif match := re.search(r"to have (\d+) channels, but got", text):
        recipe.sizes["channels"] = int(match[1])
    elif "expected 5" in text or "not enough values to unpack (expected 5, got 4)" in text:
        recipe.sizes["dims" if "input_ids" in recipe.signature else "video"] = 5
    elif "expected 3D" in text or "expected 3, got 2" in text:
        recipe.sizes["mono"] = True
    elif match := re.search(r"mat1 and mat2 shapes cannot be multiplied \(\d+x\d+ and (\d+)x\d+\)", text):
        recipe.sizes["flat"] = int(match[1])
    elif "Kernel size can't be greater" in text or "Calculated padded input size" in text:
        recipe.sizes["sound"] *= 4
        recipe.sizes["image"] *= 2
    elif re.search("NoneType|missing|must be|have to|required|not associated|'bool' object", text):
        recipe.sizes["everything"] = True
    return recipe.sizes != before


def _tokens_and_features(text: str, numbers: list[int]) -> tuple[int, int]:
    tokens = re.search(r"tokens\W+(\d+)", text)
    features = re.search(r"features\W+(\d+)", text)
    return (int(tokens[1]), int(features[1])) if tokens and features else (numbers[0], numbers[1])
