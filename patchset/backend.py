"""The build backend (PEP 517 and 660): upstream's own build, run on the patched tree.

Settings, by ``-C NAME=VALUE`` or as an environment variable:

- ``upstream`` or ``PEFT_UPSTREAM``: the release to build, instead of the newest pinned one.
- ``version`` or ``PEFT_VERSION``: ``upstream`` keeps upstream's version exactly and tags the wheel, instead of ``local``.
- ``sdist`` or ``PEFT_SDIST``: upstream's sdist, or a folder that holds it, instead of vendor/, cache and index.

All others are handed on to setuptools, but for names that are nearly these: a misspelt one would build another release
without a word. There is no hook for the metadata: front ends that want them first build the wheel and read them there, so that
one tree is patched. What a hook does is in `patchset.wheels.hooks`, which is imported only by the hooks
that build: front ends call the others in processes of their own.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from patchset.errors import PatchsetError
from patchset.pins import ROOT, Request, chosen, read_toml, tagged
from patchset.sources.sdists import Sdists, missing
from patchset.sources.settings import offline

Settings = dict[str, Any] | None
_SETTINGS = ("upstream", "version", "sdist")
_VARIABLES = ("PEFT_UPSTREAM", "PEFT_VERSION", "PEFT_SDIST")


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """What a build needs besides ``build-system.requires``: a client for the package index, if it has to download."""
    with _request(config_settings) as request:
        if Sdists(request.sdist, [request.release]).on_disk(request.release):
            return []
        if why := offline():
            raise missing(request.release, why)
        return list(read_toml(ROOT / "pyproject.toml")["dependency-groups"]["fetch"])


get_requires_for_build_sdist = get_requires_for_build_wheel
get_requires_for_build_editable = get_requires_for_build_wheel


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """Build the patched wheel and return its file name (PEP 517)."""
    with _request(config_settings) as request:
        from patchset.wheels import hooks

        return hooks.wheel(request, Path(wheel_directory))


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Build a source package that builds the same wheel without a network, and return its file name (PEP 517)."""
    with _request(config_settings) as request:
        from patchset.wheels import hooks

        return hooks.sdist(request, Path(sdist_directory))


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Lay the patched tree out below ``vendor/`` and return the wheel that points at it (PEP 660)."""
    with _request(config_settings) as request:
        from patchset.wheels import hooks

        return hooks.editable(request, Path(wheel_directory))


@contextlib.contextmanager
def _request(settings: Settings) -> Iterator[Request]:
    """What is to be built. Errors end the process with their message alone: nobody needs a backend's traceback."""
    rest = dict(settings or {})
    try:
        _refuse_misspelt(rest, _SETTINGS)
        _refuse_misspelt((name for name in os.environ if name.startswith("PEFT_")), _VARIABLES)
        release = chosen(rest.pop("upstream", None))
        keep = tagged(rest.pop("version", None))
        yield Request(release, rest.pop("sdist", None) or os.environ.get("PEFT_SDIST"), rest, keep)
    except PatchsetError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error}; nothing was built")


def _refuse_misspelt(given: Iterable[str], known: Sequence[str]) -> None:
    for name in (name for name in given if name not in known):
        import difflib  # late: nearly no build gets here, and each has three hooks that would import it

        near = difflib.get_close_matches(name.replace("-", "_"), known, n=1, cutoff=0.7)
        near += [word for word in known if name.lower() in (word.lower(), f"peft_{word}")]
        if near:
            raise PatchsetError(f"unknown setting {name}; did you mean {near[0]}?")
