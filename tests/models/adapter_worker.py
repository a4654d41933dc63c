"""Writes and reads adapters with whatever `peft` is installed; `test_adapter_files` runs it on both sides.

From the folder `tests`, `python -m models.adapter_worker WRITE_TO READ_FROM` writes every adapter below `WRITE_TO`,
loads the ones below `READ_FROM`, and prints a JSON object: PEFT's version, and for each adapter a digest of what was
loaded.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zlib
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from . import tiny


def tokens() -> tiny.Tiny:
    """Llama with a tied head, to train the embedding of two tokens."""
    llama = tiny.llama()
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    return tiny.Tiny(lambda: transformers.LlamaForCausalLM(config), llama.batch, ["q_proj"], ())


ADAPTERS = {
    "llama, self_attn": (tiny.llama, "default", {}),
    "llama, named adapter": (tiny.llama, "other", {}),
    "llama, trainable tokens": (tokens, "default", {"trainable_token_indices": [3, 5]}),
    "gemma3, vision_tower": (tiny.gemma3, "default", {}),
    "wav2vec2, attention": (tiny.wav2vec2, "default", {}),
}


def fill(model: nn.Module) -> None:
    """Give each parameter values that follow from its name, so that both sides have the same."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.empty_like(p).normal_(generator=torch.Generator().manual_seed(zlib.crc32(name.encode()))))


def base(adapter: str) -> tuple[tiny.Tiny, nn.Module]:
    """The model of this adapter, with the base weights that everyone uses."""
    torch.manual_seed(0)
    case = ADAPTERS[adapter][0]()
    model = case.build()
    fill(model)
    return case, model


def write(adapter: str, folder: Path) -> None:
    """Save an adapter with known values below `folder`."""
    case, model = base(adapter)
    _, name, options = ADAPTERS[adapter]
    config = LoraConfig(r=4, target_modules=case.target, modules_to_save=list(case.save) or None, **options)
    peft_model = get_peft_model(model, config, adapter_name=name)
    fill(peft_model)
    tiny.save(peft_model, folder / adapter)


def saved_in(adapter: str, folder: Path) -> Path:
    """Where `save_pretrained` put the adapter: any but the default one gets a folder of its own."""
    name = ADAPTERS[adapter][1]
    return folder / adapter if name == "default" else folder / adapter / name


def read(adapter: str, folder: Path) -> str:
    """Load an adapter and give a digest of names, values and flags of the resulting model."""
    _, model = base(adapter)
    loaded = PeftModel.from_pretrained(model, saved_in(adapter, folder), is_trainable=True)
    digest = hashlib.sha256()
    flags = {name: p.requires_grad for name, p in loaded.named_parameters()}
    for name, value in sorted(loaded.state_dict().items()):
        digest.update(f"{name} {flags.get(name)} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def main(write_to: str, read_from: str) -> None:
    """Write all, read all, report."""
    for adapter in ADAPTERS:
        write(adapter, Path(write_to))
    loaded = {adapter: read(adapter, Path(read_from)) for adapter in ADAPTERS}
    print(json.dumps({"version": peft.__version__, "loaded": loaded}))


if __name__ == "__main__":
    main(*sys.argv[1:])
