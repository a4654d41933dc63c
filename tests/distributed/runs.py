"""Start an engine, and compare what it leaves with one process."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file

from tests.distributed.cases import Case, place
from tests.distributed.engines import ENGINES, GPU, logits

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


def free_port() -> str:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return str(found.getsockname()[1])


def command(engines: Sequence[str], folder: Path, cases: Sequence[str]) -> list[str]:
    """What starts engines that have the same launcher."""
    worker = ["tests.distributed.worker", str(folder), "+".join(engines), *cases]
    launcher = ENGINES[engines[0]].launcher
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


def starts(engines: Sequence[str]) -> list[list[str]]:
    """Engines that one start can train one after another."""
    found: dict[str, list[str]] = {}
    for engine in engines:
        found.setdefault(engine if ENGINES[engine].alone else ENGINES[engine].launcher, []).append(engine)
    return list(found.values())


def run(engines: Sequence[str], folder: Path, cases: Sequence[str], limit: float = 600) -> None:
    """Train the cases in the engines of one start; each engine gets a folder, and `log` has the output."""
    variables = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    if not GPU:
        variables |= {"DS_ACCELERATOR": "cpu", "ACCELERATE_USE_CPU": "true"}
    for engine in engines:
        place(folder, engine).mkdir(parents=True, exist_ok=True)
    with (place(folder, engines[0]) / "log").open("w") as log:
        try:
            subprocess.run(
                command(engines, folder, cases), cwd=ROOT, env={**os.environ, **variables}, stdout=log,
                stderr=subprocess.STDOUT, check=False, timeout=limit,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            print(f"stopped after {limit:.0f} s", file=log)


def distance(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    """The largest difference; infinite where the names are others."""
    if left.keys() != right.keys() or any(left[key].shape != right[key].shape for key in left):
        return float("inf")
    return max((float((left[key].float() - right[key].float()).abs().max()) for key in left), default=0.0)


def error_of(folder: Path) -> str | None:
    """The first error of a case, without what differs from run to run."""
    for path in sorted(folder.glob("error*.json")):
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
        return {"outcome": "equal", "what": "reloaded outputs equal its own", "losses": seen["losses"]}
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
    untrained = [
        key
        for key in saved
        if key in right and torch.equal(saved[key].float(), initial(case).get(key, right[key] + 1))
    ]
    if bad and untrained:
        what += f"; saved untrained: {len(untrained)} of {len(saved)} tensors"
    return {"outcome": "differs" if bad else "equal", "what": what, "differences": differences}


def initial(case: Case) -> dict[str, torch.Tensor]:
    """What would be saved if nothing had trained."""
    from peft import get_peft_model_state_dict

    model = case.wrap(case.base())
    return {name: value.float() for name, value in get_peft_model_state_dict(model).items()}
