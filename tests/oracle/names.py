"""Names that PEFT refuses, or takes for another module than the reference does."""

from __future__ import annotations

from collections.abc import Iterable

from tests.oracle.reference import Adapter, Request, Resolved, is_inside
from tests.oracle.trees import Tree

PEFTS_OWN = ("original_module", "modules_to_save", "token_adapter", "token_adapter.base_layer", "base_layer")


def kind_of(modules: Resolved) -> str:
    """What an adapter has, in few words."""
    return "+".join(sorted({kind for _, kind in modules.uses})) or "nothing"


def inner_list(tree: Tree, request: Request, modules: Resolved) -> bool:
    """Whether a list is named inside of a module that is found by the end of its last name only."""
    outer = [path for path in modules.saved if not any(f".{path}".endswith(f".{name}") for name in request.save)]
    lists = [path for path in tree.of_kind("list") if any(path.endswith(name) for name in request.save)]
    return any(is_inside(path, saved) for path in lists for saved in outer)


def taken(tree: Tree, request: Request, modules: Resolved, others: Iterable[Adapter]) -> list[str]:
    """Names asked for that also mean a module of PEFT's own, in a wrapper that is there by then."""
    wrapped = [path for adapter in others for path, _ in adapter.modules.uses]
    # a list inside of a module of the same adapter is looked for again, in its wrapper
    saved = [*wrapped, *modules.saved] if inner_list(tree, request, modules) else wrapped
    names = [*((name, saved) for name in request.save), *((name, wrapped) for name in request.targets)]
    if request.tokens:
        names.append((request.tokens[0], [*wrapped, *modules.saved, *modules.lora]))

    def internal(path: str) -> list[str]:
        """PEFT's modules in the wrapper of `path`, and the modules inside of the original."""
        originals = [f"original_module{node.removeprefix(path)}" for node in tree.nodes if is_inside(node, path)]
        return [f".{path}.{part}" for part in (*PEFTS_OWN, *originals)]

    return [name for name, paths in names if any(own.endswith(f".{name}") for path in paths for own in internal(path))]


def twice(request: Request, others: Iterable[Adapter]) -> bool:
    """Whether an embedding's name stands in `modules_to_save` too, which PEFT says in words of its own."""
    saved = {*request.save, *(name for adapter in others for name in adapter.request.save)}
    return request.tokens is not None and request.tokens[0] in saved
