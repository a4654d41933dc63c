"""Outcomes: read from pytest's report log, and kept on disk test by test."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

# What differs from run to run in a message, or does not matter: hosts, addresses, folders, measured times.
_NOISE = [
    (re.compile(r"https?://[\w./-]+"), "(address)"),
    (re.compile(r"0x[0-9a-f]+"), "0x"),
    (re.compile(r"(/[\w.+-]+)+/"), "/"),
    (re.compile(r"\b(tmp|pytest-)[\w-]+"), r"\1"),
    (re.compile(r"\d+\.\d+(e[+-]?\d+)?"), "1.0"),
]
CUT = 300  # characters of a message
_LOCAL = re.compile(r"\+kwargs\.\d+")
# What a test says that needs a file of the model hub, or another host.
_HUB = re.compile(
    r"OfflineModeIsEnabled|LocalEntryNotFound|offline mode|HF_HUB_OFFLINE|couldn't connect to|Couldn't reach|"
    r"Couldn't find (a dataset|cache)|SocketConnectBlocked|on the Hub|"
    r"Can't (load|find) .{0,200}(adapter_config|adapter_model|tokenizer|config\.json)|Cannot load model",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Outcome:
    """What became of one test.

    Attributes:
        kind: `passed`, `failed`, `error` (outside the test's body), `skipped`, `xfailed` or `xpassed`.
        reason: first line of the message, with what differs from run to run taken out; empty where it passed.
        unserved: whether it did not pass because something of the model hub is missing.
    """

    kind: str
    reason: str = ""
    unserved: bool = False

    def same(self, other: Outcome) -> bool:
        """Whether another side's outcome is the same, but for our part of the version and for where a message is cut."""
        left, right = (_LOCAL.sub("", one.reason) for one in (self, other))
        cut = min(len(left), len(right)) if CUT in (len(self.reason), len(other.reason)) else None
        return self.kind == other.kind and left[:cut] == right[:cut]

    @property
    def bad(self) -> bool:
        return self.kind in ("failed", "error")


def read_log(path: Path) -> dict[str, Outcome]:
    """The outcomes in a report log (pytest-reportlog), by node id; the last line may be cut off."""
    outcomes: dict[str, Outcome] = {}
    for line in path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if entry.get("$report_type") == "TestReport":
            outcome = _outcome(entry)
            # a test has up to three reports; the first one that says more than `passed` counts
            known = outcomes.get(entry["nodeid"])
            if outcome is not None and (known is None or known.kind == "passed"):
                outcomes[entry["nodeid"]] = outcome
    return outcomes


def _outcome(report: dict[str, Any]) -> Outcome | None:
    kind, expected = report["outcome"], report.get("wasxfail") is not None
    if kind == "passed":
        return None if report["when"] != "call" else Outcome("xpassed" if expected else "passed")
    message = _message(report.get("longrepr"))
    if kind == "skipped":
        return Outcome("xfailed" if expected else "skipped", reason(message), needs_hub(message))
    kind = "error" if report["when"] in ("setup", "teardown") else "failed"
    return Outcome(kind, reason(message), needs_hub(message))


def _message(longrepr: Any) -> str:
    if isinstance(longrepr, list):  # a skip: file, line, message
        return str(longrepr[-1])
    if isinstance(longrepr, dict):
        return str((longrepr.get("reprcrash") or {}).get("message", ""))
    return str(longrepr or "")


def needs_hub(message: str) -> bool:
    """Whether a message says that something of the model hub, or another host, was not to be had."""
    return bool(_HUB.search(message))


def reason(message: str) -> str:
    """The first line of a message, without what differs from run to run."""
    line = message.strip().splitlines()[0] if message.strip() else ""
    for pattern, replacement in _NOISE:
        line = pattern.sub(replacement, line)
    return line[:CUT]


@dataclass(frozen=True)
class Store:
    """Results of one side, in one JSON file for each test file, so that an interrupted run loses one shard at most."""

    folder: Path

    def load(self, file: str) -> dict[str, Outcome]:
        """The outcomes known for a test file, by node id."""
        path = self._path(file)
        if not path.exists():
            return {}
        return {name: Outcome(*fields) for name, fields in json.loads(path.read_text("utf-8")).items()}

    def add(self, outcomes: dict[str, Outcome]) -> None:
        """Add outcomes; each file is replaced in one step."""
        for file in {file_of(name) for name in outcomes}:
            known = self.load(file) | {name: found for name, found in outcomes.items() if file_of(name) == file}
            write_json(self._path(file), {name: astuple(outcome) for name, outcome in known.items()})

    def _path(self, file: str) -> Path:
        return self.folder / f"{Path(file).stem}.json"


def file_of(name: str) -> str:
    """The test file that a node id lies in."""
    return name.partition("::")[0]


def group(names: Iterable[str]) -> dict[str, list[str]]:
    """Node ids by test file."""
    files: dict[str, list[str]] = {}
    for name in names:
        files.setdefault(file_of(name), []).append(name)
    return files


def write_json(path: Path, value: object) -> None:
    """Write a JSON file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=1), "utf-8")
    partial.replace(path)
