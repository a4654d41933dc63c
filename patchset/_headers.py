"""What a patch file must say about itself: git's mail headers and the DEP-3 fields."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

from patchset._apply import touched
from patchset._errors import PatchsetError
from patchset._series import Patch

_REQUIRED = ("Origin", "Forwarded", "Last-Update")
_URL = re.compile(r"https://\S+\Z")


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
    if not patch.subject.startswith(f"[PATCH {number}/{total}] "):
        raise PatchsetError(f"the subject must start with [PATCH {number}/{total}], not {patch.subject[:20]!r}")
    if not patch.path.name.startswith(f"{number:04}-"):
        raise PatchsetError(f"the file's name must start with {number:04}-, its place in the series")
    if missing := [name for name in _REQUIRED if patch.field(name) is None]:
        raise PatchsetError(f"its message lacks the DEP-3 fields {', '.join(missing)}")
    forwarded = patch.field("Forwarded") or ""
    if forwarded not in ("no", "not-needed") and not _URL.match(forwarded):
        raise PatchsetError(f"Forwarded must be no, not-needed or an address, not {forwarded!r}")
    for name, value in patch.fields:
        if name == "Bug" and not _URL.match(value):
            raise PatchsetError(f"Bug must be an address, not {value!r}")
    try:
        datetime.date.fromisoformat(patch.field("Last-Update") or "")
    except ValueError:
        raise PatchsetError("Last-Update must be a date, YYYY-MM-DD") from None
    files = touched(patch)
    if not any(name.startswith("tests/") for name in files):
        raise PatchsetError("it brings no test")
