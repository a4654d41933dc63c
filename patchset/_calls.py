"""Which child modules a class calls by keyword only: read from source, nothing is imported or run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# Stands for the number of a module in a list, or its key in a dict.
ELEMENT = "<n>"
# They hand on what they are given, element by element.
_ITERATORS = {"enumerate", "reversed", "zip", "list", "tuple"}


@dataclass(frozen=True)
class Call:
    """A call of a child module with keywords only.

    Attributes:
        owner: the class whose method calls.
        child: the child's name in it, dotted: what `modules_to_save` matches the end of. `layers.<n>` stands for
            `layers.0` and so on.
        keywords: the names of the keywords, in order; `**` where a mapping is unpacked.
        line: number of the call's first line, from 1.
    """

    owner: str
    child: str
    keywords: tuple[str, ...]
    line: int


@dataclass
class _Class:
    """A class as far as calls go: its bases, its methods, and its children with the class that makes each."""

    node: ast.ClassDef
    bases: list[str]
    methods: dict[str, ast.FunctionDef] = field(default_factory=dict)
    children: dict[str, str] = field(default_factory=dict)


def read(source: str) -> list[Call]:
    """The calls in a module, in order of lines.

    Calls in every method count, since `forward` hands work to others. What a method finds out at run time (`getattr`,
    a module that an argument brings) is not seen, nor are children that a base class in another file makes.

    Args:
        source: text of a Python module.

    Raises:
        SyntaxError: it is not Python.
    """
    tree = ast.parse(source)
    classes = {node.name: _class(node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    found: list[Call] = []
    for known in classes.values():
        whole = _inherited(known, classes)
        for method in known.methods.values():
            found += _Method(whole, classes).calls(method)
    return sorted(found, key=lambda call: call.line)


def _class(node: ast.ClassDef) -> _Class:
    found = _Class(node, [base.id for base in node.bases if isinstance(base, ast.Name)])
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef):
            found.methods[statement.name] = statement
            for inner in ast.walk(statement):
                found.children.update(_made(inner))
    return found


def _made(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Children that a statement makes: `self.name = Class(...)`, a choice of such, or `self.add_module("name", ...)`."""
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if isinstance(target, ast.Attribute) and _is_self(target.value) and _makes(node.value):
                yield target.attr, _maker(node.value)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) == 2:
        name, value = node.args
        if node.func.attr in ("add_module", "register_module") and isinstance(name, ast.Constant):
            yield str(name.value), _maker(value)


def _makes(value: ast.expr) -> bool:
    """Whether an assigned value may be a module: something is called, or looked up in a table of classes."""
    return any(isinstance(node, (ast.Call, ast.Subscript)) for node in ast.walk(value))


def _maker(value: ast.expr) -> str:
    """The name of the class that makes a value, or a container's elements; empty if none is to be seen."""
    for node in ast.walk(value):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Attribute) and function.attr in ("from_config", "_from_config"):
                function = function.value
            if isinstance(function, ast.Name):
                return function.id
    return ""


def _line(node: ast.AST) -> int:
    return int(getattr(node.target if isinstance(node, ast.comprehension) else node, "lineno", 0))


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _inherited(known: _Class, classes: dict[str, _Class]) -> _Class:
    """A class with what its bases in the same file bring."""
    merged = _Class(known.node, known.bases)
    for base in reversed(known.bases):
        if base in classes and base != known.node.name:
            above = _inherited(classes[base], classes)
            merged.methods.update(above.methods)
            merged.children.update(above.children)
    merged.methods.update(known.methods)
    merged.children.update(known.children)
    return merged


class _Method:
    """Reads a method, keeping in mind which local names stand for children."""

    def __init__(self, owner: _Class, classes: dict[str, _Class]) -> None:
        self._owner = owner
        self._classes = classes
        self._local: dict[str, str] = {}

    def calls(self, method: ast.FunctionDef) -> Iterator[Call]:
        nodes = sorted(ast.walk(method), key=_line)
        for node in nodes:
            self._remember(node)
        for node in nodes:
            if isinstance(node, ast.Call) and node.keywords and not node.args:
                child = self._child(node.func)
                if child:
                    keywords = tuple(keyword.arg or "**" for keyword in node.keywords)
                    yield Call(self._owner.node.name, child, keywords, node.lineno)

    def _remember(self, node: ast.AST) -> None:
        """Note what a name stands for after an assignment, or in a loop."""
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            self._bind(node.targets[0], self._child(node.value))
        elif isinstance(node, (ast.For, ast.comprehension)):
            self._loop(node.target, node.iter)

    def _bind(self, target: ast.expr, child: str | None) -> None:
        if isinstance(target, ast.Name) and child:
            self._local[target.id] = child

    def _loop(self, target: ast.expr, iterable: ast.expr) -> None:
        """`for layer in self.layers`, also through `enumerate`, `zip`, a slice, or a dict's `items` and `values`."""
        function = iterable.func if isinstance(iterable, ast.Call) else None
        arguments: Sequence[ast.expr] = iterable.args if isinstance(iterable, ast.Call) else []
        if isinstance(function, ast.Attribute) and function.attr in ("items", "values"):
            last = target.elts[-1] if isinstance(target, ast.Tuple) else target
            self._bind(last, self._element(function.value))
        elif isinstance(function, ast.Name) and function.id in _ITERATORS:
            targets = target.elts if isinstance(target, ast.Tuple) else [target]
            if function.id == "enumerate":
                targets, arguments = targets[1:], arguments[:1]
            for inner, argument in zip(targets, arguments, strict=False):
                self._loop(inner, argument)
        else:
            self._bind(target, self._element(iterable))

    def _element(self, container: ast.expr) -> str | None:
        child = self._child(container)
        return f"{child}.{ELEMENT}" if child else None

    def _child(self, node: ast.expr) -> str | None:
        """The child that an expression stands for."""
        if isinstance(node, ast.Name):
            return self._local.get(node.id)
        if isinstance(node, ast.Subscript):
            return self._child(node.value) if isinstance(node.slice, ast.Slice) else self._element(node.value)
        if not isinstance(node, ast.Attribute):
            return None
        if _is_self(node.value):
            own = node.attr in self._owner.children and node.attr not in self._owner.methods
            return node.attr if own else None
        parent = self._child(node.value)
        return f"{parent}.{node.attr}" if parent and self._has(parent, node.attr) else None

    def _has(self, parent: str, name: str) -> bool:
        """Whether a child's class, where this file has it, makes a child of that name."""
        known: _Class | None = self._owner
        for part in parent.split("."):
            if part == ELEMENT:
                continue  # the container's maker is its elements'
            maker = known.children.get(part, "") if known else ""
            known = _inherited(self._classes[maker], self._classes) if maker in self._classes else None
        return known is not None and name in known.children and name not in known.methods
