"""A folder with a tiny Gemma 3, its tokenizer and its processor, as a framework loads them from a hub; and images."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

SPECIAL = {
    "pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>",
    "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>",
}  # fmt: skip
TURNS = ["<start_of_turn>", "<end_of_turn>"]
WORDS = ["user", "model", "what", "is", "this", "a", "red", "blue", "square", "?", "\n"]
SIDE = 16  # pixels of an image


def write_model(folder: Path) -> None:
    """Write configuration, random weights, tokenizer and processor."""
    vocabulary = {word: number for number, word in enumerate([*SPECIAL.values(), *TURNS, *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL["unk_token"]))
    words.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        extra_special_tokens={name: SPECIAL[name] for name in ("boi_token", "eoi_token", "image_token")},
        additional_special_tokens=TURNS,
        **{name: SPECIAL[name] for name in ("pad_token", "eos_token", "bos_token", "unk_token")},
    )
    images = transformers.Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE})
    transformers.Gemma3Processor(images, tokenizer, image_seq_length=4).save_pretrained(folder)
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"vocab_size": 32, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128}
    ids = {f"{name}_index": vocabulary[SPECIAL[name]] for name in ("boi_token", "eoi_token", "image_token")}
    config = transformers.Gemma3Config(
        text_config=small | text | {f"{name}_token_id": vocabulary[f"<{name}>"] for name in ("pad", "eos", "bos")},
        vision_config=small | {"image_size": SIDE, "patch_size": 4, "vision_use_head": False},
        mm_tokens_per_image=4,
        **ids,
    )
    torch.manual_seed(0)
    model = transformers.Gemma3ForConditionalGeneration(config)
    # made as zeros, through which no gradient reaches the vision tower
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight)
    model.save_pretrained(folder)


def write_dataset(folder: Path) -> None:
    """Write four conversations about an image each, in LLaMA-Factory's ShareGPT format."""
    folder.mkdir(parents=True)
    examples = []
    for number, colour in enumerate(["red", "blue"] * 2):
        image = folder / f"{number}.png"
        Image.new("RGB", (SIDE, SIDE), colour).save(image)
        question = {"role": "user", "content": "<image> what is this ?"}
        answer = {"role": "assistant", "content": f"a {colour} square"}
        examples.append({"messages": [question, answer], "images": [str(image)]})
    (folder / "squares.json").write_text(json.dumps(examples))
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    columns = {"messages": "messages", "images": "images"}
    info = {"squares": {"file_name": "squares.json", "formatting": "sharegpt", "columns": columns, "tags": tags}}
    (folder / "dataset_info.json").write_text(json.dumps(info))
