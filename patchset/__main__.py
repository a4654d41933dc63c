"""``python -m patchset VERB``: parse the command line, run the verb, print errors in one line."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

# The verbs and what they do. A verb's module, `patchset.verbs.VERB`, has its example, options and what runs; it is
# imported only where it is named, so that --help is quick.
VERBS = {
    "status": "list the pinned releases, their wheels and patches",
    "build": "build patched wheels",
    "rebuild": "say whether this checkout gives the same bytes as a wheel that somebody has",
    "verify": "check pins, patches and locked digests",
    "constraints": "pin what a build takes, by hash, after a change of its pins in pyproject.toml",
    "lock": "print what to paste to pin a patched wheel by its hash",
    "doctor": "say which peft an environment or a requirements or lock file has, and whether it is as released",
    "repair": "put the right patched wheel in place of the peft that an environment has",
    "audit": "say which modules a model calls by keyword only, which stock peft cannot wrap",
    "release": "make the folder to publish: wheels, sdists, index, checksums, notes",
    "index": "write a static package index beside the wheels",
    "checkout": "lay out a series as git commits",
    "adopt": "pin a new upstream release and carry the patches over",
    "pr": "write what it takes to send the patches upstream; send nothing",
    "export": "write a work tree's commits back to patch files",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb.

    Args:
        arguments: the command line without the program's name; None takes the process's own.

    Returns:
        0 on success, 1 where the verb found or met something wrong; 2 for a wrong command line (argparse exits).
    """
    from patchset.errors import PatchsetError

    words = sys.argv[1:] if arguments is None else list(arguments)
    named = next((word for word in words if not word.startswith("-")), "")
    try:
        verb = importlib.import_module(f"patchset.verbs.{named}") if named in VERBS else None
        options = _parser(named, verb).parse_args(words)
        return int(verb.run(options)) if verb else 2
    except (PatchsetError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(f"error: {error}; install the tool's needs with `pip install --group tool`", file=sys.stderr)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
    return 1


def _parser(named: str, verb: object) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m patchset",
        description="Build, verify and ship patched PEFT wheels.",
        epilog="example: python -m patchset build 0.18.1 -o dist",
    )
    added = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, text in VERBS.items():
        one = added.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if name == named:
            one.epilog = f"example: python -m patchset {verb.EXAMPLE}"  # type: ignore[attr-defined]
            verb.add_options(one)  # type: ignore[attr-defined]
    return parser


if __name__ == "__main__":
    sys.exit(main())
