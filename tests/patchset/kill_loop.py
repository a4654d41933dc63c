"""Kill the verbs that write, again and again at random moments: is anything lost, and does the next run work?

python -m tests.patchset.kill_loop --kills 200

Works on a copy of the checkout that has the two newest releases alone. After each kill every file must be as before the
verb or as after it, and none of before lost; the next run must end well, give what an undisturbed run gives, and leave no
scratch folder. Prints figures as JSON; stops at the first failure, and keeps the folder then.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tomlkit

from patchset.files import PARTIAL
from patchset.pins import ROOT, load
from patchset.sources.sdists import Sdists
from tests.patchset.tool import copied, environment

State = dict[str, str]
BASE, NEWEST = load()[-2:]
PINS = "vendor/releases.toml"
WRITTEN = ("patches", "CHANGELOG.md", "dist", "out")


class Failure(Exception):
    """Something was lost, or the next run did not work."""


@dataclass
class Case:
    """A verb that is killed.

    Attributes:
        name: the verb.
        words: its command line.
        share: of all kills.
        pristine: the checkout before it.
        seconds: how long it takes undisturbed.
        reference: what is there then.
    """

    name: str
    words: list[str]
    share: float
    pristine: Path
    seconds: float = 0
    reference: State | None = None

    @property
    def checkout(self) -> Path:
        return self.pristine.with_name("checkout")

    def prepare(self) -> None:
        """Make the checkout anew."""
        shutil.rmtree(self.checkout, ignore_errors=True)
        shutil.copytree(self.pristine, self.checkout)

    def next_words(self) -> list[str]:
        """What a user runs next."""
        tree = self.checkout / "vendor" / f"work-{NEWEST.version}"
        if self.name == "adopt" and tree.exists():
            return [*self.words, "--continue"] if (tree / ".git" / "patchset-adopt.json").exists() else ["status"]
        # one that had come to its end refuses to do it again
        ended = self.name in ("adopt", "release") and state(self.checkout) == self.reference
        return ["status"] if ended else self.words


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="a verb, which all kills are for then")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kill-loop-"))
    dice = random.Random(options.seed)
    try:
        cases = [case for case in _cases(folder) if options.only in (None, case.name)]
        shares = {case.name: 1.0 if options.only else case.share for case in cases}
        figures = [_loop(case, round(options.kills * shares[case.name]), dice) for case in cases]
    except Failure as failure:
        print(f"{failure}\nsee {folder}", file=sys.stderr)
        return 1
    print(
        json.dumps({"seed": options.seed, "kills": sum(each["kills"] for each in figures), "verbs": figures}, indent=1)
    )
    shutil.rmtree(folder)
    return 0


def _cases(folder: Path) -> list[Case]:
    (folder / "cache").mkdir()
    for release in (BASE, NEWEST):
        (folder / "cache" / release.sdist).write_bytes(Sdists().obtain(release))
    both = _checkout(folder / "both", (BASE.version, NEWEST.version))
    changed = Path(shutil.copytree(both, folder / "changed"))
    _finish(changed, ["checkout", NEWEST.version, "tree"])
    with (changed / "tree" / "setup.py").open("a") as file:
        file.write("# more\n")
    identity = {f"GIT_{role}_{part}": "a" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    command = ["git", "commit", "--quiet", "--all", "--message", "Add a line"]
    subprocess.run(command, cwd=changed / "tree", env=environment(**identity), check=True)
    unlocked = Path(shutil.copytree(both, folder / "unlocked"))
    pins = unlocked / "vendor" / "releases.toml"
    pins.write_text(pins.read_text().replace(NEWEST.tree, "0" * 64).replace(NEWEST.wheel, "0" * 64))
    older = _checkout(folder / "older", (BASE.version,))
    return [
        Case("export", ["export", NEWEST.version, "tree"], 0.3, changed),
        Case("adopt", ["adopt", NEWEST.version], 0.2, older),
        Case("update", ["verify", NEWEST.version, "--update"], 0.1, unlocked),
        Case("build", ["build", NEWEST.version, "-o", "dist"], 0.3, both),
        Case("release", ["release", "--draft", "-o", "out"], 0.1, both),
    ]


def _checkout(target: Path, versions: tuple[str, ...]) -> Path:
    """A copy of what a clone holds, with some of the releases."""
    copied(target)
    document = tomlkit.parse((ROOT / "vendor" / "releases.toml").read_text())
    entries = document["release"]
    for entry in [entry for entry in entries if entry["version"] not in versions]:
        entries.remove(entry)
    (target / "vendor" / "releases.toml").write_text(tomlkit.dumps(document))
    return target


def _loop(case: Case, kills: int, dice: random.Random) -> dict[str, int | float | str]:
    case.prepare()
    begin = time.monotonic()
    _finish(case.checkout, case.words)
    case.seconds, case.reference = time.monotonic() - begin, state(case.checkout)
    seen = [_kill(case, dice) for _ in range(kills)]
    print(f"{case.name}: {kills} kills", file=sys.stderr)
    return {
        "verb": case.name,
        "seconds": round(case.seconds, 1),
        "kills": kills,
        "ended before": seen.count("ended"),
        "then as before": seen.count("before"),
        "then as after": seen.count("after"),
        "then in between": seen.count("between"),
    }


def _kill(case: Case, dice: random.Random) -> str:
    """Run, kill at a random moment, look, run again, look. Returns what was there after the kill."""
    case.prepare()
    before = state(case.checkout)
    process = _start(case.checkout, case.words, subprocess.DEVNULL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        # half of them late, when files are replaced
        process.wait(case.seconds * (dice.random() if dice.random() < 0.5 else 0.6 + dice.random() / 2))
    ended = process.poll() is not None
    # the process alone, whose children live on for a moment, or all of them
    everything = dice.random() < 0.5
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL) if everything else process.kill()
    process.wait()
    _finish(case.checkout, ["status"])  # what reads the pins puts back what was about to be replaced
    seen = _judge(before, state(case.checkout), case.reference or {})
    _finish(case.checkout, case.next_words())
    if state(case.checkout) != case.reference:
        raise Failure(f"{case.name}: the next run gives something else than an undisturbed one")
    if everything and (left := _leftovers(case.checkout)):
        raise Failure(f"{case.name}: left behind: {left}")
    return "ended" if ended else seen


def _judge(before: State, found: State, after: State) -> str:
    # another tree's digest takes the wheels' out, until these are built
    if lost := [name for name in before if name not in found and name in after and not name.endswith("wheel")]:
        raise Failure(f"lost: {lost}")
    if torn := [name for name, digest in found.items() if digest not in (before.get(name), after.get(name))]:
        raise Failure(f"neither as before nor as after: {torn}")
    return "before" if found == before else "after" if found == after else "between"


def state(checkout: Path) -> State:
    """All that verbs write, scratch folders aside: the digests of files, and the pins field by field."""
    entries = tomlkit.parse((checkout / PINS).read_text()).unwrap()["release"]
    found = {f"{PINS} {entry['version']} {name}": str(value) for entry in entries for name, value in entry.items()}
    for place in WRITTEN:
        path = checkout / place
        for file in [path] if path.is_file() else path.rglob("*"):
            name = file.relative_to(checkout)
            if file.is_file() and not any(part.startswith(PARTIAL) for part in name.parts):
                found[name.as_posix()] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def _leftovers(checkout: Path) -> list[str]:
    folders = [checkout, *(checkout / name for name in ("patches", "vendor", "dist"))]
    return [str(path) for folder in folders for path in folder.glob(f"{PARTIAL}*")]


def _start(checkout: Path, words: list[str], stderr: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "patchset", *words],
        cwd=checkout,
        env=environment(PATCHSET_CACHE=str(checkout.parent / "cache")),
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,
    )


def _finish(checkout: Path, words: list[str]) -> None:
    process = _start(checkout, words)
    errors = process.communicate()[1].decode(errors="replace")
    if process.returncode:
        raise Failure(f"{' '.join(words)}: {errors}")


if __name__ == "__main__":
    sys.exit(main())
