"""A stock LLaMA-Factory environment becomes one that trains with `repair`, and goes back.

``python -m tests.consumers.frameworks.repaired PYTHON`` takes the interpreter of an environment with LLaMA-Factory and stock peft
(`pip install llamafactory==0.9.5`), and trains a tiny Llama in it with ``additional_target: self_attn``: before, which dies,
after `repair`, and once more after the way back. It needs the tool's own packages, and takes minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from patchset.pins import ROOT
from tests.consumers.frameworks.program import KNOWN

MODEL = "from tests.consumers.frameworks import tiny_llama as t; from pathlib import Path as P; t.write_model(P('text')); t.write_dataset(P('texts'))"
SFT = {
    "template": "default", "finetuning_type": "lora", "model_name_or_path": "text", "stage": "sft", "do_train": True,
    "lora_target": "gate_proj,up_proj", "additional_target": "self_attn", "dataset": "answers", "dataset_dir": "texts",
    "cutoff_len": 64, "report_to": "none", "use_cpu": True, "per_device_train_batch_size": 2, "max_steps": 2,
    "save_steps": 2, "learning_rate": 0.01,
}  # fmt: skip


def train(python: Path, work: Path, name: str) -> str:
    """Train by the framework's own command; returns what it printed, and where it dies, why."""
    # JSON is a part of YAML
    (work / f"{name}.yaml").write_text(json.dumps(SFT | {"output_dir": name}))
    kept = {variable: value for variable, value in os.environ.items() if variable != "DISABLE_VERSION_CHECK"}
    result = subprocess.run(
        [str(python.with_name("llamafactory-cli")), "train", f"{name}.yaml"],
        cwd=work,
        env={**kept, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout + result.stderr


def tool(*arguments: str | Path) -> str:
    """Run the tool; returns what it printed."""
    command = [sys.executable, "-m", "patchset", *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(f"$ python -m patchset {' '.join(map(str, arguments))}\n{result.stdout}{result.stderr}")
    return result.stdout


def main() -> None:
    """Print what each step shows."""
    python = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        subprocess.run([str(python), "-c", MODEL], cwd=work, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)

        assert KNOWN in train(python, work, "stock")
        print(f"stock dies: {KNOWN}\n")
        told = tool("repair", "--python", python)
        before = time.time()
        output = train(python, work, "patched")
        assert (work / "patched" / "adapter_model.safetensors").is_file(), output
        print(f"patched trains and saves an adapter, in {time.time() - before:.0f} s\n")
        assert "ok: they are the released wheel's" in tool("doctor", "--python", python)

        (back,) = (line.removeprefix("back: ") for line in told.splitlines() if line.startswith("back: "))
        print(f"$ {back}")
        subprocess.run(back, shell=True, check=True)
        assert KNOWN in train(python, work, "again")
        print("back at stock, which dies as before")


if __name__ == "__main__":
    main()
