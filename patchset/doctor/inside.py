"""Run by the interpreter that `doctor` looks at, which need not have this tool: what has replaced peft's wrappers?

``python -I inside.py MODULE...`` imports peft and the modules, and prints a JSON list of [what, by what]. Python 3.9 and the standard
library do.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_WRAPPERS = "peft.utils.other"
_BASE = "AuxiliaryTrainingWrapper"


def replaced(module: Any) -> Iterator[tuple[str, str]]:
    """What stands in a module of wrappers and is not what its source puts there, and which file or class it is from.

    Functions are told by the file that their code is from. What is put in their place may be no function: a descriptor, a
    partial one, an object that is called. So what the source defines is compared with what is there.
    """
    written = _written(module)
    base = getattr(module, _BASE)
    for name, names in written.items():
        item = vars(module).get(name)
        if not inspect.isclass(item) or item.__module__ != module.__name__:
            yield name, _place(item)
            continue
        if not issubclass(item, base):
            continue
        for attribute, value in vars(item).items():
            looked_at = attribute in names or callable(value) or hasattr(value, "__get__")
            if looked_at and not _own(value, module, attribute in names):
                yield f"{name}.{attribute}", _place(value)
    for name, item in vars(module).items():
        if name not in written and inspect.isclass(item) and issubclass(item, base):
            yield name, _place(item)


def _written(module: Any) -> dict[str, set[str]]:
    """The wrappers' classes in the source, and their methods."""
    found: dict[str, set[str]] = {}
    for node in ast.parse(Path(module.__file__).read_bytes()).body:
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
            if node.name == _BASE or bases & set(found):
                found[node.name] = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
    return found


def _own(value: Any, module: Any, written: bool) -> bool:
    """Whether the source of a module, or a decorator of the standard library in it, has made a class's attribute."""
    if isinstance(value, property):
        return all(_own(one, module, written) for one in (value.fget, value.fset, value.fdel) if one)
    function = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
    if not inspect.isfunction(function):
        # what `class` itself leaves there, such as __weakref__, is not in the source, and is no object of Python's
        return not written and type(value).__module__ in ("builtins", "_abc", "types")
    files = (module.__file__, contextlib.__file__)
    return function.__code__.co_filename in files


def _place(value: Any) -> str:
    function = getattr(value, "__func__", getattr(value, "fget", None) or value)
    function = getattr(function, "func", function)  # partial ones
    if inspect.isfunction(function):
        return function.__code__.co_filename
    kind = value if inspect.isclass(value) else type(value)
    source = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return f"{kind.__module__}.{kind.__qualname__}" + (f" of {source}" if source else "")


if __name__ == "__main__":
    wrappers = importlib.import_module(_WRAPPERS)
    for one in sys.argv[1:]:
        importlib.import_module(one)
    print(json.dumps(list(replaced(wrappers))))
