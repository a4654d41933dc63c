"""Options that several verbs have."""

from __future__ import annotations

import argparse


def add_releases(parser: argparse.ArgumentParser) -> None:
    """Which releases, and where their sdists come from."""
    parser.add_argument("releases", nargs="*", metavar="RELEASE", help="default: the newest pinned release")
    parser.add_argument("--all", action="store_true", help="every pinned release")
    add_sdist(parser)


def add_sdist(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sdist", metavar="PATH", help="upstream's sdist, or a folder of them")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_tagged(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tagged", action="store_true", help="the wheel that keeps upstream's version and has a build tag instead"
    )


def add_output(parser: argparse.ArgumentParser, default: str = "dist") -> None:
    parser.add_argument("-o", "--output", default=default, metavar="FOLDER", help="default: %(default)s")


def add_python(parser: argparse.ArgumentParser) -> None:
    """Which interpreter runs upstream's tests."""
    parser.add_argument(
        "--python",
        metavar="PATH",
        help="runs upstream's tests; {release} stands for the release. Default: that of tox's environment for it",
    )


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Which work tree."""
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="default: vendor/work-RELEASE")
