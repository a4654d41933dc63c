"""``adopt``: pin a new upstream release, carry the nearest series over to it, and retire what upstream has merged."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import shutil
import sys
from pathlib import Path

import tomlkit
from packaging.version import InvalidVersion, Version
from rich.console import Console

from patchset.commits.worktree import default_folder
from patchset.commits.write_back import digest, lock, replace, staged, swap
from patchset.errors import PatchsetError
from patchset.pins import PATCHES, RELEASES, ROOT, Release, load
from patchset.series.patch import Patch
from patchset.sources import sdists
from patchset.upstream.port import CONFLICT, UPSTREAM, Port, begin, go_on, saved, still_takes

_CHANGELOG = ROOT / "CHANGELOG.md"
# More than any sdist of upstream's, less than what fills a disk.
_LARGEST = 64 * 2**20  # bytes


def run(options: argparse.Namespace) -> int:
    """Adopt a release, or go on; exit status 1 where a conflict waits for a human."""
    release = _unpinned(options.release)
    tree = default_folder(release)
    console = Console(stderr=True)
    if options.abort:
        saved(tree)
        shutil.rmtree(tree)
        console.print(f"removed {tree.relative_to(ROOT)}; pins and patches are as they were", highlight=False)
        return 0
    with console.status(f"adopting {release.version}"):
        port = saved(tree) if options.go_on else _begin(release, tree, options.sdist)
        through = go_on(port, tree, options.python, options.tests or bool(options.python))
        series = _finish(port, tree) if through else ""
    if options.json:
        result = {"release": release.version, "base": port.base, "series": series, "patches": port.results}
        json.dump(result, sys.stdout, indent=2, default=dataclasses.asdict)
        print()
    else:
        _print(port, tree, series)
    return 0 if through else 1


def _unpinned(version: str) -> Release:
    try:
        version = str(Version(version))
    except InvalidVersion as error:
        raise PatchsetError(f"{version!r} is not a release") from error
    return Release(version, "", 1, f"peft-{version}.tar.gz", _LARGEST, "", "")


def _begin(release: Release, tree: Path, sdist: str | None) -> Port:
    """Find the release, or where it is pinned see why it needs to be carried over anew."""
    pins = load()
    pinned = next((other for other in pins if other.version == release.version), None)
    if pinned is not None:
        if still_takes(pinned):
            raise PatchsetError(f"{pinned.version} is pinned, and its series patches/{pinned.series} applies")
        data, release = sdists.obtain(pinned, sdist), dataclasses.replace(pinned, tree="", wheel="")
        base = max((other for other in pins if other.series == pinned.series), key=lambda r: Version(r.version))
    else:
        data = _sdist(release, sdist)
        sha256 = hashlib.sha256(data).hexdigest()
        older = [other for other in pins if Version(other.version) < Version(release.version)]
        base = older[-1] if older else pins[0]
        revision = base.revision if base.line == release.line else 1
        release = dataclasses.replace(release, size=len(data), sha256=sha256, revision=revision)
    return begin(release, base, tree, data)


def _sdist(release: Release, given: str | None) -> bytes:
    """The bytes of an sdist that is not pinned yet: from a file or folder, or from the index."""
    path = sdists.on_disk(release, given)
    if path is not None:
        return path.read_bytes()
    from patchset.sources import download  # late, as in `patchset.sources.sdists`

    known = download.available()
    if release.version not in known:
        raise PatchsetError(f"the index has no sdist of peft {release.version}; the newest is {known[-1]}")
    data, source = download.download(release)
    if len(data) > release.size:
        raise PatchsetError(f"{release.sdist} from {source} is larger than {release.size >> 20} MiB; not adopted")
    return data


def _finish(port: Port, tree: Path) -> str:
    """Write series, pin and changelog; every step may be repeated, and the work tree stays until all are done."""
    release = port.release
    shared = [other for other in load() if other.series == release.line and other.version != release.version]
    own = any(other.version == release.version for other in load())
    stage = staged(release, tree)
    try:
        digests = {} if own else _shared_digests(shared, stage.name)
        # A series that a release of the line does not take, or that lacks what it still needs, is this release's own.
        fits = not own and not (shared and port.retired) and len(digests) == len(shared)
        series = release.line if fits else release.version
        digests = {release.version: digest(release, stage.name), **(digests if series == release.line else {})}
        swap(stage, PATCHES / series)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    _pin(dataclasses.replace(release, series=series, tree=digests[release.version]))
    lock(digests)
    for patch in port.retired:
        _retire(patch, port)
    (tree / ".git" / "patchset-adopt.json").unlink()
    return series


def _shared_digests(releases: list[Release], series: str) -> dict[str, str]:
    found = {}
    for release in releases:
        try:
            found[release.version] = digest(release, series)
        except PatchsetError:
            continue
    return found


def _pin(release: Release) -> None:
    """Write a release's pin, in its place among the others."""
    document = tomlkit.parse(RELEASES.read_text(encoding="utf-8"))
    entries = document["release"]
    values = {name: value for name, value in dataclasses.asdict(release).items() if value != ""}
    place = sum(Version(entry["version"]) < Version(release.version) for entry in entries)
    if place < len(entries) and entries[place]["version"] == release.version:
        entries[place].pop("wheel", None)
        entries[place].update(values)
    else:
        table = tomlkit.table()
        table.update(values)
        table.add(tomlkit.nl())
        entries.insert(place, table)
    replace(RELEASES, tomlkit.dumps(document).rstrip() + "\n")


def _retire(patch: Patch, port: Port) -> None:
    """Say in the changelog that a patch ended, under Unreleased."""
    text = _CHANGELOG.read_text(encoding="utf-8")
    last = ".".join(port.base.split(".")[:2])
    begin_ = f"- `{patch.slug}` ended with line {last}: "
    if begin_ in text:
        return
    _, _, address = (patch.field("Applied-Upstream") or "").partition(", ")
    where = f" ({address})" if address else ""
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
        if not patch.field("Applied-Upstream"):
            print(f"  say `Applied-Upstream: {version}, ADDRESS` in {patch.slug} of the older lines")
    if any(result.state == UPSTREAM for result in port.results):
        print("  read what CHANGELOG.md says about the retired")
    print(f"  python -m patchset verify {version} --style --tests")
    print(f"  python -m patchset verify {version} --update    # builds the wheel and locks it")
