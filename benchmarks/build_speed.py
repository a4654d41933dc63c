"""How long a patched wheel takes, as ratios to building stock's, side by side in one run.

Run with ``python -m benchmarks.build_speed`` in an environment that has the `tool` group. Everything is fetched and
cached by a first round that does not count.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from patchset.pins import ROOT, select
from patchset.sources.sdists import Sdists

ROUNDS = 5


def seconds(command: Sequence[str | Path]) -> float:
    start = time.perf_counter()
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    (release,) = select([])
    with tempfile.TemporaryDirectory() as scratch:
        sdist = Path(scratch, release.sdist)
        sdist.write_bytes(Sdists().obtain(release))
        out = Path(scratch, "out")
        pip: tuple[str | Path, ...] = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", out)
        commands = {"uv build --wheel": ("uv", "build", "--wheel", "-o", out), "pip wheel": pip}
        print(f"{release.version}: median of {ROUNDS} rounds, stock and patched in turn")
        for name, command in commands.items():
            times = [(seconds((*command, sdist)), seconds((*command, ROOT))) for _ in range(ROUNDS + 1)][1:]
            ratio = statistics.median(ours / theirs for theirs, ours in times)
            print(f"  {name}: stock {statistics.median(t for t, _ in times):.2f} s, patched/stock {ratio:.2f}")
    help_times = [seconds((sys.executable, "-m", "patchset", "--help")) for _ in range(ROUNDS + 1)][1:]
    bare = [seconds((sys.executable, "-c", "pass")) for _ in range(ROUNDS + 1)][1:]
    median = statistics.median(help_times)
    print(f"  python -m patchset --help: {median:.2f} s, {median / statistics.median(bare):.1f} times a bare Python")


if __name__ == "__main__":
    main()
