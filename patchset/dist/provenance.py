"""Where the files of a release come from: an in-toto statement with SLSA's provenance, unsigned.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://slsa.dev/spec/v1.0/provenance. It names nothing of the
machine that it is written on, so that whoever builds the same files writes the same statement.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from patchset.commits.git import git
from patchset.dist.artifacts import Artifact
from patchset.errors import PatchsetError
from patchset.files import sha256
from patchset.pins import CONSTRAINTS, RELEASES, ROOT, Release
from patchset.wheels.fork import fork
from patchset.wheels.sbom import purl_of

FILE = "provenance.json"
# Stands for the repository where nobody has said where it is published.
_UNPUBLISHED = "urn:uuid:8f0b7a3e-8c57-4f0a-9b0f-3a4f5d2c6e11"


def statement(files: Sequence[Artifact], releases: Sequence[Release]) -> bytes:
    """The statement on a release's files, as JSON.

    Args:
        files: the wheels and source packages.
        releases: the pins that they are made from.
    """
    source = fork().source or _UNPUBLISHED
    content = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": file.path.name, "digest": {"sha256": file.sha256}} for file in files],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": f"{source}#release",
                "externalParameters": {
                    "command": ["python", "-m", "patchset", "release"],
                    "releases": [release.version for release in releases],
                },
                "resolvedDependencies": [_checkout(source), *_pins(), *map(_sdist, releases), *map(_tree, releases)],
            },
            "runDetails": {"builder": {"id": f"{source}#patchset"}},
        },
    }
    return f"{json.dumps(content, indent=2)}\n".encode()


def _checkout(source: str) -> dict[str, Any]:
    """The commit that is checked out; a checkout that is none, or was changed, is named without it."""
    try:
        commit = git(ROOT, "rev-parse", "HEAD").strip()
        changed = git(ROOT, "status", "--porcelain").strip()
    except PatchsetError:  # an archive
        return {"uri": source, "annotations": {"commit": "unknown"}}
    if changed:
        return {"uri": source, "annotations": {"commit": f"{commit}, changed"}}
    return {"uri": f"git+{source}@{commit}", "digest": {"gitCommit": commit}}


def _pins() -> list[dict[str, Any]]:
    """The files that name what is built, and by what."""
    return [
        {"name": path.relative_to(ROOT).as_posix(), "digest": {"sha256": sha256(path)}}
        for path in (RELEASES, CONSTRAINTS)
    ]


def _sdist(release: Release) -> dict[str, Any]:
    return {"uri": purl_of(release.version, release.sdist), "digest": {"sha256": release.sha256}}


def _tree(release: Release) -> dict[str, Any]:
    """The patched tree, which stands for the patches: git's tree id in the SHA-256 format."""
    return {"name": f"{release.folder} with patches/{release.series}", "digest": {"gitTree": release.tree}}
