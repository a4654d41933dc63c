"""The model zoo: every model type of the installed transformers, small, with each child wrapped in turn.

`python -m tests.evidence.zoo` writes a JSON object: `versions` of `peft`, `torch` and `transformers`, and `types`, an object
for each model type as `tests.evidence.zoo._examine.examine` gives it.

- `_library`: the types and their classes, from transformers' mappings.
- `_shrink`: a small configuration; `_own`: values of it that single types want.
- `_inputs`: inputs, from the forward signature and from what the model says is wrong with them; `_own_inputs`: those that single
  types want.
- `_children`: the wrapping, and the comparison.
- `_life`: beyond the forward pass: train, save, reload, disable, merge.
- `_examine`: all of it for one type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ELSEWHERE = "elsewhere"


def failed(entry: Mapping[str, Any]) -> dict[str, str]:
    """The names of a type that did not train, save, reload and merge as the unwrapped model, which could; and what became of them.

    Those are left out where PEFT fails with LoRA alone, too.
    """
    lost = entry.get("life", {}).get("not whole", {})
    return {name: what for name, what in lost.items() if not what.startswith(("unfit", ELSEWHERE))}
