"""``adopt``: pin a new upstream release, carry the nearest series over to it, and retire what upstream has merged."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from packaging.version import InvalidVersion, Version

from patchset.commits.worktree import default_folder
from patchset.commits.write_back import digest, swap, written
from patchset.errors import PatchsetError
from patchset.files import locked, replace
from patchset.pins import PATCHES, ROOT, Release, edited, load, put_digests
from patchset.series.patch import Patch, read_series
from patchset.series.tree import takes
from patchset.sources.sdists import Sdists
from patchset.upstream.port import CONFLICT, UPSTREAM, Port, begin, go_on, kept_sdist, saved
from patchset.verbs.options import add_json, add_python
from patchset.verbs.printing import console, print_json

_CHANGELOG = ROOT / "CHANGELOG.md"
# More than any sdist of upstream's, less than what fills a disk.
_LARGEST = 64 * 2**20  # bytes


EXAMPLE = "adopt 0.22.0"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("release", metavar="RELEASE")
    parser.add_argument("--sdist", metavar="PATH", help="upstream's sdist, or a folder of them; no index then")
    parser.add_argument("--tests", action="store_true", help="see by its tests whether upstream has a fix")
    add_python(parser)
    steps = parser.add_mutually_exclusive_group()
    steps.add_argument("--continue", action="store_true", dest="go_on", help="go on after a conflict")
    steps.add_argument("--abort", action="store_true", help="remove the work tree; nothing else was changed")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Adopt a release, or go on; exit status 1 where a conflict waits for a human."""
    release = _unpinned(options.release)
    tree = default_folder(release)
    shown = console(stderr=True)
    if options.abort:
        saved(tree)
        shutil.rmtree(tree)
        shown.print(f"removed {tree.relative_to(ROOT)}; pins and patches are as they were")
        return 0
    with shown.status(f"adopting {release.version}"):
        kept = str(kept_sdist(tree, release)) if options.go_on and kept_sdist(tree, release).is_file() else None
        sdists = Sdists(options.sdist or kept, [release])
        port = saved(tree) if options.go_on else _begin(release, tree, sdists)
        with locked(tree):
            port = saved(tree)  # anew, as another run may have been at work
            try:
                through = go_on(port, tree, sdists, options.python, options.tests or bool(options.python))
            except BaseException:
                if not options.go_on:
                    shutil.rmtree(tree, ignore_errors=True)  # nobody has worked in it yet
                raise
            series = _finish(port, tree, sdists) if through else ""
    if options.json:
        print_json({"release": release.version, "base": port.base, "series": series, "patches": port.results})
    else:
        _print(port, tree, series)
    return 0 if through else 1


def _unpinned(version: str) -> Release:
    try:
        version = str(Version(version))
    except InvalidVersion as error:
        raise PatchsetError(f"{version!r} is not a release") from error
    return Release(version, "", 1, f"peft-{version}.tar.gz", _LARGEST, "", "")


def _begin(release: Release, tree: Path, sdists: Sdists) -> Port:
    """Find the release, or where it is pinned see why it needs to be carried over anew."""
    pins = load()
    pinned = next((other for other in pins if other.version == release.version), None)
    if pinned is not None:
        if takes(pinned, read_series(pinned.series_dir), sdists):
            raise PatchsetError(f"{pinned.version} is pinned, and its series patches/{pinned.series} applies")
        release = dataclasses.replace(pinned, tree="", wheel="", tagged_wheel="")
        base = [other for other in pins if other.series == pinned.series][-1]
    else:
        data = _sdist(release, sdists)
        sha256 = hashlib.sha256(data).hexdigest()
        older = [other for other in pins if Version(other.version) < Version(release.version)]
        base = older[-1] if older else pins[0]
        revision = base.revision if base.line == release.line else 1
        release = dataclasses.replace(release, size=len(data), sha256=sha256, revision=revision)
        sdists.keep(release, data)
    return begin(release, base, tree, sdists)


def _sdist(release: Release, sdists: Sdists) -> bytes:
    """The bytes of an sdist that is not pinned yet: from a file or folder, or from the index."""
    path = sdists.find(release)
    if path is not None:
        return path.read_bytes()
    from patchset.sources import download  # late, as in `patchset.sources.sdists`

    known = download.available()
    if release.version not in known:
        raise PatchsetError(f"the index has no sdist of peft {release.version}; the newest is {known[-1]}")
    data = download.download(release)
    if len(data) > release.size:
        raise PatchsetError(f"{release.sdist} is larger than {release.size >> 20} MiB; not adopted")
    return data


def _finish(port: Port, tree: Path, sdists: Sdists) -> str:
    """Write series, changelog and, last, the pins; every step may be repeated, and the work tree stays until then."""
    release = port.release
    own = bool(release.series)  # it was pinned before, and its line's series did not fit
    shared = [other for other in load() if other.series == release.line and other.version != release.version]
    with written(release, tree, sdists) as folder:
        name = folder.relative_to(PATCHES).as_posix()
        digests = {} if own else _shared_digests(shared, name, sdists)
        # A series that a release of the line does not take, or that lacks what it still needs, is this release's own.
        fits = not own and not (shared and port.retired) and len(digests) == len(shared)
        series = release.line if fits else release.version
        pin = dataclasses.replace(release, series=series, tree=digest(release, name, sdists))
        swap(folder, PATCHES / series)
        for patch in port.retired:
            _retire(patch, port)
        _pin(pin, digests if fits else {})
    port.finish(tree)
    return series


def _shared_digests(releases: list[Release], series: str, sdists: Sdists) -> dict[str, str]:
    found = {}
    for release in releases:
        sdists.obtain(release)  # that it cannot be had is no answer
        try:
            found[release.version] = digest(release, series, sdists)
        except PatchsetError:
            continue
    return found


def _pin(release: Release, trees: Mapping[str, str]) -> None:
    """Write a release's pin, in its place among the others, and the trees' digests of those that share its series."""
    import tomlkit

    values = {name: value for name, value in dataclasses.asdict(release).items() if value != ""}
    with edited() as entries:
        place = sum(Version(entry["version"]) < Version(release.version) for entry in entries)
        if place < len(entries) and entries[place]["version"] == release.version:
            for name in ("wheel", "tagged_wheel"):
                entries[place].pop(name, None)
            entries[place].update(values)
        else:
            table = tomlkit.table()
            table.update(values)
            table.add(tomlkit.nl())
            entries.insert(place, table)
        put_digests(entries, {version: {"tree": found} for version, found in trees.items()})


def _retire(patch: Patch, port: Port) -> None:
    """Say in the changelog that a patch ended, under Unreleased."""
    text = _CHANGELOG.read_text(encoding="utf-8")
    last = ".".join(port.base.split(".")[:2])
    begin_ = f"- `{patch.slug}` ended with line {last}: "
    if begin_ in text:
        return
    where = f" ({patch.fixed_at})" if patch.fixed_at else ""
    line = f"{begin_}upstream released a fix in {port.release.version}{where}.\n"
    head, heading, tail = text.partition("\n### Retired\n\n")
    if not heading:
        head, heading, tail = text.partition("\n## Unreleased\n\n")
        line = f"### Retired\n\n{line}\n"
    replace(_CHANGELOG, f"{head}{heading}{line}{tail}")


def _print(port: Port, tree: Path, series: str) -> None:
    version = port.release.version
    print(f"{version}, with the patches of {port.base}:")
    for result in port.results:
        print(f"  {result.name} {result.state}{f': {result.note}' if result.note else ''}")
    if port.results and port.results[-1].state == CONFLICT:
        left = [patch.slug for patch in port.patches[len(port.results) :]]
        print(f"left: {', '.join(left) or 'none'}. To go on:")
        print(f"  cd {tree.relative_to(ROOT)}")
        print("  # mend the files, git's markers show both sides; then")
        print("  git add --update && git am --continue    # or: git am --skip, if upstream has it")
        print(f"  cd - && python -m patchset adopt {version} --continue    # or: --abort")
        return
    print(f"pinned with patches/{series}. Then:")
    for patch in port.retired:
        if not patch.fixed_in:
            print(f"  say `Applied-Upstream: {version}, ADDRESS` in {patch.slug} of the older lines")
    if any(result.state == UPSTREAM for result in port.results):
        print("  read what CHANGELOG.md says about the retired")
    print(f"  python -m patchset verify {version} --style --tests")
    print(f"  python -m patchset verify {version} --update    # builds the wheel and locks it")
