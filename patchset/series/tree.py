"""The patched tree of a release: verified sdist, series applied, digest checked, version stamped."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from patchset.errors import PatchsetError
from patchset.pins import Release, Wheel
from patchset.series.apply import apply_series
from patchset.series.digest import tree_digest
from patchset.series.patch import Patch, read_series
from patchset.sources.sdists import Sdists

# Where upstream keeps its version, and the statement around it.
_VERSION_FILES = {"setup.py": "VERSION", "src/peft/__init__.py": "__version__"}


@dataclass(frozen=True)
class Tree:
    """A patched tree.

    Attributes:
        path: its root.
        patches: the series that was applied.
        changed: the files that the series changed, relative to the root.
    """

    path: Path
    patches: list[Patch]
    changed: list[str]


def patch_tree(release: Release, parent: Path, sdists: Sdists, *, allow_offsets: bool = True) -> Tree:
    """Lay out a release's patched tree, not yet stamped nor compared with the locked digest.

    Args:
        release: the pin.
        parent: an empty folder, the caller's to remove.
        sdists: where to take the source from.
        allow_offsets: see `patchset.series.apply.apply_series`.

    Raises:
        PatchsetError: from fetching, unpacking or applying.
    """
    patches = read_series(release.series_dir)
    path = sdists.unpack(release, parent)
    return Tree(path, patches, apply_series(path, patches, allow_offsets=allow_offsets))


def takes(release: Release, patches: Sequence[Patch], sdists: Sdists) -> bool:
    """Whether a release's stock takes these patches, offsets allowed.

    Raises:
        Unavailable: its sdist is not to be had.
    """
    with tempfile.TemporaryDirectory() as scratch:
        tree = sdists.unpack(release, Path(scratch))
        try:
            apply_series(tree, patches, allow_offsets=True)
        except PatchsetError:
            return False
    return True


def locked_tree(wheel: Wheel, parent: Path, sdists: Sdists) -> Tree:
    """The patched and stamped tree, which matches the digest locked in the pins before it is stamped.

    Args:
        wheel: what is to be made of it.
        parent: an empty folder, the caller's to remove.
        sdists: where to take the source from.

    Raises:
        PatchsetError: from `patch_tree`, or the digest differs.
    """
    release = wheel.release
    tree = patch_tree(release, parent, sdists)
    digest = tree_digest(tree.path)
    if digest != release.tree:
        raise PatchsetError(
            f"the patched tree of {release.version} has digest {digest}, but {release.tree} is locked; if the patches "
            f"were meant to change, run `python -m patchset verify {release.version} --update`"
        )
    stamp(tree, wheel)
    return tree


def stamp(tree: Tree, wheel: Wheel) -> None:
    """Write the wheel's version where upstream keeps its own, and say in each changed module that it was changed.

    The notice is what Apache-2.0, section 4(b), asks for. It goes to the file's end so that line numbers stay those
    of the patches.
    """
    release = wheel.release
    for name, variable in _VERSION_FILES.items():
        file = tree.path / name
        pattern = rf'^({variable} = )"{re.escape(release.version)}"$'
        text, count = re.subn(pattern, rf'\1"{wheel.version}"', file.read_text("utf-8"), flags=re.MULTILINE)
        if count != 1:
            raise PatchsetError(
                f'{name} of {release.version} has {count} lines `{variable} = "{release.version}"`, not 1'
            )
        file.write_bytes(text.encode())
    notice = f"# Changed from peft {release.version} by {wheel.name}; see NOTICE beside its licence.\n"
    for name in tree.changed:
        if name.startswith("src/") and name.endswith(".py") and (tree.path / name).exists():
            with (tree.path / name).open("ab") as file_:
                file_.write(b"\n" + notice.encode())
