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
        deletes_copies: `delete_adapter` takes the wrappers' copies away too (from 0.16); before, an adapter of the same
            name gets the old ones.
        freezes_loaded: What is loaded without `is_trainable` is frozen, saved modules too (from 0.18).
    """

    originals_train: bool
    deletes_copies: bool
    freezes_loaded: bool

    @classmethod
    def of(cls, release: Version) -> Behaviour:
        """What this release does."""
        return cls(
            originals_train=release < Version("0.19"),
            deletes_copies=release >= Version("0.16"),
            freezes_loaded=release >= Version("0.18"),
        )
