"""``python -m tests.matrix``: write the pairs of ``tests/matrix.toml`` into ``tox.ini`` and the workflow.

What is written stands between the lines ``# matrix: NAME`` and ``# matrix: end``.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.version import Version

from patchset.files import replace
from patchset.pins import ROOT, load, read_toml

TABLE = ROOT / "tests" / "matrix.toml"
TOX = ROOT / "tox.ini"
WORKFLOW = ROOT / ".github" / "workflows" / "tox.yml"
_STOCK = "uv pip install --quiet --no-deps --target {env_dir}{/}other peft=={env:PEFT_UPSTREAM}"
_BLOCK = re.compile(r"(?m)^( *)# matrix: (?!end)(\S+)\n(?:.*\n)*?\1# matrix: end\n")


def generated(path: Path) -> str:
    """A file's text with the blocks as the table has them.

    Raises:
        KeyError: a block has a name that is not known.
    """
    blocks = _tox() if path == TOX else _workflow()

    def block(match: re.Match[str]) -> str:
        indent, name = match.groups()
        lines = [f"# matrix: {name}", *blocks[name], "# matrix: end"]
        return "".join(f"{indent}{line}\n" for line in lines)

    return _BLOCK.sub(block, path.read_text("utf-8"))


def _tox() -> dict[str, list[str]]:
    table = read_toml(TABLE)
    pairs = table["pair"]
    default, full = _default(pairs), [_name(pair) for pair in pairs]
    releases = [
        f"peft{_either([*pair.get('also', []), pair['peft']])}-tf{pair['transformers']}-torch2.13.0"
        for pair in pairs
        if "default" in pair
    ]
    torches = _versions(torch for pair in pairs for torch in [*pair["torch"], pair.get("default", "2.13.0")])
    any_torch = f"torch{_either(torches)}"
    pinned = [release.version for release in load()]
    lines = [line for line, _ in default]
    return {
        "env_list": [*(name for _, name in default), f"upstream-{_either(table['upstream']['default'])}"],
        "labels": [
            *_label("full", full),
            *_label("stock", [f"{name}-stock" for name in full]),
            *_label("releases", releases),
            *_label("upstream", [f"upstream-{_either(lines)}"]),
        ],
        "release": [f"peft{version}: PEFT_UPSTREAM = {version}" for version in pinned],
        "line": [f"{line}: PEFT_UPSTREAM = {_newest(line, pairs)}" for line in lines],
        "deps": [f"torch{torch}: torch=={torch}" for torch in torches] + list(_transformers(table)),
        "behaviour": [
            "# Stock of the same release, whose adapter files are exchanged with the patched one's.",
            f"{any_torch}-!stock: PEFT_OTHER = {{env_dir}}{{/}}other",
            "# Where the run's outcome is written to.",
            f"{any_torch}: RESULTS = {{env:RESULTS:{{work_dir}}{{/}}results}}{{/}}{{env_name}}.json",
        ],
        "other": [
            f"{any_torch}-!stock: {_STOCK}",
        ],
        "packages": [f"[testenv:.pkg-peft{_either(pinned)}]"],
    }


def _workflow() -> dict[str, list[str]]:
    table = read_toml(TABLE)
    pairs = table["pair"]
    jobs = {line: [name] for line, name in _default(pairs)}
    for line in table["upstream"]["default"]:
        jobs[line].append(f"upstream-{line}")
    full = {line: [_name(pair) for pair in pairs if _line(pair) == line] for line in jobs}
    return {"default": _include(jobs), "full": _include(full)}


def _include(jobs: dict[str, list[str]]) -> list[str]:
    return [text for line, names in jobs.items() for text in (f'- name: "{line}"', f"  envs: {','.join(names)}")]


def _default(pairs: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """The line and the environment of each pair in the default set."""
    return [
        (_line(pair), f"peft{pair['peft']}-tf{pair['transformers']}-torch{pair['default']}")
        for pair in pairs
        if "default" in pair
    ]


def _name(pair: dict[str, Any]) -> str:
    """The environments of a pair, as tox writes them in one name."""
    pythons = [python.replace(".", "") for python in pair["python"]]
    return f"py{_either(pythons)}-peft{pair['peft']}-tf{pair['transformers']}-torch{_either(pair['torch'])}"


def _transformers(table: dict[str, Any]) -> Iterator[str]:
    for version in _versions(pair["transformers"] for pair in table["pair"]):
        instead = table["older_python"].get(f"transformers {version}")
        if instead is None:
            yield f"tf{version}: transformers=={version}"
            continue
        yield f'tf{version}: transformers=={version}; python_version >= "{instead["below"]}"'
        yield f'tf{version}: transformers=={instead["version"]}; python_version < "{instead["below"]}"'


def _line(pair: dict[str, Any]) -> str:
    return str(pair["peft"]).rpartition(".")[0]


def _newest(line: str, pairs: Sequence[dict[str, Any]]) -> str:
    return next(str(pair["peft"]) for pair in pairs if _line(pair) == line)


def _label(name: str, names: Sequence[str]) -> list[str]:
    return [f"{name} = \\", *(f"    {one}, \\" for one in names[:-1]), f"    {names[-1]}"]


def _versions(found: Iterator[str]) -> list[str]:
    return sorted(set(found), key=Version)


def _either(choices: Sequence[str]) -> str:
    return f"{{{','.join(choices)}}}" if len(choices) > 1 else choices[0]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit status 1 where something would change"
    )
    options = parser.parse_args()
    changed = [path for path in (TOX, WORKFLOW) if generated(path) != path.read_text("utf-8")]
    for path in changed:
        print(f"{path.relative_to(ROOT)} {'is not as the table has it' if options.check else 'written'}")
        if not options.check:
            replace(path, generated(path))
    return int(options.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
