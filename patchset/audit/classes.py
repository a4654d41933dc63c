"""The classes of modelling files, read and not run: their bases, their methods and the submodules that they hold.

The standard library alone is needed, so that this can be read by a test beside any torch.
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from patchset.audit.trace import Call, Method, Places, of_method

# Calls that make no module.
_NO_MODULE = frozenset({"getattr", "partial", "Parameter", "Buffer", "dict", "list", "tuple", "set", "int", "len"})
_COMPOUND = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.Try,
    ast.Match,
    ast.ExceptHandler,
    ast.match_case,
) + ((ast.TryStar,) if sys.version_info >= (3, 11) else ())
# Where a compound statement keeps others.
_BLOCKS = ("body", "handlers", "cases", "orelse", "finalbody")
# Methods by which a container gets more modules.
_ADDING = frozenset({"append", "extend", "insert", "add_module", "update"})


@dataclass(eq=False)
class Class:
    """One class statement.

    Attributes:
        name: the class's name.
        source: the file that it stands in.
        bases: the bases' names, without the modules in front of them.
        methods: the names of its body's functions.
        calls: what its methods call below ``self``.
        returns: by method, what of that it may return; those that are looked up like attributes too.
        properties: the methods that are.
        children: by attribute, what is called to make the submodule: class names, as far as the file says, and others.
    """

    name: str
    source: Source
    bases: tuple[str, ...]
    methods: frozenset[str]
    calls: tuple[Call, ...]
    returns: dict[str, Places] = field(default_factory=dict)
    properties: frozenset[str] = frozenset()
    children: dict[str, set[str]] = field(default_factory=dict)


@dataclass(eq=False)
class Source:
    """One file.

    Attributes:
        path: the file.
        classes: its classes by name.
        imported: by name, the last part of the module that it comes from and its name there.
    """

    path: Path
    classes: dict[str, Class] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)


def read(path: Path) -> Source:
    """Read a file's classes.

    Raises:
        OSError: it cannot be read.
        SyntaxError: it is not Python, or of a later one than this.
        ValueError: there are null bytes in it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's invalid escapes
        tree = ast.parse(path.read_bytes(), str(path))
    source = Source(path)
    for node in _statements(tree.body):
        if isinstance(node, ast.ImportFrom) and node.module:
            origin = node.module.rpartition(".")[2]
            source.imported |= {alias.asname or alias.name: (origin, alias.name) for alias in node.names}
        elif isinstance(node, ast.ClassDef):
            source.classes[node.name] = _class(node, source)
    return source


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Statements in their order, those inside ``if``, ``for``, ``with``, ``try`` and so on too, not those of a ``def``."""
    for node in body:
        yield node
        if isinstance(node, _COMPOUND):
            for inner in _BLOCKS:
                yield from _statements(getattr(node, inner, ()))


def _class(node: ast.ClassDef, source: Source) -> Class:
    methods = [item for item in _statements(node.body) if isinstance(item, Method)]
    traced = {method: of_method(method) for method in methods}
    item = Class(
        name=node.name,
        source=source,
        bases=tuple(name for base in node.bases if (name := _last_name(base))),
        methods=frozenset(method.name for method in methods),
        calls=tuple(call for calls, _ in traced.values() for call in sorted(calls, key=lambda call: call.line)),
        returns={method.name: returned for method, (_, returned) in traced.items() if returned},
        properties=frozenset(method.name for method in methods if _is_property(method)),
    )
    for method in methods:
        for name, made in _made(method):
            item.children.setdefault(name, set()).update(made)
    return item


def _is_property(method: Method) -> bool:
    return any(_last_name(decorator) in ("property", "cached_property") for decorator in method.decorator_list)


def _made(method: Method) -> Iterator[tuple[str, set[str]]]:
    """The submodules that a method gives ``self``, and what is called to make them."""
    statements = list(_statements(method.body))
    if not any(map(_may_give, statements)):
        return  # as nearly all but __init__: the walks below take long
    known: dict[str, set[str]] = {}
    if method.name == "__init__":  # a module that is handed in
        known = {argument.arg: set() for argument in (*method.args.args[1:], *method.args.kwonlyargs)}
    for node in statements:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield from _added(node.value, known)
        if not isinstance(node, ast.Assign | ast.AnnAssign) or (made := _makers(node.value, known)) is None:
            continue
        for target in _targets(node):
            if isinstance(target, ast.Name):
                known.setdefault(target.id, set()).update(made)
            elif name := _own_attribute(target):
                yield name, made


def _may_give(node: ast.AST) -> bool:
    """Whether a statement looks as if it gave ``self`` a submodule."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return any(map(_own_attribute, _targets(node)))
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def _added(call: ast.Call, known: dict[str, set[str]]) -> Iterator[tuple[str, set[str]]]:
    """The submodule of ``self.child.append(Layer())``, ``self.add_module("child", ...)``, ``setattr(self, ...)``."""
    made = set().union(*(_makers(argument, known) or set() for argument in call.args))
    name = next((item.value for item in call.args if isinstance(item, ast.Constant)), None)
    if isinstance(call.func, ast.Name) and call.func.id == "setattr" and isinstance(name, str):
        if isinstance(call.args[0], ast.Name) and call.args[0].id == "self" and made:
            yield name, made
    elif isinstance(call.func, ast.Attribute) and call.func.attr in _ADDING and made:
        container = call.func.value
        if isinstance(container, ast.Name) and container.id == "self" and isinstance(name, str):
            yield name, made
        elif isinstance(container, ast.Name):
            known.setdefault(container.id, set()).update(made)
        elif child := _own_attribute(container):
            yield child, made


def _makers(value: ast.expr | None, known: dict[str, set[str]]) -> set[str] | None:
    """What is called in an expression that makes a module; None where it makes none."""
    if isinstance(value, ast.Name):
        return known.get(value.id)
    if isinstance(value, ast.IfExp):
        return _either([value.body, value.orelse], known)
    if isinstance(value, ast.BoolOp):
        return _either(value.values, known)
    if not isinstance(value, ast.Call) or _last_name(value.func) in _NO_MODULE:
        return None
    made: set[str] = set()
    for node in ast.walk(value):
        if isinstance(node, ast.Call):
            made.update(_names(node.func))
        elif isinstance(node, ast.Name):
            made |= known.get(node.id, set())
    return made


def _either(values: Iterable[ast.expr], known: dict[str, set[str]]) -> set[str] | None:
    made = [found for value in values if (found := _makers(value, known)) is not None]
    return set().union(*made) if made else None


def _names(func: ast.expr) -> list[str]:
    """``Layer`` for ``Layer(...)``; ``Layer`` and ``from_config`` for ``Layer.from_config(...)``."""
    if isinstance(func, ast.Attribute):
        return [func.attr, *_names(func.value)]
    return [func.id] if isinstance(func, ast.Name) else []


def _last_name(node: ast.expr) -> str:
    """``Module`` for ``nn.Module``, ``Generic`` for ``Generic[T]``."""
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    return next(iter(_names(node)), "")


def _own_attribute(node: ast.expr) -> str | None:
    """``child`` for ``self.child``."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return node.attr
    return None
