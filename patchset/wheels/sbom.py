"""What a wheel says about its origin: a CycloneDX document for ``.dist-info/sboms/`` (PEP 770)."""

from __future__ import annotations

import json
import uuid
from urllib.parse import urlsplit

from cyclonedx.model import AttachedText, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType, Diff, PatchClassification, Pedigree
from cyclonedx.model.component import Patch as CdxPatch
from cyclonedx.model.issue import IssueClassification, IssueType, IssueTypeSource
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from patchset.pins import Release, Wheel
from patchset.series.patch import Patch

# Where it lies in .dist-info.
SBOM = "sboms/peft.cdx.json"
# DEP-3's origins of a patch in CycloneDX's words; all others are written here.
_CLASSES = {"upstream": PatchClassification.CHERRY_PICK, "backport": PatchClassification.BACKPORT}


def sbom(wheel: Wheel, patches: list[Patch]) -> bytes:
    """The CycloneDX 1.6 JSON document of a wheel.

    Its one component is the wheel, whose pedigree names the sdist that it was made from and each patch in full. The
    document depends on pins and patches alone: it has no time, and a serial number made from what it describes.

    Args:
        wheel: the wheel.
        patches: the series.
    """
    release = wheel.release
    peft = Component(
        type=ComponentType.LIBRARY,
        name="peft",
        version=wheel.version,
        bom_ref=_purl(wheel).to_string(),
        purl=_purl(wheel),
        licenses=[LicenseExpression("Apache-2.0")],
        pedigree=Pedigree(
            ancestors=[_ancestor(release)],
            patches=[_patch(patch) for patch in patches],
            notes="The patches, in the order in which they were applied (the format keeps none): "
            + ", ".join(patch.path.name for patch in patches),
        ),
    )
    metadata = BomMetaData(component=peft)
    metadata.timestamp = None  # type: ignore[assignment]  # the format does not ask for one, the library sets it
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"{peft.purl}?sdist={release.sha256}&tree={release.tree}")
    text = JsonV1Dot6(Bom(metadata=metadata, serial_number=serial)).output_as_string(indent=2)
    return f"{text}\n".encode()


def _purl(wheel: Wheel) -> PackageURL:
    """What names the wheel; the version alone would name upstream's as well where they share it."""
    qualifiers = {"file_name": wheel.file} if wheel.tagged else {}
    return PackageURL(type="pypi", name="peft", version=wheel.version, qualifiers=qualifiers)


def described(document: str) -> PackageURL:
    """What a document of ours describes.

    Raises:
        ValueError: it is none.
    """
    try:
        return PackageURL.from_string(json.loads(document)["metadata"]["component"]["purl"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"no component in it: {error!r}") from error


def _ancestor(release: Release) -> Component:
    purl = PackageURL(type="pypi", name="peft", version=release.version, qualifiers={"file_name": release.sdist})
    return Component(
        type=ComponentType.LIBRARY,
        name="peft",
        version=release.version,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=[LicenseExpression("Apache-2.0")],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=release.sha256)],
    )


def _patch(patch: Patch) -> CdxPatch:
    origin = (patch.field("Origin") or "").partition(",")[0]
    return CdxPatch(
        type=_CLASSES.get(origin, PatchClassification.UNOFFICIAL),
        diff=Diff(text=AttachedText(content=patch.diff.decode(), content_type="text/x-diff")),
        resolves=[_issue(patch, address) for name, address in patch.fields if name == "Bug"] or [_issue(patch)],
    )


def _issue(patch: Patch, address: str = "") -> IssueType:
    """What a patch mends: upstream's issue where there is one, else its subject alone."""
    project, _, number = urlsplit(address).path.strip("/").rpartition("/issues/")
    fixed = patch.fixed_at
    return IssueType(
        type=IssueClassification.DEFECT,
        id=number or None,
        name=patch.subject.partition("] ")[2],
        source=IssueTypeSource(name=project or None, url=XsUri(address)) if address else None,
        references=[XsUri(fixed)] if fixed else [],
    )
