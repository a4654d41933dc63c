"""A folder with a tiny Llama and its tokenizer, as a framework loads them from a hub; and texts to train on.

A layer of Llama calls `self_attn` with keywords only.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

SPECIAL = {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}
WORDS = [
    "Human",
    "Assistant",
    ":",
    "what",
    "is",
    "this",
    "?",
    "a",
    "red",
    "blue",
    "square",
    "circle",
    "user",
    "assistant",
]
# For trainers that have a conversation to lay out.
CHAT = "{% for message in messages %}{{ message['role'] }} : {{ message['content'] }} {{ eos_token }} {% endfor %}"


def write_model(folder: Path) -> None:
    """Write configuration, random weights and tokenizer."""
    vocabulary = {word: number for number, word in enumerate([*SPECIAL.values(), *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL["unk_token"]))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, **SPECIAL)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    config = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=32, max_position_embeddings=128, tie_word_embeddings=False,
        **{f"{name}_token_id": vocabulary[SPECIAL[f"{name}_token"]] for name in ("pad", "eos", "bos")},
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


def write_dataset(folder: Path) -> None:
    """Write questions with an answer, and with a better and a worse one, in LLaMA-Factory's Alpaca format."""
    folder.mkdir(parents=True)
    answers = [
        {"instruction": "what is this ?", "input": "", "output": f"a {what} square"} for what in ["red", "blue"] * 4
    ]
    pairs = [{"instruction": "what is this ?", "input": "", "chosen": "a red square", "rejected": "a blue circle"}] * 8
    (folder / "answers.json").write_text(json.dumps(answers))
    (folder / "pairs.json").write_text(json.dumps(pairs))
    columns = {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"}
    info = {
        "answers": {"file_name": "answers.json"},
        "pairs": {"file_name": "pairs.json", "ranking": True, "columns": columns},
    }
    (folder / "dataset_info.json").write_text(json.dumps(info))
