"""Start an engine, and compare what it leaves with one process."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file

from tests.distributed.cases import Case, place
from tests.distributed.engines import ENGINES
from tests.distributed.engines.base import GPU, logits

ROOT = Path(__file__).parents[2]
REFERENCE = "one process"
PROCESSES = 2
# Where less is exact than float32 on one device: rounding of bf16, and losses that Trainer rounds for its log.
LOOSE = {"DDP, bf16 autocast": 5e-2}
LOGGED = 1e-3
TOLERANCE = 1e-5
# A quantised base has other outputs; these engines compare their own reloaded ones.
ITSELF = ("bitsandbytes 4-bit", "torchao int8")

Outcome = dict[str, Any]
Pair = tuple[str, str]


def free_port() -> str:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return str(found.getsockname()[1])


def command(folder: Path, pairs: Sequence[Pair]) -> list[str]:
    """What starts engines that have the same launcher."""
    worker = ["tests.distributed.worker", str(folder), json.dumps(pairs)]
    launcher = ENGINES[pairs[0][0]].launcher
    if launcher == "python":
        return [sys.executable, "-m", *worker]
    # `accelerate launch` starts several processes on CPUs through MPI only
    if launcher == "torchrun" or not GPU:
        start = ["torch.distributed.run", "--nproc_per_node", str(PROCESSES), "--master_port", free_port()]
    else:
        start = ["accelerate.commands.launch", "--num_processes", str(PROCESSES), "--num_machines", "1"]
        start += ["--main_process_port", free_port(), "--mixed_precision", "no", "--dynamo_backend", "no"]
        start += ["--multi_gpu"]
    return [sys.executable, "-m", *start, "-m", *worker]


def starts(engines: Sequence[str], cases: Sequence[str], jobs: int = 1) -> list[list[Pair]]:
    """What one start can train one after another, so that `jobs` at a time have about as much to do each."""
    found: dict[tuple[str, int], list[Pair]] = {}
    together = max(1, len(engines) // jobs)
    for index, engine in enumerate(engines):
        key = (
            (engine, 0) if ENGINES[engine].alone else (ENGINES[engine].launcher, index // together if jobs > 2 else 0)
        )
        found.setdefault(key, []).extend((engine, case) for case in cases)
    return list(found.values())


def run(pairs: Sequence[Pair], folder: Path, limit: float = 240) -> None:
    """Train cases in engines of one launcher; where a case ends the process or stops it, start again with the next one.

    Args:
        pairs: Of an engine and a case.
        folder: Gets a folder for each engine, with one for each case; the first engine's has the output, in `log`.
        limit: Seconds for a case, the start included.
    """
    variables = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
        # transformers up to 5.14.1 makes Gemma 4's buffers in the order of a set, and DDP goes by their order
        "PYTHONHASHSEED": "0",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    if not GPU:
        variables |= {"DS_ACCELERATOR": "cpu", "ACCELERATE_USE_CPU": "true"}
    log = place(folder, pairs[0][0]) / "log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as output:
        left = list(pairs)
        while left:
            process = subprocess.Popen(
                command(folder, left), cwd=ROOT, env={**os.environ, **variables}, stdout=output,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
            left = watched(process, folder, left, limit)


def watched(process: subprocess.Popen[bytes], folder: Path, pairs: Sequence[Pair], limit: float) -> list[Pair]:
    """Wait for a start's end, and end it where a case takes too long; what it has not come to."""
    left, since = list(pairs), time.monotonic()
    while process.poll() is None:
        time.sleep(0.2)
        # a case is over when the next one is begun
        while len(left) > 1 and place(folder, *left[1]).exists():
            left, since = left[1:], time.monotonic()
        if time.monotonic() - since > limit:
            break
    process.terminate()  # a launcher ends what it has started
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    while len(left) > 1 and place(folder, *left[1]).exists():
        left = left[1:]
    place(folder, *left[0]).mkdir(parents=True, exist_ok=True)
    return left[1:]


def distance(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    """The largest difference; infinite where the names are others."""
    if left.keys() != right.keys() or any(left[key].shape != right[key].shape for key in left):
        return float("inf")
    return max((float((left[key].float() - right[key].float()).abs().max()) for key in left), default=0.0)


def error_of(folder: Path) -> str | None:
    """The first error of a case, on one line; the other process's may be of the connection that this one closed."""
    for path in sorted(folder.glob("error*.json"), key=lambda path: path.stat().st_mtime_ns):
        text = str(json.loads(path.read_text())["error"])
        return re.sub(r"\s+", " ", text)[:300]
    return None


def compare(case: Case, engine: str, found: Path, reference: Path) -> Outcome:
    """How an engine's case came out.

    `outcome` is `equal`, `differs`, `error` or `not here`; `what` says of what.
    """
    error = error_of(found)
    if error is not None:
        return {"outcome": "not here" if error.startswith("NotHereError") else "error", "what": error}
    if not (found / "seen.json").exists():
        return (
            {"outcome": "error", "what": "hangs, or the process dies"}
            if found.exists()
            else {"outcome": "not here", "what": "not started"}
        )
    seen = json.loads((found / "seen.json").read_text())
    saved = load_file(found / "adapter_model.safetensors")
    if engine in ITSELF:
        left = untrained(case, saved)
        what = f"saved untrained: {len(left)} of {len(saved)} tensors" if left else "reloaded outputs equal its own"
        return {"outcome": "differs" if left else "equal", "what": what, "losses": seen["losses"]}
    if error_of(reference) is not None or not (reference / "seen.json").exists():
        return {"outcome": "no reference", "what": f"one process: {error_of(reference)}"}
    expected = json.loads((reference / "seen.json").read_text())
    losses = max(abs(a - b) for a, b in zip(seen["losses"], expected["losses"], strict=True))
    right = load_file(reference / "adapter_model.safetensors")
    differences = {"losses": losses, "saved file": distance(saved, right)}
    for name in ("gradients", "outputs"):
        if (found / f"{name}.safetensors").exists():
            differences[name] = distance(
                load_file(found / f"{name}.safetensors"), load_file(reference / f"{name}.safetensors")
            )
    with torch.no_grad():
        model = PeftModel.from_pretrained(case.base(), found)
        again = {"logits": logits(model, case.batch())()}
    differences["reloaded"] = distance(again, load_file(reference / "outputs.safetensors"))
    limit = LOOSE.get(engine, TOLERANCE)
    limits = dict.fromkeys(differences, limit) | {"outputs": limit * 10, "reloaded": limit * 10}
    if engine.startswith("Trainer"):
        limits["losses"] = max(limit, LOGGED)
    # not the other way round, for NaN
    bad = [name for name, value in differences.items() if not value <= limits[name]]
    what = ", ".join(f"{name} {differences[name]:.1e}" for name in bad)
    if extra := sorted(right.keys() - saved.keys()):
        what += f"; not saved: {extra[0]} and {len(extra)} in all"
    if bad and (left := untrained(case, saved)):
        what += f"; saved untrained: {len(left)} of {len(saved)} tensors"
    return {"outcome": "differs" if bad else "equal", "what": what, "differences": differences}


def untrained(case: Case, saved: dict[str, torch.Tensor]) -> list[str]:
    """The names of what is saved as it was before training."""
    start = get_peft_model_state_dict(case.wrap(case.base()))
    return [key for key, value in saved.items() if key in start and torch.equal(value.float(), start[key].float())]
