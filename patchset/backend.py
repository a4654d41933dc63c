"""The build backend (PEP 517 and 660): upstream's own build, run on the patched tree.

Settings, by ``-C NAME=VALUE`` or as an environment variable:

- ``upstream`` or ``PEFT_UPSTREAM``: the release to build, instead of the newest pinned one.
- ``sdist`` or ``PEFT_SDIST``: upstream's sdist, or a folder that holds it, instead of vendor/, cache and index.

All others are handed on to setuptools.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomlkit

from patchset import _editable, _sdist, _wheel
from patchset._errors import PatchsetError
from patchset._fetch import on_disk
from patchset._pins import ROOT, Release, chosen
from patchset._tree import Tree, locked_tree

Settings = dict[str, Any] | None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """What a build needs besides ``build-system.requires``: a client for the package index, if it has to download."""
    with _one_line_errors():
        if on_disk(chosen(config_settings), _given(config_settings)):
            return []
        project = tomlkit.parse((ROOT / "pyproject.toml").read_text(encoding="utf-8")).unwrap()
        return list(project["dependency-groups"]["fetch"])


get_requires_for_build_sdist = get_requires_for_build_wheel
get_requires_for_build_editable = get_requires_for_build_wheel


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """Build the patched wheel and return its file name (PEP 517)."""
    with _tree(config_settings) as (release, tree), tempfile.TemporaryDirectory() as scratch:
        with _inside(tree.path):
            name = str(_setuptools().build_wheel(scratch, _rest(config_settings)))
        finished = Path(scratch, "finished", name)
        finished.parent.mkdir()
        _wheel.rewrite(Path(scratch, name), finished, _wheel.added_files(release, tree))
        _deliver(finished, Path(wheel_directory))
    return name


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Settings = None) -> str:
    """Write the ``.dist-info`` folder that the wheel will have, and return its name (PEP 517)."""
    with _tree(config_settings) as (release, tree):
        with _inside(tree.path):
            name = str(_setuptools().prepare_metadata_for_build_wheel(metadata_directory, _rest(config_settings)))
        _wheel.extend_dist_info(Path(metadata_directory, name), _wheel.added_files(release, tree))
    return name


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Build a source package that builds the same wheel without a network, and return its file name (PEP 517)."""
    with _tree(config_settings) as (release, tree), tempfile.TemporaryDirectory() as scratch:
        with _inside(tree.path):
            name = str(_setuptools().prepare_metadata_for_build_wheel(scratch, _rest(config_settings)))
        _wheel.extend_dist_info(Path(scratch, name), _wheel.added_files(release, tree))
        metadata = Path(scratch, name, "METADATA").read_bytes()
        finished = _sdist.write(Path(scratch), release, metadata, _given(config_settings))
        _deliver(finished, Path(sdist_directory))
    return finished.name


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Lay the patched tree out below ``vendor/`` and return the wheel that points at it (PEP 660)."""
    with _tree(config_settings) as (release, tree):
        added = _wheel.added_files(release, tree)
        kept = _editable.keep(tree.path, release)
    with tempfile.TemporaryDirectory() as scratch:
        with _inside(kept):
            name = str(_setuptools().build_editable(scratch, _rest(config_settings)))
        finished = Path(scratch, "finished", name)
        finished.parent.mkdir()
        _wheel.rewrite(Path(scratch, name), finished, added)
        _deliver(finished, Path(wheel_directory))
    return name


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def _setuptools() -> Any:
    """The backend of a project without a ``build-system`` table, as upstream is (PEP 517)."""
    from setuptools import build_meta

    return build_meta.__legacy__


def _given(settings: Settings) -> str | None:
    return (settings or {}).get("sdist") or os.environ.get("PEFT_SDIST")


def _rest(settings: Settings) -> Settings:
    return {key: value for key, value in (settings or {}).items() if key not in ("upstream", "sdist")}


@contextlib.contextmanager
def _tree(settings: Settings) -> Iterator[tuple[Release, Tree]]:
    """The chosen release's patched tree, in a temporary folder of its own."""
    with _one_line_errors(), tempfile.TemporaryDirectory() as scratch:
        release = chosen(settings)
        yield release, locked_tree(release, Path(scratch), _given(settings))


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work in a folder as upstream's setup.py expects, with a umask that does not depend on the user."""
    before, umask = Path.cwd(), os.umask(0o022)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        os.umask(umask)


def _deliver(file: Path, folder: Path) -> None:
    """Move a finished file to its folder in one step: a build that dies leaves none half-written."""
    handle, partial = tempfile.mkstemp(dir=folder, prefix=".partial-")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(file.read_bytes())
        umask = os.umask(0)
        os.umask(umask)
        Path(partial).chmod(0o666 & ~umask)
        Path(partial).replace(folder / file.name)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    """End with the message alone: a traceback of the backend helps nobody who runs ``pip install``."""
    try:
        yield
    except PatchsetError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error}; nothing was built")
