"""What a patch file must say about itself: git's mail headers and the DEP-3 fields."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Sequence

from packaging.version import InvalidVersion, Version

from patchset.errors import PatchsetError
from patchset.series.apply import counts, touched
from patchset.series.patch import Patch

_REQUIRED = ("Origin", "Forwarded", "Last-Update")
_URL = re.compile(r"https://\S+\Z")
# git's diffstat: " src/peft/utils/other.py |  32 ++++---" and " 2 files changed, 9 insertions(+), 5 deletions(-)"
_STAT = re.compile(r"^ (\S+) +\| +(\d+)\b")
_SUMMARY = re.compile(r"^ \d+ files? changed(?:, (\d+) insertions?\(\+\))?(?:, (\d+) deletions?\(-\))?$", re.MULTILINE)


def check(patches: Sequence[Patch]) -> None:
    """Check a series' headers.

    Raises:
        PatchsetError: the first thing that is wrong, by patch.
    """
    for number, patch in enumerate(patches, 1):
        try:
            _check(patch, number, len(patches))
        except PatchsetError as error:
            raise PatchsetError(f"{patch.path.parent.name}/{patch.path.name}: {error}") from None


def _check(patch: Patch, number: int, total: int) -> None:
    # as git format-patch numbers them
    wanted = f"[PATCH {number:0{len(str(total))}}/{total}]"
    if not patch.subject.startswith(f"{wanted} "):
        raise PatchsetError(f"the subject must start with {wanted}, not {patch.subject[:20]!r}")
    if not patch.path.name.startswith(f"{number:04}-"):
        raise PatchsetError(f"the file's name must start with {number:04}-, its place in the series")
    if missing := [name for name in _REQUIRED if patch.field(name) is None]:
        raise PatchsetError(f"its message lacks the DEP-3 fields {', '.join(missing)}")
    forwarded = patch.field("Forwarded") or ""
    if forwarded not in ("no", "not-needed") and not _URL.match(forwarded):
        raise PatchsetError(f"Forwarded must be no, not-needed or an address, not {forwarded!r}")
    if wrong := [bug for bug in patch.bugs if not _URL.match(bug)]:
        raise PatchsetError(f"Bug must be an address, not {wrong[0]!r}")
    try:
        datetime.date.fromisoformat(patch.field("Last-Update") or "")
    except ValueError:
        raise PatchsetError("Last-Update must be a date, YYYY-MM-DD") from None
    if (applied := patch.field("Applied-Upstream")) is not None:
        _check_applied(applied, forwarded)
    _check_diffstat(patch)
    if not any(name.startswith("tests/") for name in touched(patch)):
        raise PatchsetError("it brings no test")


def _check_applied(applied: str, forwarded: str) -> None:
    """``Applied-Upstream: 0.20.0, https://...``: a release and where it was merged. What is merged is not to be sent."""
    version, _, where = applied.partition(", ")
    try:
        Version(version)
    except InvalidVersion:
        raise PatchsetError(f"Applied-Upstream must start with a release, not {version!r}") from None
    if not _URL.match(where):
        raise PatchsetError(f"Applied-Upstream must be a release, a comma and an address, not {applied!r}")
    if forwarded == "no":
        raise PatchsetError("Forwarded is no, but Applied-Upstream says that upstream has it; say not-needed")


def _check_diffstat(patch: Patch) -> None:
    """Does the diffstat below the message name the files and the numbers of lines that the diff has?"""
    said = {}
    for line in patch.diffstat.splitlines():
        if match := _STAT.match(line):
            said[match[1]] = int(match[2])
    changed = counts(patch)
    # git shortens long names from the left: .../trainable_tokens/layer.py
    found = {_said_name(name, said): sum(lines) for name, lines in changed.items()}
    if found != said:
        wrong = sorted(set(found.items()) ^ set(said.items()))
        raise PatchsetError(f"its diffstat does not say what it changes: {wrong[0][0]}; export it again")
    summary = _SUMMARY.search(patch.diffstat)
    totals = tuple(sum(lines[side] for lines in changed.values()) for side in (0, 1))
    if summary is None or (int(summary[1] or 0), int(summary[2] or 0)) != totals:
        raise PatchsetError(f"its diffstat does not sum up to +{totals[0]} and -{totals[1]}; export it again")


def _said_name(name: str, said: Collection[str]) -> str:
    short = (other for other in said if other.startswith(".../") and name.endswith(other.removeprefix("...")))
    return name if name in said else next(short, name)
