"""Is what we write without the format's own library what that library takes for valid?"""

from __future__ import annotations

from patchset.checks.other_tools import Missing
from patchset.errors import PatchsetError
from patchset.pins import Release
from patchset.series.patch import read_series
from patchset.wheels.sbom import sbom


def check(release: Release) -> None:
    """Validate the SBOMs of a release's wheels.

    Raises:
        Missing: the library is not installed.
        PatchsetError: one is not valid.
    """
    for wheel in release.wheels:
        validate(sbom(wheel, read_series(release.series_dir)))


def validate(document: bytes) -> None:
    """Hold a CycloneDX 1.6 document against the format's JSON schema.

    Raises:
        Missing: the library is not installed.
        PatchsetError: it is not valid.
    """
    try:
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
    except ModuleNotFoundError as error:
        raise Missing(f"{error.name} is not installed") from error
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(document.decode()):
        raise PatchsetError(f"no valid CycloneDX: {str(fault).splitlines()[0][:300]}")
