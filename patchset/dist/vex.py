"""Which known faults each wheel of a release has and has not: a CycloneDX document with VEX statements.

A fault is an idea that has a patch in some series. None of them is a vulnerability that has a CVE; the format has the words for
both. A wheel that a fault's statements do not name has no patch for it, and nothing is claimed about it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from packaging.version import Version

from patchset.dist.artifacts import Artifact
from patchset.pins import Release, Wheel
from patchset.series.patch import Patch, read_series
from patchset.wheels.sbom import component, document, issues, purl, purl_of

FILE = "vex.cdx.json"
# CycloneDX's words for the state of a wheel, and of stock.
_PATCHED, _UPSTREAM, _AFFECTED = "resolved_with_pedigree", "resolved", "exploitable"


def statements(files: Sequence[Artifact], releases: Sequence[Release]) -> bytes:
    """The document on a release's wheels, as JSON.

    Args:
        files: the wheels and source packages.
        releases: the pins that they are made from.
    """
    digests = {file.path.name: file.sha256 for file in files}
    series = {release: {patch.slug: patch for patch in read_series(release.series_dir)} for release in releases}
    wheels = [wheel for release in releases for wheel in release.wheels if wheel.file in digests]
    named = [(wheel.version, purl(wheel), digests[wheel.file]) for wheel in wheels]
    named += [(pin.version, purl_of(pin.version, pin.sdist), pin.sha256) for pin in releases]
    components = [component(*one) for one in named]
    faults: dict[str, Patch] = {}
    for patches in series.values():
        for slug, patch in patches.items():
            faults.setdefault(slug, patch)
            if patch.fixed_in:
                faults[slug] = patch
    found = [entry for slug in sorted(faults) for entry in _fault(slug, faults[slug], series, wheels)]
    serial = uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(f"{name} {digest}" for name, digest in sorted(digests.items())))
    return document(serial, components=components, vulnerabilities=found)


def _fault(
    slug: str, patch: Patch, series: dict[Release, dict[str, Patch]], wheels: Sequence[Wheel]
) -> Iterator[dict[str, Any]]:
    """A fault's statements: one for each state that it has, with what has it."""
    states: dict[str, list[str]] = {_PATCHED: [], _UPSTREAM: [], _AFFECTED: []}
    for wheel in wheels:
        if slug in series[wheel.release]:
            states[_PATCHED].append(purl(wheel))
        elif patch.fixed_in and Version(wheel.release.version) >= Version(patch.fixed_in):
            states[_UPSTREAM].append(purl(wheel))
    states[_AFFECTED] = [purl_of(pin.version, pin.sdist) for pin, patches in series.items() if slug in patches]
    details = {
        _PATCHED: f"mended by the patch {slug}, in the pedigree of the wheel's own SBOM",
        _UPSTREAM: f"mended by upstream in {patch.fixed_in}",
        _AFFECTED: "stock, which the wheels replace",
    }
    (issue, *_) = issues(patch)
    for state, names in states.items():
        if names:
            yield {
                "bom-ref": f"{slug}:{state}",
                "id": slug,
                **({"source": issue["source"]} if "source" in issue else {}),
                "description": patch.title,
                "analysis": {"state": state, "detail": details[state]},
                "affects": [{"ref": name} for name in names],
            }

