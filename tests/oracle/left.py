"""Faults of stock that the patches leave as they are, for now: counted, not compared.

Each has a name, so that what is left can be listed, and an item leaves `LEFT` when a patch mends it. `--strict` compares
them all.
"""

from __future__ import annotations

TAKEN = "a name such as original_module means the module of that name in another adapter's wrapper too"
INNER_LIST = "a list inside of a module that is found by the end of its last name only is refused, not left out"
OWN_SET = "a model that has a child modules_to_save itself raises AttributeError or TypeError in 0.15"

LEFT = frozenset({TAKEN, INNER_LIST, OWN_SET})
