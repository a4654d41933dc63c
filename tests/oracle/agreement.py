"""Whether tensors and state dicts are what the reference says."""

from __future__ import annotations

from torch import Tensor

TOLERANCE = 1e-9


class Differs(AssertionError):
    """PEFT does not do what the reference does.

    Attributes:
        kind: What differs, in few words, the same for the same mistake.
        detail: How.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


def same(what: str, found: Tensor, expected: Tensor) -> None:
    """Two tensors are equal, but for rounding.

    Raises:
        Differs: They are not.
    """
    if found.shape != expected.shape:
        raise Differs(what, f"shape {tuple(found.shape)}, not {tuple(expected.shape)}")
    difference = (found - expected).abs().max().item()
    if not difference <= TOLERANCE:
        raise Differs(what, f"off by {difference:.3g}")


def same_weights(what: str, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Two state dicts have the same keys and values.

    Raises:
        Differs: They do not.
    """
    if found.keys() != expected.keys():
        missing, more = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
        raise Differs(what, f"missing {missing}, more {more}")
    for key, value in found.items():
        same(f"{what}, value", value, expected[key])
