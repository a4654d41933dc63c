"""Packages from a patched tree: wheel, metadata, sdist and editable wheel, through upstream's own setuptools build."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from patchset.errors import PatchsetError
from patchset.files import staged
from patchset.pins import Request
from patchset.series.tree import Tree, locked_tree
from patchset.sources.sdists import Sdists
from patchset.wheels import editable as _editable
from patchset.wheels import sdist as _sdist
from patchset.wheels import setup_py
from patchset.wheels import wheel as _wheel


def wheel(request: Request, output: Path) -> str:
    """Build the wheel into a folder and return its file name."""
    with _tree(request) as tree, tempfile.TemporaryDirectory() as scratch:
        with _inside(tree.path):
            content = setup_py.content(Path(scratch), request.settings, request.wheel.tag)
        _finish(content, request, tree, output)
    return request.wheel.file


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
    with tempfile.TemporaryDirectory() as scratch, _tree(request) as tree, _inside(tree.path):
        metadata = (setup_py.metadata(Path(scratch), request.settings) / "METADATA").read_bytes()
    with staged(output) as fresh:
        finished = _sdist.write(fresh, request, _wheel.extend_metadata(metadata))
        finished.replace(output / finished.name)
    return finished.name


def editable(request: Request, output: Path) -> str:
    """Keep the patched tree below ``vendor/``, build the wheel that points at it, and return its file name."""
    with _tree(request) as tree, tempfile.TemporaryDirectory() as scratch:
        kept = _editable.keep(tree.path, request.wheel)
        with _inside(kept):
            name = str(setup_py.BACKEND.build_editable(scratch, request.settings))
        _finish(_wheel.read(Path(scratch, name)), request, tree, output, name)
    return name


@contextlib.contextmanager
def _tree(request: Request) -> Iterator[Tree]:
    """The patched tree, in a temporary folder of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        yield locked_tree(request.wheel, Path(scratch), Sdists(request.sdist, [request.release]))


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


def _finish(content: dict[str, bytes], request: Request, tree: Tree, output: Path, name: str = "") -> None:
    """Write a wheel of setuptools' files and ours, in one step: a build that dies leaves none half-written."""
    with staged(output) as scratch:
        finished = scratch / (name or request.wheel.file)
        _wheel.write(finished, _wheel.extended(content, request.wheel, tree))
        finished.replace(output / finished.name)
