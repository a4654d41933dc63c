"""Write stand-ins for what upstream's tests load into a hub cache: ``python stand_ins.py LIST FOLDER``.

It runs with the libraries that the tests run with, stock PEFT included, so that its files are theirs. What cannot be
made is written to `missing.json` in the folder, with the reason.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from data_sets import data_set  # type: ignore[import-not-found]  # it lies beside this script

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SPECIAL = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
IMAGE = "<image>"  # the token 260


def main(listing: Path, home: Path) -> None:
    """Make every stand-in of the list below a folder that HF_HOME is to name."""
    # before the libraries are imported, which read them once
    os.environ.update(HF_HOME=str(home), HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    entries = tomllib.loads(listing.read_text("utf-8"))
    plans: list[tuple[str, Callable[[Path], None]]] = []
    for kind, make in (("model", model), ("adapter", adapter)):
        for entry in entries[kind]:
            made = partial(commits, partial(make, entry), entry.get("revisions", []))
            plans += [(name, made) for name in entry["replaces"]]
    plans.append(("hf-internal-testing/tiny-sd-pipe", partial(commits, diffusion, [])))
    missing = {name: error for name, make in plans if (error := attempt(repository(home, name), make))}
    for entry in entries["data"]:
        for name in entry["replaces"]:
            folder = home / "datasets" / name.replace("/", "___")
            if error := attempt(folder, partial(data_set, entry, name.rpartition("/")[2])):
                missing[name] = error
    (home / "missing.json").write_text(json.dumps(missing, indent=1), "utf-8")


def repository(home: Path, name: str) -> Path:
    """The folder of a repository in the hub cache."""
    return home / "hub" / f"models--{name.replace('/', '--')}"


def attempt(folder: Path, make: Callable[[Path], None]) -> str:
    """Make one stand-in in its repository's folder; returns what went wrong."""
    folder.mkdir(parents=True)
    try:
        make(folder)
    except Exception as error:  # noqa: BLE001 - whatever it is, the tests that need this one say so, no other stops
        shutil.rmtree(folder)
        return f"{type(error).__name__}: {error}"[:300]
    return ""


def commits(make: Callable[[Path], None], revisions: list[str], folder: Path) -> None:
    """A repository's commits: the branch main, and the further revisions, each with weights of its own."""
    import torch

    (folder / "refs").mkdir()
    for index, revision in enumerate(["main", *revisions]):
        torch.manual_seed(index)
        commit = f"{index:040x}"
        (folder / "refs" / revision).write_text(commit)
        target = folder / "snapshots" / commit
        target.mkdir(parents=True)
        make(target)


def model(entry: dict[str, Any], target: Path) -> None:
    """A model with random weights, its tokenizer, and its processor where the list names one."""
    import transformers

    made = getattr(transformers, entry["class"])
    made(made.config_class(**entry["config"])).save_pretrained(target)
    if entry.get("processor") != "image":
        tokenizer().save_pretrained(target)
    if "processor" in entry:
        processor(entry["processor"], target)


def tokenizer(longest: int = 512) -> Any:
    """A byte-level tokenizer: four special tokens, one token for each byte, and one for images.

    Args:
        longest: the number of tokens that it pads and cuts to.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*SPECIAL.values(), *alphabet, IMAGE]
    inner = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, [], unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    # not `token_type_ids`, which T5 does not take and nobody else needs
    names = ["input_ids", "attention_mask"]
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, model_max_length=longest, model_input_names=names, **SPECIAL
    )
    made.add_special_tokens({"additional_special_tokens": [IMAGE]})
    made.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return made


def processor(kind: str, target: Path) -> None:
    """An image processor, or LLaVA's."""
    import transformers

    if kind == "image":
        # large enough for more than one value per channel in the last stage, which batch norm needs when training
        transformers.ConvNextImageProcessor(size={"shortest_edge": 64}).save_pretrained(target)
        return
    side = {"shortest_edge": 28}
    crop = {"height": 28, "width": 28}
    images = transformers.CLIPImageProcessor(size=side, crop_size=crop)
    made = transformers.LlavaProcessor(
        images,
        tokenizer(),
        patch_size=14,
        vision_feature_select_strategy="default",
        image_token=IMAGE,
        num_additional_image_tokens=1,
    )
    made.save_pretrained(target)


def adapter(entry: dict[str, Any], target: Path) -> None:
    """A LoRA adapter for a stand-in."""
    import peft
    import transformers

    base = getattr(transformers, entry["auto"]).from_pretrained(entry["base"])
    made = peft.get_peft_model(base, peft.LoraConfig(**entry["config"]))
    if entry.get("auto_mapping"):
        parent = {"base_model_class": type(base).__name__, "parent_library": type(base).__module__}
        made.peft_config["default"].auto_mapping = parent
    made.save_pretrained(target / entry.get("subfolder", ""))


def diffusion(target: Path) -> None:
    """A Stable Diffusion pipeline."""
    import diffusers
    import transformers

    text = transformers.CLIPTextConfig(
        vocab_size=1024, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    blocks = {"block_out_channels": (32, 64), "norm_num_groups": 8}
    made = diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, **blocks
        ),
        text_encoder=transformers.CLIPTextModel(text),
        tokenizer=tokenizer(text.max_position_embeddings),
        unet=diffusers.UNet2DConditionModel(
            sample_size=16,
            layers_per_block=1,
            attention_head_dim=8,
            cross_attention_dim=32,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            **blocks,
        ),
        scheduler=diffusers.DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )
    made.save_pretrained(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
