"""git, run so that nobody's settings, hooks, attributes or monitors change what comes out, or run anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from patchset.errors import PatchsetError

# What a configuration file that is still read (the work tree's own) or a default path could change.
_SETTINGS = (
    "core.autocrlf=false",
    f"core.attributesFile={os.devnull}",
    f"core.excludesFile={os.devnull}",
    f"core.hooksPath={os.devnull}",
    "core.fsmonitor=",  # empty, since before 2.36 this is a program's name, and `false` is one
    "core.safecrlf=false",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "commit.gpgSign=false",
    "gc.auto=0",
)
# Who commits is of no interest; a fixed time gives everybody the same commit ids.
_IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "patchset"), ("EMAIL", "patchset@localhost"), ("DATE", "2000-01-01T00:00:00Z"))
}


class GitError(PatchsetError):
    """git failed; the message is the command and the last line that it printed.

    Attributes:
        output: all that it printed.
    """

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


def git(folder: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
    """Run git in a folder and return what it printed on standard output.

    Args:
        folder: the repository, or where to make one.
        arguments: the subcommand and its arguments.
        variables: added to the environment.

    Raises:
        GitError: git failed.
        PatchsetError: git is not installed.
    """
    if shutil.which("git") is None:
        raise PatchsetError("git is not installed; the verbs that handle commits need it")
    command = ["git", *(word for setting in _SETTINGS for word in ("-c", setting)), *arguments]
    result = subprocess.run(
        command,
        cwd=folder,
        env=_environment(variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        close_fds=False,  # a git that outlives this process goes on holding its locks
    )
    output = result.stdout.decode(errors="surrogateescape")
    if result.returncode:
        everything = (result.stdout + result.stderr).decode(errors="replace")
        lines = [line for line in everything.splitlines() if line.strip() and not line.startswith("hint:")]
        raise GitError(f"git {arguments[0]} failed: {lines[-1] if lines else result.returncode}", everything)
    return output


def succeeds(folder: Path, *arguments: str) -> bool:
    """Whether a git command exits with 0."""
    try:
        git(folder, *arguments)
    except GitError:
        return False
    return True


def _environment(variables: Mapping[str, str] | None) -> dict[str, str]:
    # GIT_DIR and its like would lead elsewhere (they are set inside hooks), GIT_DIFF_OPTS and others change diffs.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1", "LC_ALL": "C"}
    return {**kept, **quiet, **_IDENTITY, **(variables or {})}
