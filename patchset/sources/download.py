"""Download an sdist from the configured package indexes, through pip.

pip checks the pinned hash before it looks into a file. It then asks the sdist for its metadata, as it does of every sdist, with
the setuptools that a build has anyway.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.request import getproxies

from patchset.errors import PatchsetError, Unavailable
from patchset.pins import Release
from patchset.sources.settings import DEFAULT, OFFLINE, IndexSettings, odd, redacted, settings

# What pip takes from upstream: sdists, whatever Python they are for.
_SDISTS = ("--no-binary", "peft", "--ignore-requires-python")
# pip, with an end to what an index may answer: of memory, for a page, and of a file. Windows has no such limits.
_BOUNDED_PIP = """
import runpy
try:
    import resource
except ModuleNotFoundError:
    pass
else:
    resource.setrlimit(resource.RLIMIT_AS, (2**30, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**28, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def download(release: Release) -> bytes:
    """Ask each configured source in turn for a release's sdist, until one gives the right one.

    Returns:
        The file's bytes, of the pinned SHA-256; of a release that is not pinned yet, of the one that the source names.

    Raises:
        PatchsetError: the sources that have a file of that name have another one.
        Unavailable: no source has it; the message says what was tried and how to do without.
    """
    config = settings()
    print(f"fetching {release.sdist}", file=sys.stderr)
    tried, wrong = [], ""
    for source in _sources(config):
        with tempfile.TemporaryDirectory() as scratch:
            wanted = Path(scratch, "requirements.txt")
            pinned = f" --hash=sha256:{release.sha256}" if release.sha256 else ""
            wanted.write_text(f"peft=={release.version}{pinned}\n", "utf-8")
            options = (*_SDISTS, "--no-deps", "--no-build-isolation", "--dest", scratch)
            result = _pip(
                [source], config, "--no-cache-dir", "-vv", "download", *options, "--requirement", str(wanted)
            )
            file = Path(scratch, release.sdist)
            if result.returncode == 0 and file.is_file():
                return file.read_bytes()
        if found := re.search(r"Expected sha256 (\w+)\s+Got\s+(\w+)", result.stderr):
            wrong = wrong or f"{_name(source)} is not the pinned one: expected sha256 {found[1]}, got {found[2]}"
        tried.append(f"{_name(source)} ({_said(result, [source], config)})")
    if wrong:
        raise PatchsetError(
            f"{release.sdist} as downloaded from {wrong}. Nothing was unpacked or cached; get the file from a source you trust"
        )
    raise Unavailable(
        f"cannot get {release.sdist}; tried {'; '.join(tried) or 'nothing, as no-index is set'}. {OFFLINE}"
    )


def available() -> list[str]:
    """The final releases of ``peft`` that have an sdist on the configured sources, oldest first.

    Raises:
        PatchsetError: no source answers.
    """
    from packaging.version import Version  # late: no build needs it

    config = settings()
    sources = _sources(config)
    result = _pip(sources, config, "index", "versions", "peft", "--json", *_SDISTS)
    if result.returncode:
        asked = "; ".join(map(_name, sources)) or "nothing, as no-index is set"
        raise PatchsetError(f"no source lists a release of peft; tried {asked} ({_said(result, sources, config)})")
    return sorted(json.loads(result.stdout)["versions"], key=Version)


def _sources(config: IndexSettings) -> list[tuple[str, str]]:
    """What is asked, in order: pip's name for its kind, and its address."""
    links = [("FIND_LINKS", _address(link)) for link in config.find_links]
    return links if config.no_index else [*links, *(("INDEX_URL", url) for url in config.indexes or [DEFAULT])]


def _name(source: tuple[str, str]) -> str:
    return redacted(source[1]) or "the default index"


def _pip(
    sources: Iterable[tuple[str, str]], config: IndexSettings, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run pip on these sources; by variables, as a command line can be read by others."""
    indexes = [url for kind, url in sources if kind == "INDEX_URL"]
    given = {
        "PIP_INDEX_URL": "".join(indexes[:1]),
        "PIP_EXTRA_INDEX_URL": " ".join(indexes[1:]),
        "PIP_FIND_LINKS": " ".join(url for kind, url in sources if kind == "FIND_LINKS"),
        "PIP_NO_INDEX": "" if indexes else "1",
        "PIP_TRUSTED_HOST": " ".join(config.trusted_hosts),
        # six tries of an index that does not answer take eight seconds
        "PIP_RETRIES": os.environ.get("PIP_RETRIES", "2"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        # these would stand against the options; what is empty, pip takes for not set, in a file of its own either
        "PIP_BUILD_CONSTRAINT": "",
        "PIP_CONSTRAINT": "",
        "PIP_ONLY_BINARY": "",
    }
    # what a front end says of our backend must not reach the sdist's own
    front_end = {f"_PYPROJECT_HOOKS_{name}" for name in ("BUILD_BACKEND", "BACKEND_PATH", "BACKEND_PATH_JSON")}
    rest = {name: value for name, value in os.environ.items() if name not in front_end}
    command = [sys.executable, "-c", _BOUNDED_PIP, "--no-input", "--no-color", *arguments]
    return subprocess.run(command, env={**rest, **given}, capture_output=True, text=True, check=False)


def _address(link: str) -> str:
    """A find-links entry that has no space in it."""
    return link if re.match(r"[a-z]+:", link) else Path(link).expanduser().absolute().as_uri()


def _said(result: subprocess.CompletedProcess[str], sources: Iterable[tuple[str, str]], config: IndexSettings) -> str:
    """What pip says of why it got nothing, for a message: it may quote parts of a URL that it could not take apart."""
    proxies = [config.proxy, os.environ.get("PIP_PROXY", ""), *getproxies().values()]
    if any(odd(url) for url in (*(url for _, url in sources), *proxies)):
        return "its user name or password may hold characters that have to be written as %XX"
    if "MemoryError" in result.stderr:
        return "its answer is too large"
    # of an index that answers with an error, pip tells only who asks for more
    said = re.findall(r"^\s*Could not fetch URL \S+: (.*?)(?: - skipping)?$", result.stdout, re.MULTILINE)
    said += re.findall(r"^\s*(?:WARNING|ERROR): (.*)$", result.stderr, re.MULTILINE)
    said = [re.sub(r"^Retrying .* after connection broken by ", "no answer: ", line) for line in said]
    said = [line for line in dict.fromkeys(said) if not line.startswith("Location ")]
    return redacted("; ".join(said or result.stderr.strip().splitlines()[-1:]))
