"""``python -m tests.distributed.worker FOLDER ENGINE[+ENGINE...] [CASE...]``: train cases in an engine; started by torchrun or `accelerate launch`.

For each case `FOLDER/ENGINE/CASE` gets the adapter as a user of the engine saves it, `seen.json` with the losses or with the error,
and, where the engine can give them, `gradients.safetensors` and `outputs.safetensors`: the first step's gradients and the
logits after training, whole.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import distributed

from tests.distributed import engines
from tests.distributed.cases import CASES, STEPS, place


def main(root: Path, started: list[str], names: list[str]) -> None:
    """Train the cases one after another, in one engine after another; an error is a result."""
    for engine in started:
        train(place(root, engine), engine, names)
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def train(folder: Path, engine: str, names: list[str]) -> None:
    """Train the cases in one engine."""
    run = engines.ENGINES[engine]
    rank = int(os.environ.get("RANK", "0"))
    for name in names or list(CASES):
        into = place(folder, name)
        into.mkdir(parents=True, exist_ok=True)
        try:
            made = run.make(CASES[name], into)
            losses, gradients = [], None
            for _ in range(STEPS):
                loss, found = made.step()
                losses.append(loss)
                gradients = gradients or found
            made.save(into)
            seen = {"losses": losses}
            outputs = made.outputs()
        except Exception as error:
            # the last line is what the other process raises too, or else the case is not over
            lines = [f"{type(error).__name__}: {error}".strip(), traceback.format_exc()]
            (into / f"error{rank}.json").write_text(json.dumps({"error": lines[0], "traceback": lines[1]}))
            print(lines[1], file=sys.stderr, flush=True)
            continue
        finally:
            engines.clean()
        if rank == 0:
            if gradients:
                save_file(
                    {key: value.contiguous() for key, value in gradients.items()}, into / "gradients.safetensors"
                )
            if outputs is not None:
                save_file({"logits": outputs.float().contiguous()}, into / "outputs.safetensors")
            (into / "seen.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2].split("+"), sys.argv[3:])
