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

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

COMMIT = "0" * 40
REVISIONS = ("test", "v2.0.0")  # besides main; all of them the same
SPECIAL = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
IMAGE = "<image>"  # the token 260


def main(listing: Path, home: Path) -> None:
    """Make every stand-in of the list below a folder that HF_HOME is to name."""
    # before the libraries are imported, which read them once
    os.environ.update(HF_HOME=str(home), HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    entries = tomllib.loads(listing.read_text("utf-8"))
    plans: list[tuple[str, Callable[[Path], None]]] = []
    plans += [(name, partial(model, entry)) for entry in entries["model"] for name in entry["replaces"]]
    plans += [(name, partial(adapter, entry)) for entry in entries["adapter"] for name in entry["replaces"]]
    plans.append(("hf-internal-testing/tiny-sd-pipe", diffusion))
    missing = {name: error for name, make in plans if (error := attempt(repository(home, name), make))}
    for name in entries["images"]["replaces"]:
        if error := attempt(home / "datasets" / name.replace("/", "___"), partial(images, name.partition("/")[2])):
            missing[name] = error
    (home / "missing.json").write_text(json.dumps(missing, indent=1), "utf-8")


def repository(home: Path, name: str) -> Path:
    """The folder of a repository in the hub cache."""
    return home / "hub" / f"models--{name.replace('/', '--')}"


def attempt(folder: Path, make: Callable[[Path], None]) -> str:
    """Make one stand-in in its repository's folder; returns what went wrong."""
    import torch

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    try:
        make(folder)
    except Exception as error:  # noqa: BLE001 - whatever it is, the tests that need this one say so, no other stops
        shutil.rmtree(folder)
        return f"{type(error).__name__}: {error}"[:300]
    return ""


def snapshot(folder: Path) -> Path:
    """Give a repository's folder its only commit, under every revision that the tests name."""
    (folder / "refs").mkdir()
    for revision in ("main", *REVISIONS):
        (folder / "refs" / revision).write_text(COMMIT)
    target = folder / "snapshots" / COMMIT
    target.mkdir(parents=True)
    return target


def model(entry: dict[str, Any], folder: Path) -> None:
    """A model with random weights, its tokenizer, and its processor where the list names one."""
    import transformers

    target = snapshot(folder)
    made = getattr(transformers, entry["class"])
    made(made.config_class(**entry["config"])).save_pretrained(target)
    if entry.get("processor") != "image":
        tokenizer().save_pretrained(target)
    if "processor" in entry:
        processor(entry["processor"], target)


def tokenizer() -> Any:
    """A byte-level tokenizer: four special tokens, one token for each byte, and one for images."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*SPECIAL.values(), *alphabet, IMAGE]
    inner = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, [], unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=512, **SPECIAL)
    made.add_special_tokens({"additional_special_tokens": [IMAGE]})
    made.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return made


def processor(kind: str, target: Path) -> None:
    """An image processor, or LLaVA's."""
    import transformers

    side = {"shortest_edge": 28}
    if kind == "image":
        transformers.ConvNextImageProcessor(size=side).save_pretrained(target)
        return
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


def adapter(entry: dict[str, Any], folder: Path) -> None:
    """A LoRA adapter for a stand-in."""
    import peft
    import transformers

    base = getattr(transformers, entry["auto"]).from_pretrained(entry["base"])
    made = peft.get_peft_model(base, peft.LoraConfig(**entry["config"]))
    if entry.get("auto_mapping"):
        parent = {"base_model_class": type(base).__name__, "parent_library": type(base).__module__}
        made.peft_config["default"].auto_mapping = parent
    made.save_pretrained(snapshot(folder) / entry.get("subfolder", ""))


def diffusion(folder: Path) -> None:
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
        tokenizer=tokenizer(),
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
    made.save_pretrained(snapshot(folder))


def images(name: str, folder: Path) -> None:
    """A data set of one picture, as `datasets` keeps one that it has prepared."""
    import datasets
    import numpy
    from datasets.arrow_writer import ArrowWriter
    from PIL import Image

    target = folder / "default" / "0.0.0" / COMMIT
    target.mkdir(parents=True)
    features = datasets.Features(image=datasets.Image())
    with ArrowWriter(path=str(target / f"{name}-test.arrow"), features=features) as writer:
        noise = numpy.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=numpy.uint8)
        writer.write({"image": Image.fromarray(noise)})
        count, size = writer.finalize()
    splits = datasets.SplitDict(dataset_name=name)
    splits.add(datasets.SplitInfo("test", num_bytes=size, num_examples=count, dataset_name=name))
    info = {"builder_name": "imagefolder", "dataset_name": name, "config_name": "default", "version": "0.0.0"}
    datasets.DatasetInfo(features=features, splits=splits, **info).write_to_directory(str(target))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
