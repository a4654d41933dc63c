"""What a wheel says about its origin: a CycloneDX document for ``.dist-info/sboms/`` (PEP 770).

It is written without the format's own library, which a build would have to download with six more packages; that library
validates it, in the tests and in `verify`.
"""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from patchset.pins import Wheel
from patchset.series.patch import Patch
from patchset.wheels.fork import Fork, fork

# Where it lies in .dist-info.
SBOM = "sboms/peft.cdx.json"
# DEP-3's origins of a patch in CycloneDX's words; all others are written here.
_CLASSES = {"upstream": "cherry-pick", "backport": "backport"}
# What the format has, but not JSON: a value that is not said.
_NOTHING: tuple[object, ...] = (None, "", [], {})


def sbom(wheel: Wheel, patches: list[Patch]) -> bytes:
    """The CycloneDX 1.6 JSON document of a wheel.

    Its one component is the wheel, whose pedigree names the sdist that it was made from and each patch in full. The
    document depends on pins and patches alone: it has no time, and a serial number made from what it describes.

    Args:
        wheel: the wheel.
        patches: the series.
    """
    release, ours = wheel.release, fork()
    sdist = purl_of(release.version, release.sdist)
    pedigree = {
        "ancestors": [component(release.version, sdist, release.sha256)],
        "patches": [_patch(patch) for patch in patches],
        "notes": "The patches, in the order in which they were applied: "
        + ", ".join(patch.path.name for patch in patches),
    }
    peft = component(
        wheel.version,
        purl(wheel),
        supplier=_said(name=ours.maintainer, contact=[{"email": ours.email}] if ours.email else None),
        externalReferences=_references(ours),
        pedigree=pedigree,
    )
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"{purl(wheel)}?sdist={release.sha256}&tree={release.tree}&by={ours}")
    return document(serial, metadata={"component": peft}, dependencies=[{"ref": purl(wheel)}])


def document(serial: uuid.UUID, **content: Any) -> bytes:
    """A CycloneDX 1.6 JSON document, the same bytes for the same content."""
    head = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial.urn,
        "version": 1,
    }
    return f"{json.dumps({**head, **content}, indent=2)}\n".encode()


def purl(wheel: Wheel) -> str:
    """What names the wheel (package URL); the version alone would name upstream's as well where they share it."""
    return purl_of(wheel.version, wheel.file if wheel.tagged else "")


def described(text: str) -> str:
    """The file name of the tagged wheel that a document of ours describes.

    Raises:
        ValueError: it is none.
    """
    try:
        named = urlsplit(json.loads(text)["metadata"]["component"]["purl"])
        return str(parse_qs(named.query)["file_name"][0])
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"no tagged wheel in it: {error!r}") from error


def purl_of(version: str, file: str = "") -> str:
    """Version and file name hold nothing else that the format wants quoted than the plus sign."""
    return f"pkg:pypi/peft@{quote(version, '')}" + (f"?file_name={quote(file, '')}" if file else "")


def component(version: str, name: str, sha256: str = "", **rest: Any) -> dict[str, Any]:
    """A peft as CycloneDX has it, of that version and package URL, and where it is said of that SHA-256."""
    return {
        "type": "library",
        "bom-ref": name,
        "name": "peft",
        "version": version,
        "licenses": [{"expression": "Apache-2.0"}],
        "purl": name,
        **_said(hashes=[{"alg": "SHA-256", "content": sha256}] if sha256 else None, **rest),
    }


def _references(ours: Fork) -> list[dict[str, str]]:
    found = {"vcs": ours.source, "issue-tracker": ours.issues}
    return [{"type": kind, "url": address} for kind, address in found.items() if address]


def _patch(patch: Patch) -> dict[str, Any]:
    origin = (patch.field("Origin") or "").partition(",")[0]
    return {
        "type": _CLASSES.get(origin, "unofficial"),
        "diff": {"text": {"contentType": "text/x-diff", "content": patch.diff.decode()}},
        "resolves": issues(patch),
    }


def issues(patch: Patch) -> list[dict[str, Any]]:
    """What a patch mends, as far as upstream has issues for it; else one without an address."""
    return [_issue(patch, address) for address in patch.bugs or [""]]


def _issue(patch: Patch, address: str) -> dict[str, Any]:
    project, _, number = urlsplit(address).path.strip("/").rpartition("/issues/")
    return _said(
        type="defect",
        id=number,
        name=patch.title,
        source=_said(name=project, url=address),
        references=[patch.fixed_at] if patch.fixed_at else None,
    )


def _said(**fields: Any) -> dict[str, Any]:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value not in _NOTHING}
