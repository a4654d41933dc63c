"""Run upstream's suite on one side: collect once, then shard by shard what has no result yet."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchset.checks import upstream_pytest
from patchset.errors import PatchsetError
from tests.evidence.upstream._results import Outcome, Store, file_of, group, needs_hub, read_log, reason, write_json
from tests.evidence.upstream._sides import INSIDE, Side

# Tests in one pytest process. An interrupted run repeats at most so many; a start costs about half a minute.
SHARD = 2000
TIMEOUT = 600  # seconds for one test


@dataclass(frozen=True)
class Suite:
    """One side's tests.

    Attributes:
        side: where they lie and what they run on.
        hub: the folder to use as HF_HOME.
        workers: pytest-xdist's processes.
    """

    side: Side
    hub: Path
    workers: int

    @property
    def store(self) -> Store:
        return Store(self.side.results / "tests")

    def collect(self, files: Sequence[str] = ()) -> list[str]:
        """The node ids in the named test files, all of them where none is named; known ones are not collected again.

        A file that cannot be imported counts as one test, named like the file, with the outcome `error`.

        Raises:
            PatchsetError: pytest wrote no list.
        """
        wanted = list(files) or sorted(f"tests/{path.name}" for path in (self.side.tree / "tests").glob("test_*.py"))
        path = self.side.results / "collected.json"
        known: dict[str, list[str]] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        if missing := [file for file in wanted if file not in known]:
            known |= self._collect(missing)
            write_json(path, known)
        return [name for file in wanted for name in known[file]]

    def _collect(self, files: Sequence[str]) -> dict[str, list[str]]:
        with tempfile.TemporaryDirectory() as folder:
            listing = Path(folder) / "collected.json"
            output = self._pytest("--collect-only", "-qq", f"--collected={listing}", *files)
            if not listing.exists():
                raise PatchsetError(f"pytest could not collect {self.side.name}'s tests: {output[-2000:]}")
            found = json.loads(listing.read_text("utf-8"))
        errors = {
            name: Outcome("error", reason(_last_line(text)), needs_hub(text)) for name, text in found["errors"].items()
        }
        self.store.add(errors)
        ids = group([*found["ids"], *errors])
        return {file: ids.get(file, []) for file in files}

    def run(self, names: Sequence[str], done: Callable[[int], None] = lambda count: None) -> dict[str, Outcome]:
        """The outcomes of the named tests: those on disk, and for the others new ones.

        Args:
            names: node ids.
            done: called with the number of further tests that have a result.

        Returns:
            Outcomes by node id; a test that pytest did not report is not in it.
        """
        known = self._known(names)
        done(len(known))
        for shard in _shards([name for name in names if name not in known]):
            outcomes = self.once(shard, self.workers)
            self.store.add(outcomes)
            known |= outcomes
            done(len(shard))
        return known

    def _known(self, names: Sequence[str]) -> dict[str, Outcome]:
        stored = {file: self.store.load(file) for file in group(names)}
        return {name: stored[file_of(name)][name] for name in names if name in stored[file_of(name)]}

    def once(self, names: Sequence[str], workers: int = 0) -> dict[str, Outcome]:
        """Run tests now, whatever is known of them."""
        with tempfile.TemporaryDirectory() as folder:
            wanted, log = Path(folder) / "wanted.json", Path(folder) / "log.jsonl"
            wanted.write_text(json.dumps(list(names)), "utf-8")
            parallel = ("-n", str(workers), "--dist", "worksteal") if workers else ("-p", "no:xdist")
            options = (f"--wanted={wanted}", f"--report-log={log}", "--report-log-exclude-logs-on-passed-tests")
            output = self._pytest(*options, *parallel, *group(names))
            outcomes = read_log(log)
        (self.side.results / "last-output.txt").write_text(output, "utf-8")
        return {name: outcome for name, outcome in outcomes.items() if name in set(names)}

    def _pytest(self, *arguments: str) -> str:
        """Run pytest in the side's tree; its own exit status is no news here, results are."""
        # the addresses are for torch.distributed
        guards = ["--disable-socket", "--allow-unix-socket", "--allow-hosts=127.0.0.1,::1"]
        options = ["--tb=short", "-p", "suite_plugin", f"--timeout={TIMEOUT}", *guards]
        self.side.results.mkdir(parents=True, exist_ok=True)
        path = [self.side.site, INSIDE]
        done = upstream_pytest.run(Path(sys.executable), self.side.tree, path, *options, *arguments, hub=self.hub)
        return done.stdout + done.stderr


def _shards(names: Sequence[str]) -> Iterator[list[str]]:
    """Cut the tests into shards, whole files as long as they fit."""
    shard: list[str] = []
    for tests in group(names).values():
        if shard and len(shard) + len(tests) > SHARD:
            yield shard
            shard = []
        shard += tests
        while len(shard) > SHARD:
            yield shard[:SHARD]
            shard = shard[SHARD:]
    if shard:
        yield shard


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("E ")] or text.splitlines() or [""]
    return lines[-1].removeprefix("E ").strip()
