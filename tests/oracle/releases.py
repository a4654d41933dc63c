"""Where releases of stock differ from each other, without being wrong by the contract.

The contract says of these "as stock"; patched releases do what their own release did.
"""

from __future__ import annotations

from dataclasses import dataclass

from packaging.version import Version


@dataclass(frozen=True)
class Behaviour:
    """What a release does.

    Attributes:
        originals_train: An original that takes the place of a copy, since the active adapter has none or adapters are
            disabled, requires gradients (up to 0.18).
        freezes_loaded: What is loaded without `is_trainable` is frozen, saved modules too (from 0.18).
        survives_delete: After `delete_adapter` others can be made active, also where none had LoRA (from 0.18); before,
            `set_adapter` raises a TypeError.
        follows_delete: `delete_adapter` knows of the wrappers (from 0.16).
        keeps_set: The user's model gets no attribute `modules_to_save`, a set of names (from 0.16).
    """

    originals_train: bool
    freezes_loaded: bool
    survives_delete: bool
    follows_delete: bool
    keeps_set: bool

    @classmethod
    def of(cls, release: Version) -> Behaviour:
        """What this release does."""
        return cls(
            originals_train=release < Version("0.19"),
            freezes_loaded=release >= Version("0.18"),
            survives_delete=release >= Version("0.18"),
            follows_delete=release >= Version("0.16"),
            keeps_set=release >= Version("0.16"),
        )
