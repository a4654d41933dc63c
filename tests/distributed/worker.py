"""``python -m tests.distributed.worker FOLDER PAIRS``: train cases in engines; started by torchrun or `accelerate launch`.

PAIRS is a list in JSON, of an engine and a case each.

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

from tests.distributed.cases import CASES, STEPS, Case, place
from tests.distributed.engines import ENGINES
from tests.distributed.engines.base import Engine, NotHereError, clean


def main(root: Path, pairs: list[list[str]]) -> None:
    """Train one after another; an error is a result."""
    for engine, case in pairs:
        into = place(root, engine, case)
        into.mkdir(parents=True, exist_ok=True)
        train(into, ENGINES[engine], CASES[case])
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def train(into: Path, engine: Engine, case: Case) -> None:
    """Train a case in an engine."""
    rank = int(os.environ.get("RANK", "0"))
    try:
        made = engine.make(case, into)
        losses, gradients = [], None
        for _ in range(STEPS):
            loss, found = made.step()
            losses.append(loss)
            gradients = gradients or found
        made.save(into)
        outputs = made.outputs()
    except Exception as error:
        lines = [f"{type(error).__name__}: {error}".strip(), traceback.format_exc()]
        print(lines[1], file=sys.stderr, flush=True)
        (into / f"error{rank}.json").write_text(json.dumps({"error": lines[0], "traceback": lines[1]}))
        if engine.alone and not isinstance(error, NotHereError):
            os._exit(1)  # the other process waits for this one, and what is left disturbs the next case
        return
    finally:
        clean()
    if rank == 0:
        if gradients:
            save_file({key: value.contiguous() for key, value in gradients.items()}, into / "gradients.safetensors")
        if outputs is not None:
            save_file({"logits": outputs.float().contiguous()}, into / "outputs.safetensors")
        (into / "seen.json").write_text(json.dumps({"losses": losses}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
