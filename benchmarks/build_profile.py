"""Where a build's time goes, step by step: of the wheel in one process, and of ``pip wheel`` by what it says.

Run with ``python -m benchmarks.build_profile`` in an environment with the `tool` group. ``--before FOLDER`` names another checkout,
whose builds are measured in turn with this one's. What was measured is written to ``benchmarks/results/build_profile.json``, and
`text` makes the tables of ``docs/building.md`` of it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.build_speed import RELEASE, environment, machine, packages, versions
from patchset.pins import ROOT, find, load
from patchset.sources.sdists import Sdists
from tests.evidence import markdown

RESULTS = Path(__file__).with_name("results") / "build_profile.json"
ROUNDS = 7
# Run in a checkout: builds a wheel with the functions of the steps timed, and prints seconds of processor time by step.
_BUILD = """
import json, sys, time
start = time.process_time()
took = {"start of the interpreter": start}

def mark(step, since):
    took[step] = took.get(step, 0) + time.process_time() - since
    return time.process_time()

sys.path.insert(0, ".")
from patchset import backend
now = mark("imports of the backend", start)
import setuptools
now = mark("import of setuptools", now)
from patchset.wheels import hooks
mark("imports of the backend", now)
from patchset.series import tree
from patchset.sources import sdists
inside = []

def timed(owner, name, step):
    function = getattr(owner, name, None)
    if not function:  # an older checkout
        return
    def call(*args, **kwargs):
        since = time.process_time()
        inside.append(0)
        try:
            return function(*args, **kwargs)
        finally:
            own = time.process_time() - since
            took[step] = took.get(step, 0) + own - inside.pop()
            if inside:
                inside[-1] += own
    setattr(owner, name, call)

timed(sdists.Sdists, "obtain", "sdist: found and hashed")
timed(sdists, "unpack", "sdist: unpacked")
timed(tree, "read_series", "patches: read")
timed(tree, "apply_series", "patches: applied")
timed(tree, "tree_digest", "tree: digest")
timed(tree, "stamp", "tree: stamped")
setup_py = getattr(hooks, "setup_py", None)
timed(setup_py, "metadata", "setuptools: metadata")
timed(setup_py, "content", "setuptools: files")
timed(hooks, "_finish", "wheel: completed and written")
timed(backend, "build_wheel", "the rest")
backend.build_wheel(sys.argv[1], {"upstream": sys.argv[2]})
took["all"] = time.process_time()
print(json.dumps(took))
"""
# What pip prints in the end of a step, and what we call that.
_PIP = {
    "Processing": "start of pip",
    "Installing build dependencies: finished": "isolated environment, setuptools in it",
    "Getting requirements to build wheel: finished": "hook: requirements",
    "Preparing metadata (pyproject.toml): finished": "hook: metadata (ours: the wheel)",
    "Building wheel for peft (pyproject.toml): finished": "hook: wheel",
}


def of_build(checkout: Path, out: Path) -> dict[str, float]:
    """Seconds of processor time by step."""
    command = [sys.executable, "-c", _BUILD, str(out), RELEASE]
    answer = subprocess.run(command, cwd=checkout, env=environment(), capture_output=True, text=True, check=True)
    took: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return took


def of_pip(command: Sequence[str | Path]) -> dict[str, float]:
    """Seconds by the clock by what pip does, and of processor time by all its processes."""
    took: dict[str, float] = {}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    last = start = time.perf_counter()
    variables = {**environment(), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if step := next((step for begin, step in _PIP.items() if line.strip().startswith(begin)), ""):
                now = time.perf_counter()
                took[step] = took.get(step, 0) + now - last
                last = now
    end, after = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if process.returncode:
        raise SystemExit(f"error: {' '.join(map(str, command))} failed")
    return {**took, "end of pip": end - last, "all": end - start, "all, of processor time": cpu}


def measure(rounds: int, before: Path | None, its_packages: Path | None) -> dict[str, Any]:
    """Build by turns, and say where and with what.

    Args:
        rounds: that count.
        before: another checkout.
        its_packages: a folder with the packages that its build takes, if they are others.
    """
    release = find(RELEASE, load())
    checkouts = {**({"before": before} if before else {}), "now": ROOT}
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        sdist, there, out = Path(folder, release.sdist), Path(folder, "packages"), Path(folder, "out")
        sdist.write_bytes(Sdists().obtain(release))
        pip = (
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--no-deps",
            "--no-cache-dir",
            "--wheel-dir",
            out,
            *packages(there),
            *(("--find-links", its_packages) if its_packages else ()),
        )
        for number in range(rounds + 1):
            took = {f"build, {name}": of_build(checkout, out) for name, checkout in checkouts.items()}
            took["pip, stock"] = of_pip((*pip, sdist))
            for name, checkout in checkouts.items():
                took[f"pip, {name}"] = of_pip((*pip, "-C", f"upstream={RELEASE}", checkout))
            for name, steps in took.items():
                print(f"{number or 'first'}: {name}: {steps['all']:.2f} s", file=sys.stderr, flush=True)
                if number:  # the first fills the caches
                    found.setdefault(name, []).append(steps)
    return {
        "release": RELEASE,
        "date": time.strftime("%Y-%m-%d"),
        "rounds": rounds,
        "machine": machine(),
        "load": os.getloadavg()[0],
        "versions": versions(sys.executable, "pip", "setuptools"),
        "median": {name: _medians(rounds) for name, rounds in found.items()},
    }


def _medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {step: round(statistics.median(one.get(step, 0) for one in rounds), 4) for step in rounds[0]}


def text(found: Mapping[str, Any]) -> str:
    """The tables, in Markdown."""
    where = found["machine"]
    what = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    written = (
        f"\n{found['date']}, {where['processor']}, {where['cores']} cores; {what}. Medians of {found['rounds']} rounds, in seconds.\n"
        f"The load average was {found['load']:.1f} in the end.\n"
    )
    for kind, unit in (("build", "of processor time"), ("pip", "by the clock")):
        columns = {name: steps for name, steps in found["median"].items() if name.startswith(kind)}
        rows = (
            [step, *(f"{steps[step]:.2f}" if step in steps else "in the rest" for steps in columns.values())]
            for step in list(columns.values())[-1]
        )
        head = [f"`{kind}`, {unit}", *(name.partition(", ")[2] for name in columns)]
        written += "\n" + markdown.table(head, rows)
    return f"{written}\n"


def main() -> int:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.build_profile", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="that count (default: %(default)s)")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="another checkout, measured beside this one")
    parser.add_argument(
        "--packages", type=Path, metavar="FOLDER", help="what its builds take, if that is something else"
    )
    options = parser.parse_args()
    found = measure(options.rounds, *(path and path.resolve() for path in (options.before, options.packages)))
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(text(found), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
