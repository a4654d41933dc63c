"""``python -m tests.evidence.zoo``: wrap every child of every model type of the installed transformers."""

from __future__ import annotations

import argparse
import concurrent.futures
import datetime
import json
import multiprocessing
import os
import resource
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from pebble import ProcessExpired, ProcessPool
from tqdm import tqdm

from tests.evidence.zoo import _library, failed
from tests.evidence.zoo._examine import examine

RESULTS = Path(__file__).parents[1] / "results" / "zoo"


def main() -> int:
    """Examine what is left to examine, write the file, and print the figures."""
    options = _options()
    output = Path(
        options.output or RESULTS / f"zoo-peft{peft.__version__}-transformers{transformers.__version__}.json"
    )
    kept = output.with_suffix(".partial.jsonl")
    done = {entry["type"]: entry for entry in map(json.loads, kept.read_text().splitlines())} if kept.exists() else {}
    wanted = options.types.split(",") if options.types else _library.types()
    like = (
        {entry["type"]: entry for entry in json.loads(Path(options.like).read_text())["types"]} if options.like else {}
    )
    # what could not be run there cannot be run here: that is before PEFT comes in
    done |= {name: entry for name, entry in like.items() if "stage" in entry and name not in done}
    output.parent.mkdir(parents=True, exist_ok=True)
    with kept.open("a") as lines:
        for entry in _examined([name for name in wanted if name not in done], like, options):
            done[entry["type"]] = entry
            lines.write(json.dumps(entry) + "\n")
            lines.flush()
    results = [done[name] for name in sorted(wanted)]
    versions = {"peft": peft.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
    text = ",\n".join(json.dumps(entry, sort_keys=True) for entry in results)
    about = f'"date": "{datetime.date.today().isoformat()}", "versions": {json.dumps(versions)}'
    output.write_text(f'{{{about}, "types": [\n{text}\n]}}\n')
    kept.unlink()
    _print(results)
    bad = [entry["type"] for entry in results if entry.get("crash") or entry.get("differs") or failed(entry)]
    return int("+" in peft.__version__ and bool(bad))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.evidence.zoo",
        description="Build every model type small, wrap each child that its forward pass calls, compare the outputs; and train, save, "
        "reload and merge with each name in modules_to_save that is called by keyword or nests.",
        epilog="example: python -m tests.evidence.zoo --types gemma3,whisper --output two.json",
    )
    parser.add_argument("--types", metavar="A,B", help="default: all of the installed transformers")
    parser.add_argument(
        "--output", metavar="FILE", help="default: in tests/evidence/results/zoo, named after the versions"
    )
    parser.add_argument("--like", metavar="FILE", help="results with the same transformers, to save the trying out")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="types at a time (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=240, help="for a type (default: %(default)s)")
    parser.add_argument("--memory", type=float, default=6, help="for a type, in GiB (default: %(default)s)")
    return parser.parse_args()


def _limited(memory: float) -> None:
    torch.set_num_threads(1)
    limit = int(memory * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what the libraries say of each type is no news here


def _examined(names: list[str], like: dict[str, Any], options: argparse.Namespace) -> Any:
    """Each type in a process of its own, forked from this one, which has imported all that is heavy."""
    bar = tqdm(total=len(names), unit="type", disable=not sys.stderr.isatty())
    with ProcessPool(
        options.jobs, 1, initializer=_limited, initargs=(options.memory,), context=multiprocessing.get_context("fork")
    ) as pool:
        waiting = {
            pool.schedule(examine, args=(name, like.get(name)), timeout=options.seconds): name for name in names
        }
        for future in concurrent.futures.as_completed(waiting):
            name = waiting[future]
            try:
                yield future.result()
            except concurrent.futures.TimeoutError:
                yield {"type": name, "stage": "time", "reason": f"more than {options.seconds:g} s"}
            except (ProcessExpired, MemoryError) as error:
                yield {"type": name, "stage": "memory", "reason": f"more than {options.memory:g} GiB, or {error}"}
            except Exception as error:
                yield {"type": name, "stage": "wrap", "reason": f"{type(error).__name__}: {error}"[:200]}
            bar.update()
    bar.close()


def _print(results: list[dict[str, Any]]) -> None:
    ran = [entry for entry in results if "class" in entry]
    print(f"peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")
    print(
        f"{len(results)} model types; {len(ran)} were built and run, {sum(len(e['inputs']) > 1 for e in ran)} of them multimodal"
    )
    tried = sum(entry["tried"] for entry in ran)
    print(f"{tried} children wrapped in turn ({sum(e['called'] for e in ran)} called, repeated layers counted)")
    for what in ("crash", "differs", "other", "unwrappable"):
        hit = [entry for entry in ran if entry[what]]
        print(f"{what}: {sum(len(entry[what]) for entry in hit)} children in {len(hit)} types")
    print(f"same output: {sum(entry['same'] for entry in ran)} children")
    lost = [failed(entry) for entry in ran]
    print(
        f"trained, saved, reloaded, merged: {sum(entry['life']['names'] for entry in ran)} names, "
        f"{sum(map(len, lost))} in {sum(map(bool, lost))} types failed"
    )
    for stage, count in Counter(entry["stage"] for entry in results if "stage" in entry).most_common():
        print(f"not run ({stage}): {count} types")


if __name__ == "__main__":
    sys.exit(main())
