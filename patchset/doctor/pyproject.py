"""pyproject.toml: standard tables, and those of uv, Poetry, PDM and hatch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from patchset.doctor import requirements
from patchset.doctor.asks import Ask, Document, Node
from patchset.errors import PatchsetError
from patchset.pins import read_toml

# Where the word is no requirement.
_WORDS = re.compile(
    r"^(project|tool\.poetry)\.(name|description|keywords|urls|readme|classifiers|authors|scripts|packages)\b"
    r"|^tool\.(ruff|mypy|pytest|black|isort|coverage|pyright|setuptools|hatch\.build|patchset)\b|^build-system\b"
)

# uv's lists of requirements, by their role.
_UV_LISTS = {
    "override": "override-dependencies",
    "constraint": "constraint-dependencies",
    "requirement": "dev-dependencies",
}


def read(path: Path) -> Document:
    """Read a pyproject.toml or a uv.toml.

    Raises:
        PatchsetError: it cannot be read.
    """
    document, root = Document(), Node(read_toml(path), path)
    tool = root["tool"]
    uv = root if path.name == "uv.toml" else tool["uv"]
    _built(document, root, path)
    for role, key in _UV_LISTS.items():
        _lines(document, uv[key], path, role)
    _pdm(document, tool["pdm"], path)
    for environment in tool["hatch"]["envs"].values():
        for key in ("dependencies", "extra-dependencies"):
            _lines(document, environment[key], path)
    _sources(document, tool, uv)
    if not document.asks:
        document.unread += [f"`{where}`, which has the word peft" for where in _mentions(root)]
    return document


def take(document: Document, path: Path, place: str) -> str:
    """Take up what an installer gets from a project beside others: what its metadata ask for; returns its name.

    Args:
        document: where to put it.
        path: the project's pyproject.toml.
        place: see `Ask`.

    Raises:
        PatchsetError: it cannot be read.
    """
    root = Node(read_toml(path), path)
    name = root["project"]["name"].text or root["tool"]["poetry"]["name"].text
    if canonicalize_name(name) != "peft":
        found = Document()
        _built(found, root, path)
        document.asks += [replace(ask, place=ask.place or place) for ask in found.asks]
        document.unread += [f"{what} {place}" for what in found.unread]
    return canonicalize_name(name)


def _built(document: Document, root: Node, path: Path) -> None:
    """What becomes metadata: Poetry's own table, and [project]; dependency groups beside it (PEP 621, PEP 735)."""
    project = root["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirements_of in [*lists, *root["dependency-groups"].values()]:
        _lines(document, requirements_of, path)
    dynamic = root["tool"]["setuptools"]["dynamic"]
    for field in project["dynamic"]:
        if field.text in ("dependencies", "optional-dependencies"):
            table = dynamic[field.text]
            named = [table, *table.values()] if field.text.startswith("optional") else [table]
            files = [file for one in named if isinstance(one.value, dict) for file in _files(one["file"])]
            for file in files:
                document.asks += [replace(ask, place=file) for ask in requirements.read(path.parent / file).asks]
            if not files:
                document.unread.append(f"its dynamic {field.text}")
    _poetry(document, root["tool"]["poetry"])


def _files(node: Node) -> list[str]:
    return [node.text] if isinstance(node.value, str) else [item.text for item in node]


def _lines(document: Document, lines: Node, path: Path, role: str = "requirement") -> None:
    for line in lines:
        if not isinstance(line.value, dict):  # the others include a group
            requirements.add(document, line.text, path, role=role)


def _pdm(document: Document, pdm: Node, path: Path) -> None:
    for group in pdm["dev-dependencies"].values():
        for line in group:
            text = line.text.removeprefix("-e ").strip()
            requirements.add(document, text, path, editable=text != line.text)
    for name, version in pdm["resolution"]["overrides"].items():
        text = version.text
        wanted = f" @ {text}" if "://" in text else text if re.match(r"[<>=!~]", text) else f"=={text}"
        if canonicalize_name(name) == "peft":
            requirements.add(document, f"{name}{wanted}", path, role="override")


def _poetry(document: Document, poetry: Node) -> None:
    tables = [poetry["dependencies"], poetry["dev-dependencies"]]
    tables += [group["dependencies"] for group in poetry["group"].values()]
    for table in tables:
        for name, value in table.items():
            if canonicalize_name(name) == "peft":
                for one in value if isinstance(value.value, list) else [value]:
                    document.asks += _of_poetry(name, one)


def _of_poetry(name: str, value: Node) -> Iterator[Ask]:
    """The requirement of one entry of Poetry's table; none where it only says which source the standard table's has."""
    fields = {"version": value} if isinstance(value.value, str) else dict(value.items())
    shown, origin = _source(name, fields)
    if origin:
        yield Ask(shown, origin=origin)
    elif "version" in fields and isinstance(version := fields["version"].value, str) and version:
        yield Ask(f"{name} {version}", tuple(_of_caret(version, value)))


def _source(name: str, fields: Mapping[str, Node]) -> tuple[str, str]:
    """A table that says where a package is from, for people, and the file or repository that it names, or nothing."""
    texts = {key: field.value for key, field in fields.items() if isinstance(field.value, str)}
    origin = texts.get("url") or texts.get("path") or texts.get("file") or ""
    if address := texts.get("git"):
        revision = next((f"@{texts[key]}" for key in ("rev", "tag", "branch") if texts.get(key)), "")
        origin = ("" if address.startswith(("git+", "git@")) else "git+") + address + revision
    return f"{name} = {', '.join(f'{key} {text}' for key, text in texts.items())}", origin


def _of_caret(constraint: str, value: Node) -> Iterator[SpecifierSet]:
    """Poetry's constraint as specifiers, any of which must hold."""
    for alternative in re.split(r"\s*\|\|?\s*", constraint.strip()):
        terms = re.sub(r"([<>=!~^]+)\s+", r"\1", alternative)
        try:
            yield SpecifierSet(",".join(_term(term) for term in re.split(r"[,\s]+", terms) if term))
        except (InvalidSpecifier, ValueError) as error:
            raise PatchsetError(
                f"cannot read {value.path}: `{value.name}`: {constraint!r} is no constraint"
            ) from error


def _term(term: str) -> str:
    """One term: ``^0.18.1`` and ``~0.18.1`` are from there on, below the next number that counts."""
    if term == "*":
        return ""
    if term[0] in "^~" and not term.startswith("~="):
        version = term[1:]
        numbers = [int(number) for number in version.split(".")]
        if term[0] == "~":
            last = min(1, len(numbers) - 1)
        else:
            last = next((at for at, number in enumerate(numbers) if number), len(numbers) - 1)
        upper = ".".join(map(str, [*numbers[:last], numbers[last] + 1]))
        return f">={version},<{upper}"
    return term if term[0] in "<>=!~" else f"=={term}"


def _sources(document: Document, tool: Node, uv: Node) -> None:
    """From where the tools take peft, if they are told: by a source's table, which counts for the requirements."""
    asked = document.asks
    document.locker = next((name for name in ("poetry", "pdm") if tool[name]), "uv" if uv else document.locker)
    origins = list(_uv_origins(uv))
    upstream = uv["config-settings-package"]["peft"]["upstream"].text or uv["config-settings"]["upstream"].text
    if origins and asked:
        kept = [ask for ask in asked if ask.role == "constraint"]
        document.asks = [
            *kept,
            *(replace(asked[0], text=shown, origin=where, upstream=upstream) for shown, where in origins),
        ]
    document.index = _index(tool, uv)
    named = origins or document.index
    if named and not [ask for ask in asked if ask.role != "constraint"]:
        document.problems.append("its source for peft counts for nothing: peft is not among its own dependencies")


def _uv_origins(uv: Node) -> Iterator[tuple[str, str]]:
    for source in _uv_sources(uv):
        shown, origin = _source("peft", dict(source.items()))
        if origin:
            yield shown, origin
        elif source["workspace"].value:
            yield "peft = workspace", "the workspace"


def _uv_sources(uv: Node) -> list[Node]:
    source = uv["sources"]["peft"]
    if not source:
        return []
    return list(source) if isinstance(source.value, list) else [source]


def _index(tool: Node, uv: Node) -> tuple[str, str] | None:
    """The index that peft is bound to."""
    bound = [source["index"].text for source in _uv_sources(uv) if source["index"]]
    indexes = [(index["name"].text, index["url"].text) for index in uv["index"]]
    poetry = tool["poetry"]
    table = poetry["dependencies"]["peft"]
    if isinstance(table.value, dict) and table["source"]:
        bound.append(table["source"].text)
        indexes += [(source["name"].text, source["url"].text) for source in poetry["source"]]
    for source in tool["pdm"]["source"]:
        if "peft" in [item.text for item in source["include_packages"]]:
            return source["name"].text, source["url"].text
    return (bound[0], dict(indexes).get(bound[0], "")) if bound else None


def _mentions(node: Node) -> Iterator[str]:
    """Where the word stands, in keys and in text, except where it can be no requirement."""
    if _WORDS.match(node.name):
        return
    if isinstance(node.value, dict):
        for key, value in node.items():
            if re.fullmatch("peft", key, re.IGNORECASE):
                yield f"{node.name}.{key}".lstrip(".")
            else:
                yield from _mentions(value)
    elif isinstance(node.value, list):
        for item in node:
            yield from _mentions(item)
    elif isinstance(node.value, str) and re.match(r"peft\b(?!-)", node.value, re.IGNORECASE):
        yield node.name
