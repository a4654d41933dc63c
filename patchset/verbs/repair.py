"""``repair``: the right patched wheel in place of the peft that an environment has."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from patchset.errors import PatchsetError
from patchset.pins import Wheel, load
from patchset.verbs.options import add_json, add_sdist
from patchset.verbs.printing import console, print_json

EXAMPLE = "repair --python .venv/bin/python"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Put a patched wheel of the same release in place of the peft that an environment has, with its pip, or uv. "
        "Dependencies stay as they are. Programs that compare versions when they start get the wheel that keeps upstream's."
    )
    parser.add_argument("--python", default=sys.executable, metavar="PATH", help="whose environment to repair")
    parser.add_argument(
        "--dist",
        default="dist",
        metavar="FOLDER",
        help="where the wheel may lie, else it is built; default: %(default)s",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    add_sdist(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Do it; say what was there, what is there now, and the way back."""
    from patchset.doctor import installed, repair  # late, so that --help is quick
    from patchset.doctor.environment import Environment

    releases = load()
    planned = repair.plan(options.python, releases)
    told = {"before": planned.before, "after": planned.wheel.name, "changed": planned.changed, "back": planned.back}
    if not (planned.done or options.dry_run):
        with tempfile.TemporaryDirectory() as scratch:
            repair.install(planned, _file(planned.wheel, Path(options.dist), Path(scratch), options.sdist))
        there = Environment.of(options.python).pefts
        finding, wheel = installed.recorded(there[0], releases, [])
        wrong = [one.text for one in installed.files(there[0], wheel) if one.level == "problem"]
        if wheel != planned.wheel or wrong:
            raise PatchsetError(f"after that, {'; '.join(wrong) or finding.text}; the way back: {planned.back}")
    if options.json:
        print_json({**told, "done": not options.dry_run})
        return 0
    if planned.done:
        print(f"nothing to do: peft {planned.before} is there, as it was released")
        return 0
    print(f"{'would be replaced' if options.dry_run else 'before'}: peft {planned.before}")
    if planned.changed:
        print(f"note: that {planned.changed.partition(';')[0]}, and these changes are not kept")
    print(f"{'by' if options.dry_run else 'now'}: peft {planned.wheel.name}")
    print(f"back: {planned.back}")
    tagged = " --tagged" if planned.wheel.tagged else ""
    print(
        f"to keep it when the project is installed anew, pin it: "
        f"python -m patchset lock {planned.wheel.release.version}{tagged} --for ..."
    )
    return 0


def _file(wheel: Wheel, dist: Path, scratch: Path, sdist: str | None) -> Path:
    """The wheel's file: out of the folder, if it is the released one, else built."""
    from patchset.dist import index
    from patchset.dist.artifacts import read
    from patchset.dist.build import build_wheels

    file = dist / wheel.file
    if not file.is_file():
        with console(stderr=True).status(f"building {wheel.file}"):
            (file,) = build_wheels([wheel.release], scratch, sdist, tagged=wheel.tagged)
    index.compare([read(file)], [wheel.release])
    return file
