"""tox's inline plugin: the last lines of a run name each environment whose Python the machine lacks, or is too old."""

from __future__ import annotations

import atexit
import sys

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
        elif sys.version_info < (3, 11) and "tf5.23.0" in name.split("-"):
            print(f"  {name} had transformers 5.17.0: 5.23.0 needs Python 3.11")
