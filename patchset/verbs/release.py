"""``release``: the folder to publish, in one go: wheels, sdists, index, checksums, notes."""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from patchset.errors import PatchsetError
from patchset.files import staged
from patchset.pins import ROOT, load
from patchset.verbs.options import add_json, add_output, add_sdist
from patchset.verbs.printing import console, print_json

if TYPE_CHECKING:
    from patchset.dist.artifacts import Artifact

EXAMPLE = "release"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--draft", action="store_true", help="without locked digests and a named CHANGELOG")
    add_output(parser, "release")  # not `dist`, where single wheels are built
    add_sdist(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Make the folder; it appears only when all of it is there."""
    from patchset.dist import index, provenance, vex  # late, so that --help is quick
    from patchset.dist.artifacts import scan
    from patchset.dist.build import build_wheels
    from patchset.wheels.fork import fork

    output = Path(options.output)
    if output.exists() and any(output.iterdir()):
        raise PatchsetError(f"{output} is not empty; a release goes to a folder of its own")
    releases = load()
    notes = release_notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), draft=options.draft)
    unlocked = [release.version for release in releases if not all(wheel.sha256 for wheel in release.wheels)]
    if unlocked and not options.draft:
        raise PatchsetError(
            f"no wheel digest is locked for {', '.join(unlocked)}; run `python -m patchset verify --all --update`"
        )
    if not fork().issues:
        note = "pyproject.toml names no address for faults of these wheels; set [tool.patchset.fork]"
        print(f"note: {note}", file=sys.stderr)
    with staged(output.parent) as scratch:
        fresh = scratch / "dist"
        with console(stderr=True).status("building wheels and sdists"):
            build_wheels(releases, fresh, options.sdist)
            build_wheels(releases, fresh, options.sdist, tagged=True)
            build_wheels(releases, fresh, options.sdist, kind="sdist")
        files, _ = scan(fresh)
        if not options.draft:
            index.compare(files, releases)
        index.write(fresh, files)
        about = {
            provenance.FILE: provenance.statement(files, releases),
            vex.FILE: vex.statements(files, releases),
        }
        for name, content in about.items():
            (fresh / name).write_bytes(content)
        # what `sha256sum --check` reads
        sums = {file.path.name: file.sha256 for file in files}
        sums |= {name: hashlib.sha256(content).hexdigest() for name, content in about.items()}
        lines = (f"{digest}  {name}\n" for name, digest in sums.items())
        (fresh / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
        (fresh / "NOTES.md").write_text(notes + _table(files), encoding="utf-8")
        if output.exists():
            output.rmdir()
        fresh.rename(output)
    if options.json:
        print_json([{"file": file.path.name, "sha256": file.sha256} for file in files])
    else:
        print(output)
    return 0


def release_notes(changelog: str, *, draft: bool = False) -> str:
    """The CHANGELOG's first section, without its heading.

    Raises:
        PatchsetError: it has none, or the first is still called Unreleased and this is no draft.
    """
    _, *sections = re.split(r"^## ", changelog, flags=re.MULTILINE)
    if not sections:
        raise PatchsetError("CHANGELOG.md has no section to take the notes from")
    heading, _, body = sections[0].partition("\n")
    if heading.strip() == "Unreleased" and not draft:
        raise PatchsetError("CHANGELOG.md's first section is Unreleased; name it, or add --draft")
    return f"{body.strip()}\n"


def _table(files: Sequence[Artifact]) -> str:
    rows = "".join(f"| `{file.path.name}` | `{file.sha256}` |\n" for file in files if file.is_wheel)
    return f"\n### Wheels\n\n| wheel | sha256 |\n| --- | --- |\n{rows}"
