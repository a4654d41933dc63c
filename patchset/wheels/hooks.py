"""Packages from a patched tree: wheel, metadata, sdist and editable wheel, through upstream's own setuptools build."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from setuptools import build_meta

from patchset.errors import PatchsetError
from patchset.files import staged
from patchset.pins import Request
from patchset.series.tree import Tree, locked_tree
from patchset.sources.sdists import Sdists
from patchset.wheels import editable as _editable
from patchset.wheels import sdist as _sdist
from patchset.wheels import wheel as _wheel

# The backend of a project without a `build-system` table, as upstream is (PEP 517).
_SETUPTOOLS: Any = build_meta.__legacy__


def wheel(request: Request, output: Path) -> str:
    """Build the wheel into a folder and return its file name."""
    with _tree(request) as tree, tempfile.TemporaryDirectory() as scratch:
        with _inside(tree.path):
            name = str(_SETUPTOOLS.build_wheel(scratch, {**request.settings, "--build-option": _options(request)}))
        _finish(Path(scratch, name), output, _wheel.added_files(request.wheel, tree))
    return name


def metadata(request: Request, output: Path) -> str:
    """Write the wheel's ``.dist-info`` into a folder and return its name."""
    with _tree(request) as tree:
        with _inside(tree.path):
            name = str(_SETUPTOOLS.prepare_metadata_for_build_wheel(str(output), request.settings))
        _wheel.extend_dist_info(output / name, _wheel.added_files(request.wheel, tree))
    return name


def sdist(request: Request, output: Path) -> str:
    """Build our source package into a folder and return its file name.

    Raises:
        PatchsetError: it is to keep upstream's version. A source package has no build tag to tell it from upstream's.
    """
    if request.tagged:
        raise PatchsetError(
            f"a source package of version {request.release.version} would have the name of upstream's; build the wheel "
            "alone (`uv build --wheel`, `python -m build --wheel`), or the source package without `version=upstream`"
        )
    with tempfile.TemporaryDirectory() as scratch:
        dist_info = metadata(request, Path(scratch))
        core_metadata = Path(scratch, dist_info, "METADATA").read_bytes()
        finished = _sdist.write(Path(scratch), request, core_metadata)
        _deliver(finished, output)
    return finished.name


def editable(request: Request, output: Path) -> str:
    """Keep the patched tree below ``vendor/``, build the wheel that points at it, and return its file name."""
    with _tree(request) as tree, tempfile.TemporaryDirectory() as scratch:
        kept = _editable.keep(tree.path, request.wheel)
        with _inside(kept):
            name = str(_SETUPTOOLS.build_editable(scratch, request.settings))
        _finish(Path(scratch, name), output, _wheel.added_files(request.wheel, tree))
    return name


@contextlib.contextmanager
def _tree(request: Request) -> Iterator[Tree]:
    """The patched tree, in a temporary folder of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        yield locked_tree(request.wheel, Path(scratch), Sdists(request.sdist, [request.release]))


def _options(request: Request) -> list[str]:
    """What setuptools' bdist_wheel is told: the user's options, and last what must be as we say."""
    given = request.settings.get("--build-option", [])
    tag = [f"--build-number={request.wheel.tag}"] if request.tagged else []
    # What is rewritten anyway need not be compressed.
    return [*([given] if isinstance(given, str) else given), "--compression=stored", *tag]


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work in a folder as upstream's setup.py expects, with a umask that does not depend on the user."""
    before, umask = Path.cwd(), os.umask(0o022)
    os.chdir(folder)
    try:
        with warnings.catch_warnings():
            # setuptools' advice on upstream's setup.py is nothing that our users can follow
            warnings.simplefilter("ignore")
            yield
    finally:
        os.chdir(before)
        os.umask(umask)


def _finish(built: Path, output: Path, files: dict[str, bytes]) -> None:
    """Rewrite setuptools' wheel into ours, and deliver it."""
    finished = built.parent / "finished" / built.name
    finished.parent.mkdir()
    _wheel.rewrite(built, finished, files)
    _deliver(finished, output)


def _deliver(file: Path, folder: Path) -> None:
    """Put a finished file into a folder in one step: a build that dies leaves none half-written."""
    with staged(folder) as scratch:
        Path(shutil.copy(file, scratch)).replace(folder / file.name)
