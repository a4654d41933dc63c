"""tox's inline plugin: the last lines of a run name each environment whose Python the machine lacks, or is too old."""

from __future__ import annotations

import atexit

from packaging.requirements import Requirement
from tox.config.sets import ConfigSet
from tox.plugin import impl
from tox.session.state import State
from tox.tox_env.python.api import Python


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    """tox has read its configuration."""
    if state.conf.options.command in ("run", "run-parallel", "legacy"):
        atexit.register(_name_skipped, state)


def _name_skipped(state: State) -> None:
    for name in state.envs.iter():
        env = state.envs[name]
        if isinstance(env, Python) and not env.env_python().exists():
            print(f"  {name} was skipped: this machine has no {' or '.join(env.conf['base_python'])}")
        elif isinstance(env, Python):
            version = ".".join(map(str, env.base_python.version_info[:2]))
            for need in map(Requirement, env.conf["deps"].lines()):
                if need.marker and "<" in str(need.marker) and need.marker.evaluate({"python_version": version}):
                    print(f"  {name} had {need.name}{need.specifier}: newer ones need a newer Python")
