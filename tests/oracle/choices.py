"""Random trees and requests. What chooses is handed in: hypothesis' own `Random`, which shrinks, or a plain one."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.oracle.reference import Request, is_inside, resolve
from tests.oracle.trees import Node, Tree

# They repeat, end in each other, and are what PEFT itself calls its modules.
NAMES = (
    "proj", "out_proj", "head", "lm_head", "layer", "encoder", "lin", "er", "out", "embed", "tok_embed", "vision_proj",
    "original_module", "modules_to_save", "token_adapter", "base",
)  # fmt: skip
PEFTS_OWN = ("original_module", "modules_to_save", "token_adapter")
ADAPTERS = ("alpha", "beta", "gamma")
KINDS = ("linear",) * 8 + ("block",) * 6 + ("list", "embedding", "embedding", "scale", "scale", "keyword")
FORWARDS = ("class",) * 22 + ("method", "partial", "object") * 2 + ("closure",)
MAX_LEAVES = 8


def tree(random: Random) -> Tree:
    """A tree of up to three levels and a few leaves."""
    leaves: list[tuple[str, Node]] = []

    def leaf(path: str, name: str, kind: str) -> Node:
        node = Node(name, kind, forward=random.choice(FORWARDS), call=random.choice(("position", "keyword")))
        earlier = [
            other for other, found in leaves if found.kind == kind and found.forward == "class" and not found.same_as
        ]
        if kind != "keyword" and node.forward == "class" and earlier and random.random() < 0.2:
            node = replace(node, same_as=random.choice(earlier), share=random.random() < 0.5)
        leaves.append((path, node))
        return node

    def module(prefix: str, name: str, depth: int) -> Node:
        path = f"{prefix}{name}"
        kind = random.choice(KINDS)
        if kind == "list" and depth > 1:
            items = [module(f"{path}.", str(index), depth + 1) for index in range(random.randint(1, 2))]
            return Node(name, "list", tuple(items))
        if kind in ("block", "list") and depth < 3:
            return Node(name, "block", children(f"{path}.", depth + 1), call=random.choice(("position", "keyword")))
        return leaf(path, name, "linear" if kind in ("block", "list") else kind)

    def children(prefix: str, depth: int) -> tuple[Node, ...]:
        names = random.sample(NAMES, random.randint(1, 3))
        return tuple(module(prefix, name, depth) for name in names[: max(1, MAX_LEAVES - len(leaves))])

    return Tree(Node("", "block", children("", 1)))


def names_of(random: Random, path: str) -> str:
    """One way to mean a module: its path, the end of it, or the end of its name."""
    parts = path.split(".")
    way = random.randint(0, 4)
    if way == 0:
        return path
    if way == 1:
        return ".".join(parts[-2:])
    if way == 2 and len(parts[-1]) > 3:
        return parts[-1][-random.randint(2, 4) :]
    return parts[-1]


def request(random: Random, tree: Tree) -> Request:
    """A request that PEFT has to answer for this tree, with a module or with a refusal."""
    paths = list(tree.nodes)
    save: list[str] = []
    if random.random() < 0.8:
        save = [names_of(random, random.choice(paths)) for _ in range(random.randint(1, 2))]
    if random.random() < 0.02:
        return Request(save=(names_of(random, random.choice(paths)),), bare=True)
    if random.random() < 0.02:
        save.append("absent")
    asked = Request(save=tuple(dict.fromkeys(save)))
    if random.random() < 0.6:
        asked = _with_targets(random, tree, asked)
    if not asked.save and not asked.targets:
        asked = Request(save=(random.choice(paths),))
    embeddings = tree.of_kind("embedding")
    if embeddings and random.random() < 0.5:
        path = random.choice(embeddings)
        name = random.choice((path, path.rpartition(".")[2]))
        with_tokens = replace(asked, tokens=(name, tuple(sorted(random.sample(range(5), 2)))))
        if resolve(tree, with_tokens).tokens == (path,):
            asked = with_tokens
    return asked


def _with_targets(random: Random, tree: Tree, asked: Request) -> Request:
    """LoRA too, where LoRA itself can work: on linear layers called by position, not inside of a module saved whole."""
    fit = [
        path for path, node in tree.nodes.items()
        if node.kind == "linear" and node.call == "position" and not (node.share or path in tree.tied)
    ]  # fmt: skip
    if not fit:
        return asked
    path = random.choice(fit)
    parts = path.split(".")
    # alone, a name that is also PEFT's own means other modules as soon as there is a wrapper, in stock as well
    name = path if parts[-1] in PEFTS_OWN else random.choice((path, ".".join(parts[-2:]), parts[-1]))
    found = resolve(tree, with_targets := replace(asked, targets=(name,)))
    inside = any(path == saved or is_inside(path, saved) for path in found.lora for saved in found.saved)
    if inside or not found.lora or not set(found.lora) <= set(fit):
        return asked
    return with_targets
