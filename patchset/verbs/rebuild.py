"""``rebuild``: does this checkout give the same bytes as a wheel that somebody has?"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path

from patchset.errors import PatchsetError
from patchset.pins import Wheel, load
from patchset.verbs.options import add_json, add_sdist
from patchset.verbs.printing import console, print_json

EXAMPLE = "rebuild peft-0.18.1+kwargs.1-py3-none-any.whl"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("wheels", nargs="+", metavar="WHEEL", help="a patched wheel")
    add_sdist(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Build each wheel anew and compare; exit status 1 if any is another one."""
    results = []
    for path in map(Path, options.wheels):
        with console(stderr=True).status(f"building {path.name}"):
            result = rebuild(path, options.sdist)
        results.append(result)
        if not options.json:
            print(_said(path.name, result))
    if options.json:
        print_json(results)
    return int(not all(result["same"] for result in results))


def rebuild(path: Path, sdist: str | None = None) -> dict[str, object]:
    """Build a wheel anew.

    Args:
        path: a patched wheel.
        sdist: see `patchset.sources.sdists.Sdists`.

    Returns:
        Both digests, whether they are the same, and the names of the files inside that differ.

    Raises:
        PatchsetError: there is no such file, or no wheel of that name is made here.
    """
    from patchset.dist.build import build_wheels  # late, so that --help is quick

    try:
        given = path.read_bytes()
    except OSError as error:
        raise PatchsetError(f"cannot read {path}: {error.strerror or error}") from error
    wheel = _wheel(path.name)
    with tempfile.TemporaryDirectory() as scratch:
        (built,) = build_wheels([wheel.release], Path(scratch), sdist, tagged=wheel.tagged)
        data = built.read_bytes()
        differs = [] if data == given else _differences(path, built)
    found, made = (hashlib.sha256(content).hexdigest() for content in (given, data))
    return {"file": str(path), "sha256": found, "rebuilt": made, "same": found == made, "differs": differs}


def _wheel(name: str) -> Wheel:
    """The wheel of that file name."""
    wheels = {wheel.file: wheel for release in load() for wheel in release.wheels}
    if name not in wheels:
        raise PatchsetError(
            f"{name} is not what this checkout builds; check out the commit that its release names, or see `status` "
            "for the wheels that are built here"
        )
    return wheels[name]


def _differences(given: Path, built: Path) -> list[str]:
    """Names of the files inside that differ; none where only the archive does, or it is none."""
    import zipfile
    import zlib

    from patchset.wheels.wheel import read

    try:
        ours, theirs = read(built), read(given)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError):
        return []
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def _said(name: str, result: dict[str, object]) -> str:
    if result["same"]:
        return f"{name}: the same, sha256 {result['sha256']}"
    differs = result["differs"]
    assert isinstance(differs, list)
    where = ", ".join(differs[:5]) + (f" and {len(differs) - 5} more" if len(differs) > 5 else "")
    return (
        f"{name}: another one, sha256 {result['sha256']}, rebuilt {result['rebuilt']}; "
        f"{f'{where} differ' if differs else 'the files in it are the same, or cannot be read'}"
    )
