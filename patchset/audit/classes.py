"""The classes of modelling files, read and not run: their bases, their methods and the submodules that they hold.

The standard library alone is needed, so that this can be read by a test beside any torch.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from patchset.audit.trace import Call, Method, of_method

# Calls that make no module.
_NO_MODULE = frozenset({"getattr", "partial", "Parameter", "Buffer", "dict", "list", "tuple", "set", "int", "len"})
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
        children: by attribute, what is called to make the submodule: class names, as far as the file says, and others.
    """

    name: str
    source: Source
    bases: tuple[str, ...]
    methods: frozenset[str]
    calls: tuple[Call, ...]
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
        if not isinstance(node, ast.ClassDef | Method):
            for inner in _BLOCKS:
                yield from _statements(getattr(node, inner, ()))


def _class(node: ast.ClassDef, source: Source) -> Class:
    methods = [item for item in _statements(node.body) if isinstance(item, Method)]
    item = Class(
        name=node.name,
        source=source,
        bases=tuple(name for base in node.bases if (name := _last_name(base))),
        methods=frozenset(method.name for method in methods),
        calls=tuple(call for method in methods for call in sorted(of_method(method), key=lambda call: call.line)),
    )
    for method in methods:
        for name, made in _made(method):
            item.children.setdefault(name, set()).update(made)
    return item


def _made(method: Method) -> Iterator[tuple[str, set[str]]]:
    """The submodules that a method gives ``self``, and what is called to make them."""
    known: dict[str, set[str]] = {}
    if method.name == "__init__":  # a module that is handed in
        known = {argument.arg: set() for argument in (*method.args.args[1:], *method.args.kwonlyargs)}
    for node in _statements(method.body):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield from _added(node.value, known)
        if not isinstance(node, ast.Assign | ast.AnnAssign) or (made := _makers(node.value, known)) is None:
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name):
                known.setdefault(target.id, set()).update(made)
            elif name := _own_attribute(target):
                yield name, made


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
    made = {name for node in ast.walk(value) if isinstance(node, ast.Call) for name in _names(node.func)}
    named = (known.get(node.id, set()) for node in ast.walk(value) if isinstance(node, ast.Name))
    return made.union(*named)


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
