"""Faults of stock that the patches leave as they are, for now: counted, not compared.

Each has a name, so that what is left can be listed, and an item leaves `LEFT` when a patch mends it. `--strict` compares
them all.
"""

from __future__ import annotations

BOUND = "the copy of a module whose forward is bound to the original does not train"
UNSAID = "a name that means no module is not said"
NAMED = "merging a named adapter takes the active one's copies"
PASSIVE = "merging while the active adapter lacks a wrapper's module fails, or takes another's (before 0.21)"
TAKEN = "a name such as original_module means the module of that name in another adapter's wrapper too"
BESIDE_TOKENS = "an adapter without trained tokens cannot be saved or loaded beside one that has them"
INNER_LIST = "a list inside of a module that is found by the end of its last name only is refused, not left out"
OWN_SET = "a model that has a child modules_to_save itself raises AttributeError in 0.15"

LEFT = frozenset({BOUND, UNSAID, NAMED, PASSIVE, TAKEN, BESIDE_TOKENS, INNER_LIST, OWN_SET})
