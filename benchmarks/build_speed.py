"""How long builds and the tool's verbs take, side by side in one run: patched beside stock, the tool beside fromager.

Run with ``python -m benchmarks.build_speed`` in an environment with the `tool` group. Everything is fetched and cached by a first
round that does not count; after that nothing is downloaded. Each round does all the work in turn, every second one backwards.
What was measured is written to ``benchmarks/results/build_speed.json``; `text` makes the table of ``docs/building.md`` of it.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import fromager
from patchset.pins import CONSTRAINTS, ROOT, find, load
from patchset.sources.sdists import Sdists
from tests.evidence import markdown

PROGRAM = "benchmarks.build_speed"
RESULTS = Path(__file__).with_name("results") / "build_speed.json"
RELEASE = "0.18.1"
ROUNDS = 7
_IMPORTED = ", until it imports"
_VERSIONS = """
import importlib.metadata as m, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = m.version(name)
    except m.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Work:
    """Something that is measured.

    Attributes:
        name: as the table has it.
        command: what is run.
        goal: what it should take, in words.
        beside: the name of the work that it is compared with.
        statuses: exit statuses that mean that the work was done.
        lines: whether the time of the line before the last is measured, too, as another work.
        cwd: where it is run.
        emptied: folders that are removed before.
    """

    name: str
    command: Sequence[str | Path]
    goal: str = ""
    beside: str = ""
    statuses: tuple[int, ...] = (0,)
    lines: bool = False
    cwd: Path = ROOT
    emptied: tuple[Path, ...] = ()


@dataclass
class Figures:
    """What one work took, by round.

    Attributes:
        name: the work's.
        goal: the work's.
        beside: the work's.
        seconds: by the clock.
        cpu: seconds of processor time, of all its processes; none where they cannot be told apart.
    """

    name: str
    goal: str = ""
    beside: str = ""
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def environment() -> dict[str, str]:
    """Nothing that would change what is built, or make each hook compile setuptools anew; what fromager asks for is on this machine."""
    left_out = ("PEFT_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def measured(work: Work) -> dict[str, tuple[float, float | None]]:
    """Do it once.

    Returns:
        Seconds, and seconds of processor time, by name.

    Raises:
        SystemExit: it failed.
    """
    for folder in work.emptied:
        shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryFile("w+") as complaints:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        with subprocess.Popen(
            [str(word) for word in work.command],
            cwd=work.cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        ) as process:
            assert process.stdout
            lines = [time.perf_counter() - start for _ in process.stdout]
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode not in work.statuses:
            complaints.seek(0)
            raise SystemExit(f"error: {work.name} failed: {complaints.read()[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found: dict[str, tuple[float, float | None]] = {}
    if work.lines:
        found[work.name + _IMPORTED] = lines[-2], None
    return {**found, work.name: (seconds, cpu)}


def packages(folder: Path) -> tuple[str | Path, ...]:
    """Put what a build takes into a folder, and say by which options pip and uv take it from there alone."""
    options = ("--quiet", "--dest", folder, "--no-deps", "--require-hashes", "--requirement", CONSTRAINTS)
    subprocess.run([sys.executable, "-m", "pip", "download", *options], check=True)
    return "--no-index", "--find-links", folder


def builds(scratch: Path) -> Iterator[Work]:
    """The builds by front ends and by the tool; all take their packages from one folder, and the sdist from the disk."""
    release = find(RELEASE, load())
    sdist, folder, out = scratch / release.sdist, scratch / "packages", scratch / "out"
    sdist.write_bytes(Sdists().obtain(release))
    there = packages(folder)
    uv = ("uv", "build", "--wheel", "--out-dir", out, *there)
    # pip would keep the wheel of a file, and not build it again
    wheel = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-cache-dir", "--wheel-dir", out, *there)
    patched: tuple[str | Path, ...] = ("-C", f"upstream={RELEASE}", ROOT)
    for name, command in {"uv build --wheel": uv, "pip wheel --no-deps": wheel}.items():
        yield Work(f"`{name}`, stock's sdist", (*command, sdist))
        yield Work(f"`{name}`, patched", (*command, *patched), "0.8 of stock's", f"`{name}`, stock's sdist")
    tool = (sys.executable, "-m", "patchset", "build", "-o", out)
    beside = ""
    if theirs := fromager.installed(scratch / "fromager", release, [sdist, *folder.iterdir()]):
        beside = "fromager, the same wheel with the same patches"
        left = fromager.left(scratch / "fromager", release)
        yield Work(beside, theirs, cwd=scratch / "fromager", emptied=left)
    yield Work(f"`python -m patchset build {RELEASE}`", (*tool, RELEASE), "1 s", beside)
    yield Work(f"`python -m patchset build --all`, {len(load())} wheels", (*tool, "--all"), "5 s")


def verbs(python: str) -> Iterator[Work]:
    """What is no build."""
    tool = (sys.executable, "-m", "patchset")
    there = versions(python)
    # they exit with 1 where they find something
    if "transformers" in there:
        yield Work("`audit` of the installed transformers", (*tool, "audit", "--python", python), "6 s", "", (0, 1))
    if {"peft", "torch"} <= there.keys():
        yield Work("`doctor` of an environment", (*tool, "doctor", "--python", python), "", "", (0, 1), lines=True)
    yield Work("`python -c pass`", (sys.executable, "-c", "pass"))
    yield Work("`python -m patchset --help`", (*tool, "--help"), "", "`python -c pass`")


GOALS = {f"`doctor` of an environment{_IMPORTED}": "2 s"}


def versions(python: str, *names: str) -> dict[str, str]:
    """The versions of packages that an environment has."""
    wanted = names or ("peft", "torch", "transformers")
    answer = subprocess.run([python, "-c", _VERSIONS, *wanted], capture_output=True, text=True, check=True).stdout
    found: dict[str, str] = json.loads(answer)
    return found


def machine() -> dict[str, Any]:
    """The processor, how many of its cores may be used, and the system."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
        name = found[1] if found else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": name, "cores": cores, "system": platform.system(), "architecture": platform.machine()}


def measure(rounds: int, python: str) -> dict[str, Any]:
    """Do all of it, and say where and with what."""
    uv = subprocess.run(["uv", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    loads = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as folder:
        works = [*builds(Path(folder)), *verbs(python)]
        figures: dict[str, Figures] = {}
        for number in range(rounds + 1):
            for work in works if number % 2 else works[::-1]:
                for name, (seconds, cpu) in measured(work).items():
                    print(f"{number or 'first'}: {name}: {seconds:.2f} s", file=sys.stderr, flush=True)
                    one = figures.setdefault(name, Figures(name, GOALS.get(name, work.goal), work.beside))
                    if number:  # the first fills the caches
                        one.seconds.append(round(seconds, 4))
                        one.cpu += [] if cpu is None else [round(cpu, 4)]
            loads.append(os.getloadavg()[0])
        sizes = _sizes(Path(folder, "out"))
    order = [name for work in works for name in (work.name + _IMPORTED, work.name) if name in figures]
    ours = versions(sys.executable, "pip", "setuptools")
    theirs = {"fromager": fromager.VERSION} if any("fromager" in name for name in order) else {}
    return {
        "release": RELEASE,
        "date": time.strftime("%Y-%m-%d"),
        "rounds": rounds,
        "machine": machine(),
        "load": {"lowest": min(loads), "highest": max(loads)},
        "versions": {"python": platform.python_version(), "uv": uv, **ours, **theirs},
        "environment": versions(python),
        "bytes": sizes,
        "works": [vars(figures[name]) for name in order],
    }


def _sizes(out: Path) -> dict[str, int]:
    """What the wheels take, and what ours takes where a server compresses what it sends."""
    wheel = find(RELEASE, load()).wheels[0]
    patched = (out / wheel.file).read_bytes()
    stock = (out / f"peft-{RELEASE}-py3-none-any.whl").stat().st_size
    return {"stock": stock, "patched": len(patched), "patched, gzip": len(gzip.compress(patched, 6))}


def text(found: Mapping[str, Any]) -> str:
    """The figures, in Markdown."""
    where, load = found["machine"], found["load"]
    what = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    environment = ", ".join(f"{name} {version}" for name, version in found["environment"].items())
    busy = ", as the machine had other work to do" if load["lowest"] > where["cores"] else ""
    head = (
        f"{found['date']}, {where['processor']}, {where['cores']} cores, {where['system']} {where['architecture']}; {what}.\n"
        f"{found['rounds']} rounds after one that does not count; "
        f"the load average was {load['lowest']:.1f} to {load['highest']:.1f}{busy}.\n"
    )
    if environment:
        head += f"The environment that `audit` and `doctor` look at has {environment}.\n"
    size = {name: f"{number / 1e6:.2f} MB" for name, number in found["bytes"].items()}
    head += f"Stock's wheel has {size['stock']}, ours {size['patched']}, or {size['patched, gzip']} where it is sent with gzip.\n"
    works = {one["name"]: Figures(**one) for one in found["works"]}
    columns = ("work", "seconds", "of processor time", "beside", "ratio", "goal, at most")
    return f"\n{head}\n{markdown.table(columns, (_row(one, works) for one in works.values()))}\n"


def _row(one: Figures, works: Mapping[str, Figures]) -> list[str]:
    other = works.get(one.beside)
    ratios = [ours / theirs for ours, theirs in zip(one.seconds, other.seconds, strict=True)] if other else []
    return [one.name, _spread(one.seconds), _spread(one.cpu), one.beside, _spread(ratios), one.goal]


def _spread(values: Sequence[float]) -> str:
    """The median, and the smallest and the largest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else ""


def main() -> int:
    """Measure, and write."""
    parser = argparse.ArgumentParser(prog=f"python -m {PROGRAM}", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="that count (default: %(default)s)")
    parser.add_argument(
        "--python",
        default=sys.executable,
        metavar="PATH",
        help="whose transformers, and peft with torch, to look at (default: this one); what is missing there is left out",
    )
    options = parser.parse_args()
    found = measure(options.rounds, options.python)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("written; `python -m tests.evidence.pages` puts it into the page", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
