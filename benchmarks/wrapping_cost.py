"""What wrapping, saving and loading cost in models with many modules, as ratios of patched to stock, side by side in one run.

Run with ``python -m benchmarks.wrapping_cost`` in an environment with the `tool` group and the release's torch and
transformers. Both sides are installed into folders of their own, or are named with ``--stock`` and ``--patched``. Two
processes, one a side, are asked in turn; what counts is the least time that the processor spent on it, since whatever else
the machine does only adds to it (`timeit`'s documentation has the same advice).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
MODULES = (1_000, 10_000, 100_000)
MATCHES = (0, 10, 1_000, 10_000)
STEPS = ("get_peft_model", "save", "load")
ROUNDS = 31
GOAL = 1.05


def measure(modules: int, matches: int) -> dict[str, float]:
    """Wrap, save and load one model; seconds of processor time by step."""
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from torch import nn

    class Leaf(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

    def model() -> nn.Module:
        """Blocks of ten leaves, among which the matches are spread evenly, and a layer for LoRA."""
        every = modules // matches if matches else modules + 1
        found = nn.Module()
        found.add_module("target", nn.Linear(1, 1))
        found.add_module("blocks", blocks := nn.ModuleList())
        for start in range(0, modules, 10):
            blocks.append(block := nn.Module())
            for index in range(start, min(start + 10, modules)):
                block.add_module(f"{'match' if index % every == 0 else 'other'}_{index % 10}_head", Leaf())
        return found

    @contextlib.contextmanager
    def timed(step: str) -> Iterator[None]:
        gc.collect()
        gc.disable()
        start = time.process_time()
        yield
        times[step] = time.process_time() - start
        gc.enable()

    names = [f"match_{index}_head" for index in range(10)] if matches else ["none_of_them"]
    config = LoraConfig(target_modules=["target"], modules_to_save=names)
    times: dict[str, float] = {}
    plain, fresh = model(), model()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with timed("get_peft_model"):
            wrapped = get_peft_model(plain, config)
        with timed("save"):
            wrapped.save_pretrained(folder, save_embedding_layers=False)
        del wrapped, plain
        with timed("load"):
            PeftModel.from_pretrained(fresh, folder)
    return times


def serve() -> None:
    """Be the process of one side: a line of JSON in, a line out."""
    import peft
    import torch
    import transformers

    torch.set_num_threads(1)
    print(json.dumps([peft.__version__, torch.__version__, transformers.__version__]), flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(*json.loads(line))), flush=True)


class Side:
    """A process with one of the two trees.

    Attributes:
        versions: Of peft, torch and transformers.
    """

    def __init__(self, tree: Path) -> None:
        paths = os.pathsep.join((str(tree.resolve()), str(ROOT)))
        environment = {**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        command = (sys.executable, "-m", "benchmarks.wrapping_cost", "--serve")
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.versions: list[str] = self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a process ended; its error stands above")
        return json.loads(line)

    def ask(self, modules: int, matches: int) -> dict[str, float]:
        """One measurement."""
        assert self.process.stdin
        print(json.dumps([modules, matches]), file=self.process.stdin, flush=True)
        answer: dict[str, float] = self._answer()
        return answer

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


@dataclass(frozen=True)
class Cell:
    """One size's measurements.

    Attributes:
        modules: How many modules the model has.
        matches: How many of them are saved.
        rounds: How often both sides were measured.
        stock: Least seconds of all rounds by step; `patched` likewise.
        halves: Patched to stock, by step, in the first half of the rounds and in the second, the smaller ratio first.
    """

    modules: int
    matches: int
    rounds: int
    stock: dict[str, float]
    patched: dict[str, float]
    halves: dict[str, tuple[float, float]]

    @property
    def ratio(self) -> dict[str, float]:
        """Of patched to stock, by step."""
        return {step: self.patched[step] / self.stock[step] for step in STEPS}


def compare(sides: tuple[Side, Side], modules: int, matches: int, budget: float) -> Cell:
    """Measure both sides in turn, the first of a round by turns, until there are enough rounds or the time is up."""
    rounds: list[tuple[dict[str, float], dict[str, float]]] = []
    start = time.perf_counter()
    while len(rounds) < ROUNDS and (not rounds or time.perf_counter() - start < budget):
        order = (0, 1) if len(rounds) % 2 else (1, 0)
        found = {index: sides[index].ask(modules, matches) for index in order}
        rounds.append((found[0], found[1]))
    half = len(rounds) // 2
    parts = [[least(part, side) for side in (0, 1)] for part in (rounds[:half] or rounds, rounds[half:])]
    ratios = {step: sorted(ours[step] / theirs[step] for theirs, ours in parts) for step in STEPS}
    halves = {step: (low, high) for step, (low, high) in ratios.items()}
    return Cell(modules, matches, len(rounds), least(rounds, 0), least(rounds, 1), halves)


def least(rounds: Sequence[Sequence[Mapping[str, float]]], side: int) -> dict[str, float]:
    """The least seconds of a side, by step."""
    return {step: min(pair[side][step] for pair in rounds) for step in STEPS}


def row(cell: Cell) -> str:
    """A row of the table."""
    columns = [f"{cell.modules:,}", f"{cell.matches:,}", str(cell.rounds)]
    for step in STEPS:
        low, high = cell.halves[step]
        columns += [f"{cell.stock[step]:.3g} s", f"{cell.ratio[step]:.2f} ({low:.2f} to {high:.2f})"]
    return f"| {' | '.join(columns)} |"


def table(cells: Sequence[Cell]) -> str:
    """The table, in Markdown."""
    head = ["modules", "saved", "rounds"] + [text for step in STEPS for text in (f"{step}, stock", "patched/stock")]
    return "\n".join((f"| {' | '.join(head)} |", f"|{' ---: |' * len(head)}", *map(row, cells)))


def install(folder: Path, release: str) -> tuple[Path, Path]:
    """Stock and patched of a release, each into a folder."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target")
    subprocess.run([*pip, str(folder / "stock"), f"peft=={release}"], check=True)
    subprocess.run([sys.executable, "-m", "patchset", "build", release, "-o", str(folder)], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, str(folder / "patched"), str(wheel)], check=True)
    return folder / "stock", folder / "patched"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wrapping_cost", description=__doc__.partition("\n")[0])
    parser.add_argument("--release", default="0.21.2", help="what to install, unless both folders are named")
    parser.add_argument("--stock", type=Path, metavar="DIR", help="a folder with stock peft in it")
    parser.add_argument("--patched", type=Path, metavar="DIR", help="a folder with the same release, patched")
    parser.add_argument("--modules", type=int, nargs="+", default=MODULES, metavar="N")
    parser.add_argument("--matches", type=int, nargs="+", default=MATCHES, metavar="N")
    parser.add_argument(
        "--budget", type=float, default=60, metavar="S", help="no new round of a size after (default: 60)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve()
    with tempfile.TemporaryDirectory() as scratch:
        stock, patched = arguments.stock, arguments.patched
        if not (stock and patched):
            stock, patched = install(Path(scratch), arguments.release)
        sides = (Side(stock), Side(patched))
        for side in sides:
            side.ask(100, 10)  # a first round that does not count
        sizes = [(size, matches) for size in arguments.modules for matches in arguments.matches if matches <= size]
        (theirs, torch, transformers), ours = sides[0].versions, sides[1].versions[0]
        versions = {"stock": theirs, "patched": ours, "torch": torch, "transformers": transformers}
        cells: list[Cell] = []
        for modules, matches in sizes:
            cells.append(compare(sides, modules, matches, arguments.budget))
            print(row(cells[-1]), file=sys.stderr, flush=True)
            if arguments.json:  # after each, since the last take long
                arguments.json.parent.mkdir(parents=True, exist_ok=True)
                found = {
                    "date": time.strftime("%Y-%m-%d"),
                    **versions,
                    "python": platform.python_version(),
                    "cells": [vars(cell) for cell in cells],
                }
                arguments.json.write_text(json.dumps(found, indent=1) + "\n")
        for side in sides:
            side.close()
    print(f"{theirs} and {ours}, torch {torch}, transformers {transformers}, Python {platform.python_version()}\n")
    print(table(cells))
    worst = max(ratio for cell in cells for ratio in cell.ratio.values())
    print(f"\nlargest ratio: {worst:.2f}, goal: at most {GOAL}")


if __name__ == "__main__":
    main()
