"""``python -m tests.distributed -o RESULT.json``: train every case in every engine on the installed PEFT; compare with one process."""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import json
import platform
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.contract import installed
from tests.distributed.cases import CASES, place
from tests.distributed.engines import ENGINES
from tests.distributed.engines.base import GPU
from tests.distributed.runs import REFERENCE, compare, run, starts


def described() -> dict[str, Any]:
    """What the runs are made with."""
    import torch

    found: dict[str, Any] = {}
    for name in ("peft", "torch", "transformers", "accelerate", "deepspeed", "bitsandbytes", "torchao"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    found["peft"] = importlib.import_module("peft").__version__
    words = [Path(word).name if "/" in word else word for word in sys.argv[1:]]  # nobody else has these folders
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "side": installed().side, "release": str(installed().release), "python": platform.python_version(),
        "backend": "nccl" if GPU else "gloo", "devices": devices or [platform.processor() or "CPU"],
        "date": datetime.date.today().isoformat(), "command": f"python -m tests.distributed {' '.join(words)}",
        "versions": found,
    }  # fmt: skip


def main() -> int:
    """Run, write, and print one line for each case."""
    parser = argparse.ArgumentParser(prog="python -m tests.distributed", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--engine", action="append", help="only this engine; may be given again")
    parser.add_argument("--case", action="append", help="only this case; may be given again")
    parser.add_argument("--jobs", type=int, default=1, help="starts at a time (default: 1)")
    parser.add_argument("--limit", type=float, default=240, help="seconds for a case (default: 240)")
    parser.add_argument("--keep", type=Path, help="folder in which to leave logs and adapters")
    options = parser.parse_args()
    cases, engines = options.case or list(CASES), options.engine or list(ENGINES)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        wanted = [REFERENCE, *(engine for engine in engines if engine != REFERENCE)]
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda pairs: run(pairs, folder, options.limit), starts(wanted, cases, options.jobs)))
        found: dict[str, dict[str, Any]] = {}
        for engine in wanted:
            for name in cases:
                places = [place(folder, part, name) for part in (engine, REFERENCE)]
                try:
                    outcome = compare(CASES[name], engine, *places)
                except Exception as error:
                    outcome = {"outcome": "error", "what": f"cannot be loaded: {type(error).__name__}: {error}"[:300]}
                found.setdefault(engine, {})[name] = outcome
                print(f"{engine:34} {name:24} {outcome['outcome']:12} {outcome['what'][:150]}", flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({**described(), "engines": found}, indent=2, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
