"""``python -m tests.evidence.picture``: draw `tests/evidence/results/picture.svg` from what the runs wrote into `tests/evidence/results`.

The picture carries the digest of what it was drawn from and by, which `tests/patchset/test_picture.py` compares.

`matrix/<tox environment>.json` is written by a behaviour run (see `write` in `tests/contract.py`), `zoo/*.json` by the
model zoo (see `tests.evidence.zoo`). Nothing in the picture comes from elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HERE = Path(__file__).parent / "results"
PICTURE = HERE / "picture.svg"
# Blue and orange are told apart by everybody; white behind them reads on a dark page, too.
SAME, CRASH, OTHER, NONE = "#4393c3", "#d6604d", "#b2abd2", "#d9d9d9"
COLUMNS = (0.2, 0.72, 1.08, 1.48)  # right edges of the versions
STYLE = {"svg.fonttype": "path", "svg.hashsalt": "peft", "font.size": 9}  # the same bytes from the same results


def digest() -> str:
    """SHA-256 of the results and of this program."""
    files = [Path(__file__), *sorted((HERE / "zoo").glob("*.json")), *sorted((HERE / "matrix").glob("*.json"))]
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def main() -> int:
    """Draw; exit status 1 where results are missing."""
    import matplotlib  # late: who only compares digests needs none
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(STYLE)
    zoo = [json.loads(path.read_text()) for path in sorted((HERE / "zoo").glob("*.json"))]
    zoo.sort(key=lambda result: (Version(result["versions"]["peft"]), result["versions"]["peft"]))
    matrix = [json.loads(path.read_text()) for path in sorted((HERE / "matrix").glob("*.json"))]
    if not zoo or not matrix:
        print(
            f"error: no results in {HERE}; run `tox -m full`, `tox -m stock` and `tox -m zoo` first", file=sys.stderr
        )
        return 1
    pairs = cells(matrix)
    figure = Figure(figsize=(9, 1.6 + 0.34 * len(zoo) + 0.36 * len(pairs)), facecolor="white", layout="constrained")
    top, bottom = figure.subplots(2, height_ratios=(len(zoo) + 1, len(pairs) + 1))
    draw_zoo(top, zoo)
    draw_matrix(bottom, pairs)
    figure.savefig(PICTURE, format="svg", metadata={"Date": None, "Creator": None, "Source": f"sha256:{digest()}"})
    print(PICTURE.relative_to(HERE.parents[2]))
    return 0


def draw_zoo(axes: Axes, results: Sequence[dict[str, Any]]) -> None:
    """A bar for each PEFT: model types by what becomes of a child that is wrapped."""
    versions = [result["versions"] for result in results]
    names = [f"{'patched' if '+' in v['peft'] else 'stock'} {v['peft'].partition('+')[0]}" for v in versions]
    counted = [count(result["types"]) for result in results]
    left = [0] * len(results)
    for label, colour in (("same output", SAME), ("crash", CRASH), ("another error", OTHER), ("not run", NONE)):
        widths = [counts[label] for counts in counted]
        bars = axes.barh(names, widths, left=left, color=colour, label=label)
        axes.bar_label(bars, [str(width) if width else "" for width in widths], label_type="center")
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, max(left))
    axes.set_title(f"Model types of transformers {versions[0]['transformers']}, each called child wrapped in turn")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=4, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def count(types: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Model types by the worst that happens to a child of theirs."""
    counts = dict.fromkeys(("same output", "crash", "another error", "not run"), 0)
    for entry in types:
        crash = (
            "crash" if entry.get("crash") else "another error" if entry.get("other") or entry.get("differs") else ""
        )
        counts["not run" if "stage" in entry else crash or "same output"] += 1
    return counts


def cells(results: Sequence[dict[str, Any]]) -> dict[tuple[str, str, str, str], dict[str, dict[str, Any]]]:
    """Runs by release, transformers, torch and Python; in each, by side."""
    found: dict[tuple[str, str, str, str], dict[str, dict[str, Any]]] = {}
    for run in results:
        key = (run["peft"], run["transformers"], run["torch"], run["python"].rpartition(".")[0])
        found.setdefault(tuple(part.partition("+")[0] for part in key), {})[run["side"]] = run
    return dict(sorted(found.items(), key=lambda item: [Version(part) for part in item[0]]))


def draw_matrix(axes: Axes, pairs: dict[tuple[str, str, str, str], dict[str, dict[str, Any]]]) -> None:
    """A line for each pair of a release with libraries: tests on stock and on patched."""
    for row, (key, sides) in enumerate(pairs.items()):
        for column, side in enumerate(("stock", "patched")):
            run = sides.get(side)
            outcomes = run["outcomes"] if run else {}
            broken = outcomes.get("xfailed", 0) if run and run["ok"] else None
            colour = NONE if not run else OTHER if broken is None else CRASH if broken else SAME
            text = "not run" if not run else "FAILED" if broken is None else f"{outcomes.get('passed', 0)} pass"
            text += f", {broken} fail as known" if broken else ""
            axes.barh(row, 0.98, left=1.6 + column, color=colour)
            axes.text(2.09 + column, row, text, ha="center", va="center")
        for column, text in enumerate(key):
            axes.text(COLUMNS[column], row, text, ha="right", va="center")
    for column, text in enumerate(("PEFT", "transformers", "torch", "Python")):
        axes.text(COLUMNS[column], -0.9, text, ha="right", va="center", weight="bold")
    for column, text in enumerate(("stock", "patched")):
        axes.text(2.09 + column, -0.9, text, ha="center", va="center", weight="bold")
    axes.set_ylim(len(pairs) - 0.5, -1.3)
    axes.set_xlim(0, 3.6)
    axes.set_axis_off()
    axes.set_title("Behaviour tests, each release with libraries of its time")


if __name__ == "__main__":
    sys.exit(main())
