"""``python -m patchset VERB``: parse the command line, run the verb, print errors in one line."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

# Verb: the one-line help, and an example. The verb's module is imported only when it runs, so that --help is quick.
_VERBS = {
    "status": ("list the pinned releases, their wheels and patches", "python -m patchset status"),
    "build": ("build patched wheels", "python -m patchset build 0.18.1 0.19.1 -o dist"),
    "verify": ("check pins, patches and locked digests", "python -m patchset verify --all"),
    "lock": (
        "print what to paste to pin a patched wheel by its hash",
        "python -m patchset lock 0.18.1 --for uv --index ADDRESS/simple",
    ),
    "doctor": (
        "say which peft an environment or a requirements or lock file has, and whether it is as released",
        "python -m patchset doctor requirements.txt",
    ),
    "audit": (
        "say which modules a model calls by keyword only, which stock peft cannot wrap",
        "python -m patchset audit modeling_mine.py",
    ),
    "release": ("make the folder to publish: wheels, sdists, index, checksums, notes", "python -m patchset release"),
    "index": ("write a static package index beside the wheels", "python -m patchset index dist"),
    "checkout": ("lay out a series as git commits", "python -m patchset checkout 0.18.1"),
    "adopt": ("pin a new upstream release and carry the patches over", "python -m patchset adopt 0.22.0"),
    "pr": (
        "write what it takes to send the patches upstream; send nothing",
        "python -m patchset pr ../peft -o pull-requests --tests",
    ),
    "export": ("write a work tree's commits back to patch files", "python -m patchset export 0.18.1 --line"),
}
_PYTHON = "runs upstream's tests; {release} stands for the release. Default: that of tox's environment for it"
# Verbs whose module has another name.
_MODULES = {"build": "dist.build", "index": "dist.index", "lock": "dist.lockers"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb.

    Args:
        arguments: the command line without the program's name; None takes the process's own.

    Returns:
        0 on success, 1 where the verb found or met something wrong; 2 for a wrong command line (argparse exits).
    """
    options = _parser().parse_args(arguments)
    from patchset.errors import PatchsetError

    try:
        verb = importlib.import_module(f"patchset.{_MODULES.get(options.verb, f'verbs.{options.verb}')}")
        return int(verb.run(options))
    except (PatchsetError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(f"error: {error}; install the tool's needs with `pip install --group tool`", file=sys.stderr)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m patchset",
        description="Build, verify and ship patched PEFT wheels.",
        epilog="example: python -m patchset build 0.18.1 -o dist",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    added = {
        name: verbs.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=f"example: {example}"
        )
        for name, (text, example) in _VERBS.items()
    }
    for name in ("build", "verify"):
        added[name].add_argument("releases", nargs="*", metavar="RELEASE", help="default: the newest pinned release")
        added[name].add_argument("--all", action="store_true", help="every pinned release")
        added[name].add_argument("--sdist", metavar="PATH", help="upstream's sdist, or a folder of them")
        added[name].add_argument("--json", action="store_true", help="print the result as JSON")
    for name in ("build", "lock"):
        added[name].add_argument(
            "--tagged", action="store_true", help="the wheel that keeps upstream's version and has a build tag instead"
        )
    added["status"].add_argument("--json", action="store_true", help="print the table as JSON")
    added["doctor"].add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="a requirements or lock file or a pyproject.toml; default: what is installed",
    )
    added["doctor"].add_argument(
        "--python", default=sys.executable, metavar="PATH", help="whose environment to look at"
    )
    added["doctor"].add_argument("--json", action="store_true", help="print the findings as JSON")
    added["lock"].add_argument("release", metavar="RELEASE")
    formats = ("pip", "uv", "poetry", "pdm", "pylock")
    added["lock"].add_argument("--for", dest="format", required=True, choices=formats, help="the locker")
    added["lock"].add_argument("--index", metavar="URL", help="where the wheels are served; default: the folder's own")
    added["lock"].add_argument("--dist", default="dist", metavar="FOLDER", help="default: %(default)s")
    added["lock"].add_argument("--json", action="store_true", help="print the pin and the text as JSON")
    added["index"].add_argument("dist", nargs="?", default="dist", metavar="FOLDER", help="default: %(default)s")
    added["index"].add_argument("--json", action="store_true", help="print the files and their hashes as JSON")
    for name in ("build", "release"):
        added[name].add_argument("-o", "--output", default="dist", metavar="FOLDER", help="default: %(default)s")
    added["release"].add_argument("--draft", action="store_true", help="without locked digests and a named CHANGELOG")
    added["release"].add_argument("--sdist", metavar="PATH", help="upstream's sdists, a folder of them")
    added["release"].add_argument("--json", action="store_true", help="print the files and their hashes as JSON")
    added["verify"].add_argument(
        "--reproducible",
        action="store_true",
        help="also build each wheel under varied conditions and compare the bytes",
    )
    added["verify"].add_argument(
        "--update",
        action="store_true",
        help="write the digests found into vendor/releases.toml, after changing a patch",
    )
    _add_commits(added)
    _add_audit(added["audit"])
    return parser


def _add_audit(added: argparse.ArgumentParser) -> None:
    """The options of the verb that reads models."""
    added.description = (
        "Say which submodules the classes of modelling files call by keyword only. With their names in modules_to_save, "
        "stock peft fails at the first forward pass, up to 0.19.1. The files are read, not run. A name counts for every "
        "module whose full name ends in it. Exit status 1 means that there are such calls."
    )
    added.add_argument(
        "path", nargs="?", metavar="PATH", help="a modelling file or a folder; default: the installed transformers"
    )
    added.add_argument("--python", default=sys.executable, metavar="PATH", help="whose transformers to read")
    added.add_argument("--model", action="append", metavar="NAME", help="only the model folders of this name")
    added.add_argument("--json", action="store_true", help="print what was found as JSON")


def _add_commits(added: dict[str, argparse.ArgumentParser]) -> None:
    """The options of the verbs that handle a series as commits."""
    added["status"].add_argument("--check-index", action="store_true", help="name releases that are not pinned yet")
    added["verify"].add_argument(
        "--style", action="store_true", help="also run upstream's ruff, as it pins and configures it"
    )
    added["verify"].add_argument(
        "--tests", action="store_true", help="also run each patch's tests without and with it (minutes)"
    )
    added["verify"].add_argument("--python", metavar="PATH", help=_PYTHON)
    added["pr"].add_argument("clone", metavar="CLONE", help="a clone of upstream's repository, at its main")
    added["pr"].add_argument("-o", "--output", default="pull-requests", metavar="FOLDER", help="default: %(default)s")
    added["pr"].add_argument("--tests", action="store_true", help="run each patch's tests without and with it")
    added["pr"].add_argument("--python", metavar="PATH", help=_PYTHON)
    added["pr"].add_argument("--json", action="store_true", help="print the result as JSON")
    added["adopt"].add_argument("release", metavar="RELEASE")
    added["adopt"].add_argument("--sdist", metavar="PATH", help="upstream's sdist, or a folder of them; no index then")
    added["adopt"].add_argument("--tests", action="store_true", help="see by its tests whether upstream has a fix")
    added["adopt"].add_argument("--python", metavar="PATH", help=_PYTHON)
    steps = added["adopt"].add_mutually_exclusive_group()
    steps.add_argument("--continue", action="store_true", dest="go_on", help="go on after a conflict")
    steps.add_argument("--abort", action="store_true", help="remove the work tree; nothing else was changed")
    added["adopt"].add_argument("--json", action="store_true", help="print the result as JSON")
    for name in ("checkout", "export"):
        added[name].add_argument("release", metavar="RELEASE")
        added[name].add_argument("folder", nargs="?", metavar="FOLDER", help="default: vendor/work-RELEASE")
    added["checkout"].add_argument("--sdist", metavar="PATH", help="upstream's sdist, or a folder of them")
    added["export"].add_argument(
        "--line", action="store_true", help="try and lock every release that shares the series, too"
    )
    added["export"].add_argument(
        "--refresh", action="store_true", help="rewrite the patch files from themselves, after `quilt refresh`"
    )
    added["export"].add_argument("--json", action="store_true", help="print the result as JSON")


if __name__ == "__main__":
    sys.exit(main())
