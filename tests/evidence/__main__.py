"""``python -m tests.evidence``: which file each page has its figures from, what wrote it and when, and whether patches changed since.

A result is older than the patches if `vendor/releases.toml` locks another tree for a patched wheel that it names than when the
result was committed. It takes git's history for that. Exit status 1 says that some are.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import tomlkit

from patchset.commits.git import git
from patchset.pins import RELEASES, ROOT, load
from patchset.verbs.printing import console, print_json, print_table

_WHEEL = re.compile(r"\b(0\.\d+\.\d+)(?:\+kwargs\.|-\d+kwargs)\d")


@dataclass(frozen=True)
class Source:
    """Results that a page has its figures from.

    Attributes:
        page: its name in docs/.
        files: their names, as a pattern below the repository's root.
        command: what writes them.
    """

    page: str
    files: str
    command: str


SOURCES = (
    Source("auditing", "tests/evidence/results/audit.json", "python -m tests.evidence.audit_measure"),
    Source("building", "benchmarks/results/build_profile.json", "python -m benchmarks.build_profile --before FOLDER"),
    Source("building", "benchmarks/results/build_speed.json", "python -m benchmarks.build_speed"),
    Source("building", "tests/evidence/results/reproducibility.md", "python -m tests.evidence.reproducibility"),
    Source("cost", "benchmarks/results/wrapping_cost.json", "python -m benchmarks.wrapping_cost --json FILE"),
    Source("distributed", "benchmarks/results/tower-*.json", "python -m benchmarks.tower_training -o FILE"),
    Source("distributed", "tests/distributed/results/*.json", "python -m tests.distributed -o FILE"),
    Source("frameworks", "tests/evidence/results/frameworks/*.json", "tox -m frameworks"),
    Source("oracle", "tests/evidence/results/oracle/*.json", "python -m tests.oracle --sequences 10000 --json FILE"),
    Source("testing", "tests/evidence/results/matrix/*.json", "tox -m full, tox -m stock"),
    Source("upstream-tests", "tests/evidence/results/upstream/*.json", "tox -e upstream-LINE -- --all --json FILE"),
    Source("zoo", "tests/evidence/results/zoo/zoo-*.json", "tox -m zoo"),
)


@dataclass(frozen=True)
class Result:
    """One file of results.

    Attributes:
        source: what it belongs to.
        file: its path below the repository's root.
        made: the day on which it was committed.
        wheels: the releases whose patched wheels it names; none where it is about stock.
        older: those of them whose patched tree is another one by now.
    """

    source: Source
    file: str
    made: str
    wheels: tuple[str, ...]
    older: tuple[str, ...]


def results() -> Iterator[Result]:
    """All results, page by page.

    Raises:
        RuntimeError: there is no history of git to look into.
    """
    check_history()
    now = {release.version: release.tree for release in load()}
    pins: dict[str, Mapping[str, str]] = {}
    for source in SOURCES:
        for path in sorted(ROOT.glob(source.files)):
            file = path.relative_to(ROOT).as_posix()
            wheels = tuple(sorted(set(_WHEEL.findall(path.read_text("utf-8")))))
            # what only moved was not made anew
            found = git(ROOT, "log", "--follow", "--diff-filter=AM", "-1", "--format=%H %as", "--", file).split()
            if not found:
                yield Result(source, file, "not committed", wheels, ())
                continue
            commit, day = found
            if commit not in pins:
                pins[commit] = trees(git(ROOT, "show", f"{commit}:{RELEASES.relative_to(ROOT).as_posix()}"))
            older = tuple(wheel for wheel in wheels if pins[commit].get(wheel) != now.get(wheel))
            yield Result(source, file, day, wheels, older)


def trees(text: str) -> dict[str, str]:
    """Of the pins' file, each release's locked tree."""
    return {entry["version"]: entry.get("tree", "") for entry in tomlkit.parse(text).unwrap()["release"]}


def check_history() -> None:
    """Look whether this is a clone with its history.

    Raises:
        RuntimeError: it is none.
    """
    if not (ROOT / ".git").exists():
        raise RuntimeError("this is no clone, so that nobody knows when results were made")
    if git(ROOT, "rev-parse", "--is-shallow-repository").strip() != "false":
        raise RuntimeError("this clone has no history; `git fetch --unshallow` gets it")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.evidence", description="Where each page's figures are from."
    )
    parser.add_argument("--json", action="store_true", help="as JSON, with all that is known")
    options = parser.parse_args()
    try:
        found = list(results())
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.json:
        print_json(found)
    else:
        rows = []
        for source in SOURCES:
            ours = [result for result in found if result.source == source]
            days = sorted({result.made for result in ours})
            older = sum(bool(result.older) for result in ours)
            made = " to ".join(dict.fromkeys([*days[:1], *days[-1:]]))
            rows.append((source.page, source.files, made, f"{older} of {len(ours)}" if older else "", source.command))
        print_table(console(), ("page", "figures from", "made", "older than the patches", "written by"), *rows)
    return int(any(result.older for result in found))


if __name__ == "__main__":
    sys.exit(main())
