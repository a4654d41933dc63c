"""Which peft the frameworks of an environment take: by their metadata, and by what they compare when they run.

Installers look at metadata, for which ``0.17.1+kwargs.1`` satisfies ``peft<=0.17.1``. A program that compares versions
itself sorts a local version above its release. Such comparisons are looked for in the installed sources, which are read, not
run. Found are calls with a requirement of peft (``require_version("peft<=0.17.1")``, under whatever name), calls such as
``is_peft_version("<=", "0.17.1")``, and comparisons of peft's version with a literal one; constants of the same file are
put in. Not found is what is put together at run time.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from patchset.pins import Release, Wheel

_OPERATORS = {
    "==": operator.eq, "!=": operator.ne, "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt
}  # fmt: skip
_MIRRORED = {"<=": ">=", ">=": "<=", "<": ">", ">": "<"}
_AST = {ast.Eq: "==", ast.NotEq: "!=", ast.LtE: "<=", ast.GtE: ">=", ast.Lt: "<", ast.Gt: ">"}
# An expression for peft's version, and what makes one of it that has no local part.
_VERSION = re.compile(r"""\bpeft\.__version__|\bversion\(['"]peft['"]\)|peft_version\b""")
_PUBLIC = re.compile(r"\.(base_version|public|release)\b")


@dataclass(frozen=True)
class Check:
    """A comparison in a framework's source.

    Attributes:
        place: file and line, for people.
        terms: operators and versions, all of which must hold.
        guard: whether the program goes on either way, as far as can be seen, instead of refusing to.
    """

    place: str
    terms: tuple[tuple[str, str], ...]
    guard: bool

    def __str__(self) -> str:
        return "peft" + ",".join(f"{sign}{version}" for sign, version in self.terms)

    def holds(self, version: str) -> bool:
        """What the program finds: it compares with the local part, unlike an installer."""
        return all(_OPERATORS[sign](Version(version), Version(wanted)) for sign, wanted in self.terms)

    def tells_apart(self, release: Release) -> bool:
        """Whether a release's local version fares otherwise than the release."""
        return self.holds(release.version) != self.holds(release.patched_version)


@dataclass(frozen=True)
class Framework:
    """An installed distribution that uses peft.

    Attributes:
        name: its name.
        version: its version.
        pin: what its metadata require.
        checks: what its sources compare.
    """

    name: str
    version: str
    pin: SpecifierSet
    checks: tuple[Check, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def takes(self, wheel: Wheel) -> bool:
        """Whether it can be installed with a wheel and does not refuse it."""
        refused = any(not check.holds(wheel.version) for check in self.checks if not check.guard)
        return self.pin.contains(wheel.version) and not refused


def wheel_of(release: Release, frameworks: Iterable[Framework]) -> Wheel:
    """The wheel of a release that fares with the frameworks as the release does."""
    checks = (check for framework in frameworks for check in framework.checks)
    return Wheel(release, tagged=any(check.tells_apart(release) for check in checks))


def newest(releases: Sequence[Release], frameworks: Sequence[Framework]) -> Wheel | None:
    """The wheel to take: of the newest release that all frameworks take."""
    wheels = (wheel_of(release, frameworks) for release in reversed(releases))
    return next((wheel for wheel in wheels if all(framework.takes(wheel) for framework in frameworks)), None)


def frameworks(path: list[str]) -> list[Framework]:
    """The distributions on a search path whose metadata name peft, extras included."""
    found = {}
    for installed in importlib.metadata.distributions(path=path):
        needs = [need for need in _needs(installed) if canonicalize_name(need.name) == "peft"]
        name = canonicalize_name(installed.metadata["Name"] or "")
        if needs and name not in found and name != "peft":  # the first on the path counts
            pins = [need.specifier for need in needs if not need.marker or need.marker.evaluate({"extra": ""})]
            pin = SpecifierSet(",".join(map(str, pins)))
            found[name] = Framework(name, installed.version, pin, tuple(_checks(installed)))
    return sorted(found.values(), key=lambda framework: framework.name)


def _needs(installed: importlib.metadata.Distribution) -> Iterator[Requirement]:
    for text in installed.requires or []:
        try:
            yield Requirement(text)
        except InvalidRequirement:
            continue


def _checks(installed: importlib.metadata.Distribution) -> Iterator[Check]:
    for path, name in _sources(installed):
        try:
            source = path.read_bytes()
            if b"peft" in source:
                yield from checks(source, name)
        except (OSError, SyntaxError, ValueError):
            continue  # what Python cannot read, it does not run


def _sources(installed: importlib.metadata.Distribution) -> Iterator[tuple[Path, str]]:
    """The Python files of a distribution; of an editable one, its project's."""
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        root = Path(unquote(urlsplit(origin["url"]).path))
        for path in sorted(root.rglob("*.py")):
            name = path.relative_to(root)
            if not any(part.startswith(".") or part in ("tests", "site-packages") for part in name.parts):
                yield path, name.as_posix()
        return
    for file in installed.files or []:
        if file.suffix == ".py":
            yield Path(str(installed.locate_file(file))), file.as_posix()


def checks(source: bytes, name: str) -> Iterator[Check]:
    """The comparisons of peft's version in a file.

    Args:
        source: its text.
        name: what to call it.

    Raises:
        SyntaxError: it is no Python.
    """
    tree = ast.parse(source)
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        place = f"{name}, line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call) and node.args:
            texts = [_text(argument, constants) for argument in node.args[:2]]
            if terms := _required(texts[0]):
                yield Check(place, terms, guard=False)
            elif len(texts) == 2 and texts[0] in _OPERATORS and "peft" in ast.unparse(node.func):
                yield from _guard(place, texts[0], texts[1])
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for left, sign, right in zip(sides, node.ops, sides[1:], strict=False):
                yield from _compared(place, left, _AST.get(type(sign)), right, constants)


def _compared(
    place: str, left: ast.expr, sign: str | None, right: ast.expr, constants: dict[str, str]
) -> Iterator[Check]:
    if sign is None:
        return
    for own, other, operation in ((left, right, sign), (right, left, _MIRRORED.get(sign, sign))):
        said = ast.unparse(own)
        if _VERSION.search(said) and not _PUBLIC.search(said):
            # Version("0.17.1"), or the text itself
            literal = other.args[0] if isinstance(other, ast.Call) and other.args else other
            yield from _guard(place, operation, _text(literal, constants))


def _guard(place: str, sign: str | None, version: str | None) -> Iterator[Check]:
    if sign and version and parsed(version):
        yield Check(place, ((sign, version),), guard=True)


def _text(node: ast.expr, constants: dict[str, str]) -> str | None:
    """The text that an expression stands for, as far as literals and the file's constants go."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, constants)
    if isinstance(node, ast.JoinedStr):
        parts = [_text(part, constants) for part in node.values]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [_text(part, constants) for part in (node.left, node.right)]
    else:
        return None
    known = [part for part in parts if part is not None]
    return "".join(known) if len(known) == len(parts) else None


def _required(text: str | None) -> tuple[tuple[str, str], ...]:
    """The terms of a requirement of peft; none for any other text."""
    if not text or not text.startswith("peft"):
        return ()
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return ()
    if requirement.name != "peft":
        return ()
    terms = [(part.operator, part.version) for part in requirement.specifier]
    return tuple(sorted(term for term in terms if term[0] in _OPERATORS and parsed(term[1])))


def parsed(version: str) -> Version | None:
    """A version's text as a version; None where it is none."""
    try:
        return Version(version)
    except InvalidVersion:
        return None
