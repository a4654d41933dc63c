"""``build``: wheels through the backend, as pip would build them."""

from __future__ import annotations

import argparse
from pathlib import Path

from patchset.files import sha256
from patchset.pins import select
from patchset.verbs.options import add_json, add_output, add_releases, add_tagged
from patchset.verbs.printing import print_json, progress

EXAMPLE = "build 0.18.1 0.19.1 -o dist"


def add_options(parser: argparse.ArgumentParser) -> None:
    add_releases(parser)
    add_tagged(parser)
    add_output(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Build the named releases' wheels into a folder and print their paths, with ``--json`` hashes too."""
    from patchset.dist.build import build_wheels  # late, so that --help is quick

    releases = select(options.releases, options.all)
    with progress() as shown:
        task = shown.add_task("preparing", total=len(releases))

        def built(wheel: Path) -> None:
            shown.update(task, advance=1, description=wheel.name)

        wheels = build_wheels(releases, Path(options.output), options.sdist, built, tagged=options.tagged)
    if options.json:
        print_json([{"path": str(path), "sha256": sha256(path)} for path in wheels])
    else:
        print("\n".join(str(wheel) for wheel in wheels))
    return 0
