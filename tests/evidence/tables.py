"""Tables of docs/, in Markdown, each made of the JSON that its runs have written, and of nothing else."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.version import Version

from benchmarks import wrapping_cost
from tests.evidence import markdown
from tests.evidence.upstream._compare import Comparison
from tests.evidence.upstream._report import COLUMNS, row
from tests.evidence.zoo import ELSEWHERE, failed

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "tests" / "evidence" / "results"
BENCHMARKS = ROOT / "benchmarks" / "results"
DISTRIBUTED = ROOT / "tests" / "distributed" / "results"

Result = Mapping[str, Any]


def read(pattern: str, folder: Path = RESULTS) -> list[Result]:
    """The results of that name, in order; a newer release after an older one."""
    paths = sorted(folder.glob(pattern), key=lambda path: path.name)
    if not paths:
        raise SystemExit(f"error: no results {folder / pattern}")
    return [json.loads(path.read_text("utf-8")) for path in paths]


def plain(version: str) -> str:
    """A version without its local label, which says of what torch is built."""
    return version.partition("+")[0]


def oracle() -> str:
    """A row a line, and what was not compared."""
    left: Counter[str] = Counter()
    rows = []
    for result in read("oracle/*.json"):
        refused, differing = sum(result["refused"].values()), sum(item["sequences"] for item in result["failures"])
        counts = (result["sequences"], result["steps"], refused, differing)
        rows.append(
            [plain(result[name]) for name in ("peft", "transformers", "torch")] + [f"{count:,}" for count in counts]
        )
        left.update(result["left"])
    head = ("release", "transformers", "torch", "sequences", "operations", "refused", "differing")
    faults = "".join(f"- {fault}: {count:,} times\n" for fault, count in left.most_common())
    return f"{markdown.table(head, rows, right=3)}\nMet in these runs, and not compared:\n\n{faults}"


def upstream() -> str:
    """A row a line: upstream's whole suite, stock against patched."""
    rows = []
    for result in read("upstream/*.json"):
        found = Comparison(
            result["collected"], Counter(result["same"]), result["unserved"], Counter(result["new"]), result["differences"]
        )  # fmt: skip
        cells = list(row(found).values())
        cells[-1] = f"{found.new['passed']:,}"
        cells.insert(COLUMNS.index("skipped"), f"{len(found.unserved):,}")
        rows.append([plain(result["version"]), result["environment"]["transformers"], *cells])
    columns = list(COLUMNS)
    columns.insert(columns.index("skipped"), "for want of the hub")
    columns[-1] = "new, passing"
    return markdown.table(("release", "transformers", *columns), rows, right=2)


def zoo() -> str:
    """A row a PEFT: model types by what became of their wrapped children."""
    rows, notes, elsewhere = [], [], []
    for result in sorted(read("zoo/zoo-*.json"), key=lambda found: Version(found["versions"]["peft"])):
        release, plus, _ = result["versions"]["peft"].partition("+")
        ran = [entry for entry in result["types"] if "class" in entry]
        crashing = [len(entry["crash"]) for entry in ran if entry["crash"]]
        others = [len(entry["differs"]) + len(entry["other"]) for entry in ran if entry["differs"] or entry["other"]]
        rows.append([
            f"{'patched' if plus else 'stock'} {release}",
            result["versions"]["transformers"],
            f"{len(result['types']):,}",
            f"{len(ran):,}",
            f"{sum(entry['tried'] for entry in ran):,}",
            f"{sum(crashing):,} in {len(crashing):,} types" if crashing else "0",
            f"{sum(others):,} in {len(others):,} types" if others else "0",
            f"{sum(entry['same'] for entry in ran):,}",
            lived(ran),
        ])  # fmt: skip
        refused = sum(len(entry["unwrappable"]) for entry in ran)
        several = sum(len(entry["inputs"]) > 1 for entry in ran)
        notes.append(
            f"{refused} children are of types that PEFT itself refuses to wrap. {several} types are run with more than one kind "
            "of input, images or sounds beside text.\n"
        )
        counts = [sum(what.startswith(ELSEWHERE) for what in entry["life"]["not whole"].values()) for entry in ran]
        if any(counts):
            elsewhere.append(f"{sum(counts):,} names of {sum(map(bool, counts)):,} types with {rows[-1][0]}")
    if elsewhere:
        notes.append(
            "Left out of the last column is what fails in PEFT whatever the name, and says so: no module of that class is wrapped, "
            f"or the model is neither wrapped nor reloaded with LoRA alone; {', '.join(elsewhere)}.\n"
        )
    head = (
        "PEFT",
        "transformers",
        "model types",
        "built and run",
        "children wrapped",
        "crash",
        "other errors",
        "same output",
        "trained, saved, reloaded, merged",
    )
    return f"{markdown.table(head, rows, right=2)}\n{''.join(dict.fromkeys(notes))}"


def lived(types: Sequence[Result]) -> str:
    """Of the names in `modules_to_save` with which the unwrapped model can take a step, how many came through all of it."""
    unfit = sum(len(entry["life"]["not whole"]) - len(failed(entry)) for entry in types)
    names = sum(entry["life"]["names"] for entry in types) - unfit
    return f"{names - sum(map(len, map(failed, types))):,} of {names:,} names"


def cost() -> str:
    """A row a size: seconds of stock, and patched's ratio to them."""
    found = read("wrapping_cost.json", BENCHMARKS)[0]
    return wrapping_cost.table([wrapping_cost.Cell(**cell) for cell in found["cells"]]) + "\n"


def tower() -> str:
    """A row a way of training the tower: steps a second and peak memory, on one GPU and on two."""
    one, two = (read(f"tower-{name}.json", BENCHMARKS)[0] for name in ("one", "two"))
    rows = [[way, *cells(one, way), *cells(two, way)] for way in one["ways"]]
    head = ("way", "one GPU: steps/s", "peak, GiB", "two GPUs, FSDP2: steps/s", "peak, GiB")
    where = f"{two['date']}, {two['gpus'][0]}, " + ", ".join(
        f"{name} {version}" for name, version in two["versions"].items()
    )
    return f"{where}:\n\n{markdown.table(head, rows, right=1)}"


def cells(result: Result, way: str) -> list[str]:
    """The median of the rounds' medians, with the slowest and the fastest step of all; and the peak."""
    rounds = [found for found in result["results"] if found["way"] == way]
    if errors := [found["error"] for found in rounds if "error" in found]:
        return [errors[0], ""]
    speeds = [found["steps_per_second"] for found in rounds]
    low, high = min(speed["lowest"] for speed in speeds), max(speed["highest"] for speed in speeds)
    median = statistics.median(speed["median"] for speed in speeds)
    return [f"{median:.2f} ({low:.2f} to {high:.2f})", f"{max(found['peak_gib'] for found in rounds):.1f}"]
