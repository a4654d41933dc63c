"""What training a vision tower through `modules_to_save` costs at a real size, against the same tower trained unwrapped.

``python -m benchmarks.tower_training -o RESULT.json`` measures on one GPU; started by ``torchrun --nproc_per_node N -m
benchmarks.tower_training -o RESULT.json`` it measures FSDP2 on N. The model has Gemma 4's shape, several billion parameters in
bf16, random weights. All ways are measured in turn in the same process, and again, so that drift shows.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

WAYS = {
    "unwrapped": "LoRA by PEFT; `requires_grad` set on the tower and the embedder",
    "wrapped": "both in `modules_to_save`",
    "wrapped, original on the CPU": "the same, then `wrapper.original_module.to('cpu')`",
    "wrapped, original on meta": "the same, then `wrapper.original_module.to('meta')`: the original is given up",
}
SAVED = ("vision_tower", "embed_vision")


def config(layers: int) -> Any:
    """Gemma 4's shape."""
    import transformers

    text = {
        "vocab_size": 262_144, "hidden_size": 2560, "intermediate_size": 10_240, "num_hidden_layers": layers,
        "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256, "global_head_dim": 512,
        "vocab_size_per_layer_input": 1024, "hidden_size_per_layer_input": 256, "max_position_embeddings": 8192,
        "layer_types": ["full_attention" if index % 6 == 5 else "sliding_attention" for index in range(layers)],
    }  # fmt: skip
    vision = {
        "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16,
        "num_key_value_heads": 16, "head_dim": 72, "patch_size": 16, "pooling_kernel_size": 3,
    }  # fmt: skip
    ids = {
        "image_token_id": 900,
        "video_token_id": 901,
        "audio_token_id": 902,
        "boi_token_id": 898,
        "eoi_token_id": 899,
    }
    return transformers.Gemma4Config(text_config=text, vision_config=vision, **ids)


def batch(rows: int, length: int, side: int, device: Any) -> dict[str, Any]:
    """One image of side x side soft tokens in each row, and text."""
    import torch

    patches = 3 * side
    ids = torch.randint(3, 800, (rows, length))
    ids[:, 1], ids[:, 2 : 2 + side * side], ids[:, 2 + side * side] = 898, 900, 899
    grid = torch.tensor([[x, y] for y in range(patches) for x in range(patches)])
    found = {
        "input_ids": ids,
        "labels": ids.masked_fill(ids >= 898, -100),
        "mm_token_type_ids": (ids == 900).long(),
        "pixel_values": torch.rand(rows, patches * patches, 3 * 16 * 16).bfloat16(),
        "image_position_ids": grid.expand(rows, patches * patches, 2).contiguous(),
    }
    return {name: value.to(device) for name, value in found.items()}


def wrapped(way: str, layers: int, device: Any) -> Any:
    """The model, ready to train."""
    import peft
    import torch
    import transformers
    from peft.utils.other import ModulesToSaveWrapper

    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with device:
        base = transformers.Gemma4ForConditionalGeneration(config(layers))
    torch.set_default_dtype(torch.float32)
    base.config.use_cache = False
    base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    save = None if way == "unwrapped" else list(SAVED)
    lora = peft.LoraConfig(r=16, target_modules=r".*language_model.*\.(q_proj|v_proj)", modules_to_save=save)
    model = peft.get_peft_model(base, lora, autocast_adapter_dtype=False).to(device)
    if save is None:
        for name in SAVED:
            getattr(model.base_model.model.model, name).requires_grad_(True)
    place = {"wrapped, original on the CPU": "cpu", "wrapped, original on meta": "meta"}.get(way)
    for module in model.modules():
        if place and isinstance(module, ModulesToSaveWrapper):
            module.original_module.to(place)
    return model


def shard(model: Any) -> None:
    """FSDP2 over layers and the rest; an original that is elsewhere is left out."""
    from peft.utils.other import ModulesToSaveWrapper
    from torch.distributed.fsdp import fully_shard

    elsewhere = set()
    for module in model.modules():
        if isinstance(module, ModulesToSaveWrapper):
            elsewhere |= {p for p in module.original_module.parameters() if p.device.type != "cuda"}
    for module in model.modules():
        layer = type(module).__name__ in ("Gemma4TextDecoderLayer", "Gemma4VisionEncoderLayer")
        if layer and not elsewhere.intersection(module.parameters()):
            fully_shard(module)
    fully_shard(model, ignored_params=elsewhere or None)


def measure(way: str, options: argparse.Namespace, device: Any) -> dict[str, Any]:
    """Steps a second and peak memory of one way."""
    import torch
    from torch import distributed

    model = wrapped(way, options.layers, device)
    parameters = sum(p.numel() for name, p in model.named_parameters() if "original_module" not in name)
    if distributed.is_initialized():
        shard(model)
    inputs = batch(options.rows, options.length, 12, device)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    model.train()
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    times, losses = [], []
    for _ in range(options.warm_up + options.steps):
        torch.cuda.synchronize()
        start = time.perf_counter()
        loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
        losses.append(loss.item())
    rates = sorted(1 / seconds for seconds in times[options.warm_up :])
    gib = 2**30
    return {
        "way": way,
        "parameters": parameters,
        "trained": sum(p.numel() for p in trained),
        "steps_per_second": {"median": statistics.median(rates), "lowest": rates[0], "highest": rates[-1]},
        "peak_gib": torch.cuda.max_memory_allocated() / gib,
        "model_gib": before / gib,
        "loss": [losses[0], losses[-1]],
    }


def main() -> int:
    """Measure, and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tower_training", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--layers", type=int, default=34, help="of the language model (default: 34)")
    parser.add_argument("--rows", type=int, default=2, help="of the batch, on each GPU (default: 2)")
    parser.add_argument("--length", type=int, default=1024, help="tokens in a row (default: 1024)")
    parser.add_argument("--steps", type=int, default=10, help="measured (default: 10)")
    parser.add_argument("--warm-up", type=int, default=3, help="steps before those (default: 3)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each way is measured (default: 2)")
    options = parser.parse_args()
    import peft
    import torch
    import transformers
    from torch import distributed

    rank, world = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    torch.cuda.set_device(rank)
    if world > 1:
        distributed.init_process_group("nccl")
    described = {
        "command": f"python -m benchmarks.tower_training {' '.join(sys.argv[1:])}",
        "gpus": [torch.cuda.get_device_name(index) for index in range(world)],
        "engine": f"FSDP2, {world} processes" if world > 1 else "one process",
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version()}
        | {module.__name__: module.__version__ for module in (peft, torch, transformers)},
    }
    results: list[dict[str, Any]] = []
    for way in list(WAYS) * options.rounds:
        try:
            results.append(measure(way, options, torch.device("cuda", rank)))
        except (RuntimeError, ValueError, TypeError) as error:  # what a way cannot do is a result
            results.append({"way": way, "error": f"{type(error).__name__}: {error}"[:400]})
        gc.collect()
        torch.cuda.empty_cache()
        if rank == 0:
            print(json.dumps(results[-1]), flush=True)
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_text(json.dumps({**described, "ways": WAYS, "results": results}, indent=2) + "\n")
    if world > 1:
        distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
