"""What upstream's setup.py puts into a wheel, asked of setuptools' own commands.

Its ``build_wheel`` copies each file twice, packs them, and our rewriting unpacks them again, which takes most of a build's time;
``tests/patchset/test_backend.py`` compares with what it gives.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import setuptools
from setuptools import build_meta

from patchset.errors import PatchsetError

# The backend of a project without a `build-system` table, as upstream is (PEP 517).
BACKEND: Any = build_meta.__legacy__


def metadata(folder: Path, settings: dict[str, Any]) -> Path:
    """Write the ``.dist-info`` of the tree that is the current folder below another one, and return its path."""
    return folder / str(BACKEND.prepare_metadata_for_build_wheel(str(folder), settings))


def content(folder: Path, settings: dict[str, Any], tag: str) -> dict[str, bytes]:
    """The files of the wheel of the tree that is the current folder, by their names in it, without RECORD.

    Args:
        folder: an empty one, for setuptools.
        settings: what is meant for setuptools.
        tag: the wheel's build tag, or nothing.

    Raises:
        PatchsetError: it has more than packages and their data.
    """
    dist_info = metadata(folder, settings)
    distribution = _configured(["bdist_wheel", *([f"--build-number={tag}"] if tag else [])])
    _command(distribution, "bdist_wheel").write_wheelfile(str(dist_info))
    steps = _command(distribution, "build").get_sub_commands()
    if steps != ["build_py"] or distribution.data_files:
        raise PatchsetError(
            f"upstream's setup.py asks for {', '.join(steps)}; only build_py and no data files is known here"
        )
    build_py = _command(distribution, "build_py")
    sources = {
        Path(target).relative_to(build_py.build_lib).as_posix(): Path(source)
        for target, source in build_py.get_output_mapping().items()
    }
    described = {path.relative_to(folder).as_posix(): path for path in dist_info.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in {**sources, **described}.items()}


def _configured(arguments: list[str]) -> Any:
    """setup.py's distribution, before any command has run."""
    import distutils.core  # setuptools' own, which its import puts there

    assert setuptools
    return distutils.core.run_setup(os.path.abspath("setup.py"), arguments, stop_after="commandline")  # noqa: PTH100


def _command(distribution: Any, name: str) -> Any:
    command = distribution.get_command_obj(name)
    command.ensure_finalized()
    return command
