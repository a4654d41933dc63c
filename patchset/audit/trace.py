"""The calls of what lies below ``self`` in one method, read from its source.

The standard library alone is needed, so that a test can use it beside any torch.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

Method = ast.FunctionDef | ast.AsyncFunctionDef
# The way from a module down to another, ("model", "layers", "<n>"); NUMBER stands for any number or key of a container.
Steps = tuple[str, ...]
NUMBER = "<n>"
Places = frozenset[Steps]
# Behind a method's name: what that returns.
RESULT = "()"

_SAME = frozenset({"list", "reversed", "tuple"})  # these give the modules of a container, whatever the order
_VALUES = frozenset({"children", "values"})
_PAIRS = frozenset({"items", "named_children"})
# What has nothing below it.
_LEAVES = frozenset(
    [ast.Name, ast.Constant, ast.Pass, ast.alias, *ast.expr_context.__subclasses__(), *ast.operator.__subclasses__()]
    + [*ast.cmpop.__subclasses__(), *ast.unaryop.__subclasses__(), *ast.boolop.__subclasses__()]
)


@dataclass(frozen=True)
class Call:
    """One call of something below ``self``.

    Attributes:
        steps: the way to it.
        keywords: the keywords' names, ``**kwargs`` for unpacked ones.
        positional: whether there are positional arguments, ``*args`` included.
        line: where, from 1.
    """

    steps: Steps
    keywords: tuple[str, ...]
    positional: bool
    line: int

    @property
    def affected(self) -> bool:
        """Whether stock's wrapper fails at it."""
        return bool(self.keywords) and not self.positional and "x" not in self.keywords


def of_method(method: Method) -> tuple[list[Call], Places]:
    """The calls of what lies below a method's first argument, and what of that it may return; names are followed.

    A step ``get_decoder()`` stands for what that method returns.
    """
    arguments = [*method.args.posonlyargs, *method.args.args]
    if not arguments or any(
        isinstance(item, ast.Name) and item.id == "staticmethod" for item in method.decorator_list
    ):
        return [], frozenset()
    tracer = _Tracer({arguments[0].arg: frozenset({()})})
    for statement in method.body:
        tracer.visit(statement)
    return tracer.calls, tracer.returned


class _Tracer(ast.NodeVisitor):
    """Walks through statements in their order and keeps what each local name may stand for."""

    def __init__(self, names: dict[str, Places]) -> None:
        self.names = names
        self.calls: list[Call] = []
        self.returned: Places = frozenset()

    def visit(self, node: ast.AST) -> None:
        """As the base class does, but quicker: a folder has millions of nodes, and most have nothing below them."""
        kind = type(node)
        if kind not in _LEAVES:
            getattr(self, f"visit_{kind.__name__}", self.generic_visit)(node)

    def generic_visit(self, node: ast.AST) -> None:
        """Visit what is below a node."""
        for value in vars(node).values():
            if isinstance(value, ast.AST):
                self.visit(value)
            elif isinstance(value, list):
                for item in value:
                    if isinstance(item, ast.AST):
                        self.visit(item)

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        ways = [steps for steps in sorted(self._places(node.func)) if steps]
        if ways:
            keywords = tuple(item.arg or f"**{ast.unparse(item.value)}" for item in node.keywords)
            self.calls += [Call(steps, keywords, bool(node.args), node.lineno) for steps in ways]

    def visit_Return(self, node: ast.Return) -> None:
        if node.value:
            self.visit(node.value)
            self.returned |= self._places(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)
            self._bind(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target, node.value)

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        before = dict(self.names)
        self._visit_all(node.body)
        after, self.names = self.names, before
        self._visit_all(node.orelse)
        self._merge(after)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        before = dict(self.names)
        self._bind_each(node.target, node.iter)
        self._visit_all([*node.body, *node.orelse])
        self._merge(before)

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        before = dict(self.names)
        self._visit_all([*node.body, *node.orelse])
        self._merge(before)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_inner(node.args, node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_inner(node.args, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Another class's methods have another self."""

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> None:
        self._visit_comprehension(node.generators, [node.elt])

    visit_SetComp = visit_GeneratorExp = visit_ListComp

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._visit_comprehension(node.generators, [node.key, node.value])

    def _visit_all(self, nodes: Sequence[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _visit_inner(self, arguments: ast.arguments, body: Sequence[ast.AST]) -> None:
        before, returned = self.names, self.returned
        own = {item.arg for item in ast.walk(arguments) if isinstance(item, ast.arg)}
        self.names = {name: places for name, places in before.items() if name not in own}
        self._visit_all(body)
        self.names, self.returned = before, returned

    def _visit_comprehension(self, generators: Sequence[ast.comprehension], values: Sequence[ast.expr]) -> None:
        before = dict(self.names)
        for generator in generators:
            self.visit(generator.iter)
            self._bind_each(generator.target, generator.iter)
            self._visit_all(generator.ifs)
        self._visit_all(values)
        self.names = before

    def _merge(self, others: dict[str, Places]) -> None:
        for name, places in others.items():
            self.names[name] = self.names.get(name, frozenset()) | places

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        """Bind what an assignment binds."""
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, its in zip(target.elts, value.elts, strict=True):
                self._bind(one, its)
        else:
            self._set(target, self._places(value))

    def _bind_each(self, target: ast.expr, values: ast.expr) -> None:
        """Bind a loop's target to what the loop runs over."""
        name, given = _called(values)
        if name == "enumerate" and given and isinstance(target, ast.Tuple):
            self._set(target.elts[0], frozenset())
            self._bind_each(target.elts[-1], given[0])
        elif name == "zip" and isinstance(target, ast.Tuple) and len(target.elts) == len(given):
            for one, its in zip(target.elts, given, strict=True):
                self._bind_each(one, its)
        elif name in _PAIRS and isinstance(target, ast.Tuple) and given:
            self._set(target.elts[0], frozenset())
            self._set(target.elts[-1], self._inside(given[0]))
        elif name in _VALUES and given:
            self._set(target, self._inside(given[0]))
        elif isinstance(values, ast.List | ast.Tuple):
            self._set(target, frozenset().union(*(self._places(item) for item in values.elts)))
        else:
            self._set(target, self._inside(values))

    def _set(self, target: ast.expr, places: Places) -> None:
        if isinstance(target, ast.Name):
            self.names[target.id] = places
        elif isinstance(target, ast.Tuple | ast.List | ast.Starred):
            inner = [target.value] if isinstance(target, ast.Starred) else target.elts
            for item in inner:
                self._set(item, frozenset())

    def _inside(self, container: ast.expr) -> Places:
        return frozenset((*steps, NUMBER) for steps in self._places(container))

    def _places(self, node: ast.expr) -> Places:
        """What an expression may stand for, as ways from self; empty where it is nothing of self's."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, frozenset())
        if isinstance(node, ast.Attribute):
            return frozenset((*steps, node.attr) for steps in self._places(node.value))
        if isinstance(node, ast.Subscript):
            return self._places(node.value) if isinstance(node.slice, ast.Slice) else self._inside(node.value)
        if isinstance(node, ast.IfExp):
            return self._places(node.body) | self._places(node.orelse)
        if isinstance(node, ast.BoolOp):
            return frozenset().union(*(self._places(value) for value in node.values))
        if isinstance(node, ast.NamedExpr):
            return self._places(node.value)
        name, given = _called(node)
        if name in _SAME and len(given) == 1:
            return self._places(given[0])
        if name == "getattr" and len(given) > 1 and isinstance(given[1], ast.Constant):
            return frozenset((*steps, str(given[1].value)) for steps in self._places(given[0]))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _may_give(node, node.func):
            found = self._places(node.func)
            return frozenset((*steps[:-1], f"{steps[-1]}{RESULT}") for steps in found if steps)
        return frozenset()


def _may_give(call: ast.Call, method: ast.Attribute) -> bool:
    """Whether a method's call looks like one that gives a submodule: without arguments, or by its name."""
    return not (call.args or call.keywords) or "get" in method.attr


def _called(node: ast.expr) -> tuple[str, list[ast.expr]]:
    """The function's name and the arguments of ``zip(a, b)``; the method's and its object of ``a.items()``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id, node.args
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr, [node.func.value]
    return "", []
