"""The tables of `docs/distributed.md`, of the results beside this file: what ``python -m tests.distributed -o FILE`` has written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.evidence import markdown

NO_X = "missing 1 required positional argument: 'x'"

Run = Mapping[str, Any]


def text(results: Sequence[Run]) -> str:
    """For each backend: what it ran with, the counts, and what did not come out equal."""
    runs = sorted(results, key=lambda run: (run["backend"], run["release"], run["side"] != "stock"))
    parts = []
    for backend in dict.fromkeys(run["backend"] for run in runs):
        found = [run for run in runs if run["backend"] == backend]
        parts += [heading(found), counts(found), "\nWhat was not equal:\n\n", failures(found), "\n"]
    return "".join(parts)


def heading(runs: Sequence[Run]) -> str:
    """What the runs of a backend ran with, and which release with which versions if they differ."""
    where = f"{len(runs[0]['devices'])} x {runs[0]['devices'][0]}" if runs[0]["backend"] == "nccl" else "CPUs"
    ran: dict[str, list[str]] = {}
    for run in runs:
        versions = ", ".join(f"{name} {found}" for name, found in run["versions"].items() if name != "peft" and found)
        ran.setdefault(f"{run['date']}: Python {run['python']}, {versions}", []).append(run["release"])
    lines = [f"PEFT {', '.join(dict.fromkeys(releases))}, {what}.\n\n" for what, releases in ran.items()]
    return f"### {runs[0]['backend']}, {where}\n\n{''.join(lines)}"


def counts(runs: Sequence[Run]) -> str:
    """How many cases are equal to one process, of those that ran."""
    engines = dict.fromkeys(engine for run in runs for engine in run["engines"])
    rows = ([engine, *(count(run["engines"].get(engine, {})) for run in runs)] for engine in engines)
    return markdown.table(["engine", *(f"{run['side']} {run['release']}" for run in runs)], rows)


def count(cases: Mapping[str, Mapping[str, Any]]) -> str:
    """`7 of 9`, or a dash where nothing ran."""
    ran = [case for case in cases.values() if case["outcome"] != "not here"]
    return f"{sum(case['outcome'] == 'equal' for case in ran)} of {len(ran)}" if ran else "-"


def failures(runs: Sequence[Run]) -> str:
    """Engine by engine, what happened instead, in which cases, on which sides."""
    found: dict[tuple[str, str], dict[tuple[str, ...], list[str]]] = {}
    for run in runs:
        grouped: dict[tuple[str, str], list[str]] = {}
        for engine, cases in run["engines"].items():
            for name, case in cases.items():
                if case["outcome"] not in ("equal", "not here"):
                    grouped.setdefault((engine, shortened(case)), []).append(name)
        for key, names in grouped.items():
            found.setdefault(key, {}).setdefault(tuple(sorted(names)), []).append(f"{run['side']} {run['release']}")
    rows = []
    known = list(dict.fromkeys(engine for run in runs for engine in run["engines"]))
    for (engine, what), groups in sorted(found.items(), key=lambda item: (known.index(item[0][0]), item[0][1])):
        for cases, sides in groups.items():
            rows.append((engine, what, "; ".join(cases), ", ".join(sides)))
    return markdown.table(("engine", "what", "cases", "PEFT"), rows)


def shortened(case: Mapping[str, Any]) -> str:
    """What happened, without numbers that differ from run to run."""
    text = str(case["what"])
    if NO_X in text:
        return "`TypeError`, the missing `x`"
    if text == "hangs, or the process dies":
        return "no result"
    if case["outcome"] == "differs":
        return re.sub(r" [\d.]+e[+-]\d+| inf| nan", "", text) + " differ"
    text = re.sub(r"\s+", " ", re.sub(r"GPU \d.*|0x\w+|\[127.*", "", text)).replace("|", "/").replace("`", "'")
    return f"`{text[:140].strip()}`"
