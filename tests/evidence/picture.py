"""``python -m tests.evidence.picture``: draw what the runs wrote into `tests/evidence/results`, beside them, for light and for dark pages.

A picture carries the digest of what it was drawn from and by, which `tests/patchset/test_picture.py` compares.

`matrix/<tox environment>.json` is written by a behaviour run (see `write` in `tests/contract.py`), `zoo/*.json` by the
model zoo (see `tests.evidence.zoo`). Nothing in the picture comes from elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HERE = Path(__file__).parent / "results"
# Each with the colours of the page behind it, and of what is written there.
PICTURES = {HERE / "picture.svg": ("white", "#1f2328"), HERE / "picture-dark.svg": ("#0d1117", "#e6edf3")}
# Blue and orange are told apart by everybody; black is read on all four.
SAME, CRASH, OTHER, NONE = "#67a9cf", "#ef8a62", "#b2abd2", "#d9d9d9"
COLUMNS = (0.16, 0.64, 1.12, 1.54)  # right edges of the versions
WRITTEN = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
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
    rows = alike(cells(matrix))
    for path, (behind, written) in PICTURES.items():
        matplotlib.rcParams.update(dict.fromkeys(WRITTEN, written))
        size = (9, 1.8 + 0.3 * len(zoo) + 0.28 * len(rows))
        figure = Figure(figsize=size, facecolor=behind, layout="constrained")
        top, bottom = figure.subplots(2, height_ratios=(len(zoo) + 1.5, len(rows) + 1.3))
        for axes in (top, bottom):
            axes.set_facecolor(behind)
        draw_zoo(top, zoo)
        draw_matrix(bottom, rows)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None, "Source": f"sha256:{digest()}"})
        print(path.relative_to(HERE.parents[2]))
    return 0


def draw_zoo(axes: Axes, results: Sequence[Mapping[str, Any]]) -> None:
    """A bar for each PEFT: model types by what becomes of a child that is wrapped."""
    versions = [result["versions"] for result in results]
    names = [f"{'patched' if '+' in v['peft'] else 'stock'} {v['peft'].partition('+')[0]}" for v in versions]
    counted = [count(result["types"]) for result in results]
    left = [0] * len(results)
    for label, colour in (("same output", SAME), ("crash", CRASH), ("another error", OTHER), ("not run", NONE)):
        widths = [counts[label] for counts in counted]
        bars = axes.barh(names, widths, left=left, color=colour, label=label)
        axes.bar_label(bars, [str(width) if width else "" for width in widths], label_type="center", color="black")
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, max(left))
    of = " and ".join(sorted({v["transformers"] for v in versions}, key=Version))
    axes.set_title(f"Model types of transformers {of}, each called child wrapped in turn")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=4, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def count(types: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Model types by the worst that happens to a child of theirs."""
    counts = dict.fromkeys(("same output", "crash", "another error", "not run"), 0)
    for entry in types:
        crash = (
            "crash" if entry.get("crash") else "another error" if entry.get("other") or entry.get("differs") else ""
        )
        counts["not run" if "stage" in entry else crash or "same output"] += 1
    return counts


def cells(results: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str, str], dict[str, Mapping[str, Any]]]:
    """Runs by release, transformers, torch and Python; in each, by side."""
    found: dict[tuple[str, str, str, str], dict[str, Mapping[str, Any]]] = {}
    for run in results:
        key = (run["peft"], run["transformers"], run["torch"], run["python"].rpartition(".")[0])
        found.setdefault(tuple(part.partition("+")[0] for part in key), {})[run["side"]] = run
    return dict(sorted(found.items(), key=lambda item: [Version(part) for part in item[0]]))


Row = tuple[list[str], tuple[str, str], tuple[str, str]]


def alike(pairs: dict[tuple[str, str, str, str], dict[str, Mapping[str, Any]]]) -> list[Row]:
    """Pairs of the same releases in one row where torch and Python make no difference: versions, and what each side shows."""
    found: dict[tuple[Any, ...], list[set[str]]] = {}
    for (release, transformers, torch, python), sides in pairs.items():
        shown = tuple(said(sides.get(side)) for side in ("stock", "patched"))
        versions = found.setdefault((release, transformers, *shown), [set(), set()])
        versions[0].add(torch)
        versions[1].add(python)
    return [
        ([release, transformers, *(", ".join(sorted(some, key=Version)) for some in versions)], stock, patched)
        for (release, transformers, stock, patched), versions in found.items()
    ]


def said(run: Mapping[str, Any] | None) -> tuple[str, str]:
    """What to write of a run, and in which colour."""
    if run is None:
        return "not run", NONE
    if not run["ok"]:
        return "FAILED", OTHER
    passed, broken = (run["outcomes"].get(name, 0) for name in ("passed", "xfailed"))
    if run["side"] == "patched":
        return f"{passed} pass" + (f", {broken} left as in stock" if broken else ""), SAME
    return (f"{passed} pass, {broken} fail as known", CRASH) if broken else (f"{passed} pass", SAME)


def draw_matrix(axes: Axes, rows: Sequence[Row]) -> None:
    """A line for each pair of a release with libraries: tests on stock and on patched."""
    for row, (versions, *sides) in enumerate(rows):
        for column, (text, colour) in enumerate(sides):
            axes.barh(row, 0.98, left=1.6 + column, color=colour)
            axes.text(2.09 + column, row, text, ha="center", va="center", color="black")
        for column, text in enumerate(versions):
            axes.text(COLUMNS[column], row, text, ha="right", va="center")
    for column, text in enumerate(("PEFT", "transformers", "torch", "Python")):
        axes.text(COLUMNS[column], -0.9, text, ha="right", va="center", weight="bold")
    for column, text in enumerate(("stock", "patched")):
        axes.text(2.09 + column, -0.9, text, ha="center", va="center", weight="bold")
    axes.set_ylim(len(rows) - 0.5, -1.3)
    axes.set_xlim(0, 3.6)
    axes.set_axis_off()
    axes.set_title("Behaviour tests, each release with libraries of its time")


if __name__ == "__main__":
    sys.exit(main())
