"""``index``: static package indexes beside the wheels, for any web server or a folder.

Local versions and tagged wheels have an index each: in one, a requirement such as ``peft==0.18.1`` would allow both.
The pages are simple-repository's: HTML (PEP 503), JSON (PEP 691, PEP 700), and beside each wheel its metadata
(PEP 658, PEP 714), so that resolvers need not download the wheel.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from simple_repository import model
from simple_repository.serializer import SerializerHtmlV1, SerializerJsonV1

from patchset.dist.artifacts import Artifact
from patchset.errors import PatchsetError
from patchset.files import put, staged
from patchset.pins import Release

# The indexes' folders, by whether their wheels are tagged.
FOLDERS = {False: "simple", True: "tagged"}
# What the tool itself puts beside the wheels.
OWN = ("SHA256SUMS", "NOTES.md")
# PEP 700's, the first whose JSON has sizes and versions.
_META = model.Meta(api_version="1.1")


def compare(files: Sequence[Artifact], releases: Sequence[Release]) -> None:
    """Compare wheels with the digests that the pins lock.

    Raises:
        PatchsetError: a wheel has the version of a pinned release, and other bytes.
    """
    locked = {(wheel.version, wheel.tagged): wheel.sha256 for release in releases for wheel in release.wheels}
    for file in files:
        expected = locked.get((str(file.version), file.tagged))
        if file.is_wheel and expected and file.sha256 != expected:
            raise PatchsetError(
                f"{file.path.name} is not the released wheel: its sha256 is {file.sha256}, locked is {expected}"
            )


def write(folder: Path, files: Sequence[Artifact]) -> list[Path]:
    """Write ``simple/`` and ``tagged/``, as far as there are files for them, and the metadata files.

    Args:
        folder: where the files lie.
        files: what to list.

    Returns:
        The indexes' folders.

    Raises:
        PatchsetError: an index that lies there already lists one of the files with other bytes: what has been
            published under a name must stay the same.
    """
    for name in FOLDERS.values():
        _same_as_published(folder / name / "peft" / "index.json", files)
    for file in files:
        if file.is_wheel:
            file.path.with_name(f"{file.path.name}.metadata").write_bytes(file.metadata)
    written = []
    for tagged, name in FOLDERS.items():
        if listed := [file for file in files if file.tagged == tagged]:
            written.append(_write(folder / name, listed))
        elif (folder / name).exists():
            shutil.rmtree(folder / name)
    return written


def _write(index: Path, files: Sequence[Artifact]) -> Path:
    """Write one index and return its path."""
    project = model.ProjectDetail(_META, "peft", tuple(_listed(file) for file in files))
    projects = model.ProjectList(_META, frozenset([model.ProjectListElement("peft")]))
    html, data = SerializerHtmlV1(), SerializerJsonV1()
    with staged(index.parent) as scratch:
        fresh = scratch / index.name
        (fresh / "peft").mkdir(parents=True)
        (fresh / "index.html").write_text(html.serialize_project_list(projects), encoding="utf-8")
        (fresh / "index.json").write_text(_sorted(data.serialize_project_list(projects)), encoding="utf-8")
        (fresh / "peft" / "index.html").write_text(html.serialize_project_page(project), encoding="utf-8")
        (fresh / "peft" / "index.json").write_text(_sorted(data.serialize_project_page(project)), encoding="utf-8")
        put(fresh, index)
    return index


def _listed(file: Artifact) -> model.File:
    return model.File(
        filename=file.path.name,
        url=f"../../{quote(file.path.name)}",
        hashes={"sha256": file.sha256},
        requires_python=file.requires_python,
        dist_info_metadata={"sha256": hashlib.sha256(file.metadata).hexdigest()} if file.is_wheel else None,
        size=file.path.stat().st_size,
    )


def _sorted(page: str) -> str:
    """The same JSON in the same order each time: the library keeps versions in a set."""
    found = json.loads(page)
    if "versions" in found:
        found["versions"].sort()
    return f"{json.dumps(found, indent=1)}\n"


def _same_as_published(page: Path, files: Sequence[Artifact]) -> None:
    if not page.is_file():
        return
    try:
        published = {file["filename"]: file["hashes"]["sha256"] for file in json.loads(page.read_bytes())["files"]}
    except (ValueError, KeyError, TypeError) as error:
        raise PatchsetError(f"{page} is no index of ours ({error!r}); remove it") from error
    for file in files:
        before = published.get(file.path.name, file.sha256)
        if before != file.sha256:
            raise PatchsetError(
                f"{file.path.name} is in the index already, with sha256 {before}, and now has {file.sha256}; raise the "
                f"revision, or remove {page.parent.parent} if it was never published"
            )
