"""`unload` and `merge_and_unload`: which copy of a saved module stays, and with which adapters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from .heads import config, two_adapters, wrapper
from .modules import IDS, base_of

ROW = pytest.mark.row("unload: the copy of the adapter that is asked for")


@pytest.mark.parametrize("merge", [True, False], ids=["merge", "unload"])
@pytest.mark.stock_fails("<0.18", raises=AssertionError, match="another adapter's copy")
@pytest.mark.stock_fails(">=0.18,<0.21", raises=TypeError, match="unhashable type: 'list'")
@pytest.mark.row("unload: the active adapter has no copy of its own")
def test_active_adapter_has_no_copy(merge: bool) -> None:
    model = two_adapters(config("head"), config())
    model.set_adapter("other")
    head = wrapper(model).original_module
    expected = model(IDS)
    unloaded = model.merge_and_unload() if merge else model.unload()
    assert unloaded.head is head, "another adapter's copy"
    torch.testing.assert_close(unloaded(IDS), expected)


@pytest.mark.stock_fails(">=0.16,<0.19", raises=IndexError, match="list index out of range")
@pytest.mark.stock_fails(">=0.19,<0.21", raises=TypeError, match="unhashable type: 'list'")
@pytest.mark.stock_fails("<0.16", raises=AssertionError, match="deleted adapter's copy", left="<0.16")
@pytest.mark.row("unload: the active adapter has no copy of its own")
def test_adapter_with_the_copy_was_deleted() -> None:
    model = two_adapters(config("head"), config())
    head = wrapper(model).original_module
    model.delete_adapter("default")
    assert model.unload().head is head, "the deleted adapter's copy"


@pytest.mark.stock_fails(">=0.15", raises=AssertionError, match="the active adapter's copy")
@ROW
def test_merge_takes_the_adapter_that_is_named() -> None:
    options = {"init_lora_weights": False}
    model = two_adapters(config("head", **options), config("head", **options))
    expected = model(IDS)
    copy = wrapper(model).modules_to_save["default"]
    model.set_adapter("other")
    merged = model.merge_and_unload(adapter_names=["default"])
    assert merged.head is copy, "the active adapter's copy"
    torch.testing.assert_close(merged(IDS), expected)


@pytest.mark.stock_fails(">=0.15", raises=AssertionError, match="a copy that was not asked for")
@ROW
def test_named_adapter_without_a_copy_keeps_the_original() -> None:
    model = two_adapters(config("head"), config())
    head = wrapper(model).original_module
    assert model.merge_and_unload(adapter_names=["other"]).head is head, "a copy that was not asked for"


@pytest.mark.stock_fails(">=0.15", raises=pytest.fail.Exception, match="DID NOT RAISE")
@ROW
def test_two_copies_of_one_module_cannot_be_merged() -> None:
    model = two_adapters(config("head"), config("head", target="proj"))
    with pytest.raises(ValueError, match="modules_to_save"):
        model.merge_and_unload(adapter_names=["default", "other"])
    assert isinstance(wrapper(model).original_module, nn.Linear)


@pytest.mark.row("unload: adapters named together, one of them with a copy")
def test_two_adapters_named_of_which_one_has_a_copy() -> None:
    model = two_adapters(config("head"), config(target="proj"))
    copy = wrapper(model).modules_to_save["default"]
    assert model.merge_and_unload(adapter_names=["default", "other"]).head is copy


@pytest.mark.stock_fails(">=0.15", raises=KeyError, match="'other'")
@pytest.mark.row("unload: a named adapter without trainable tokens")
def test_named_adapter_without_tokens_keeps_the_rows() -> None:
    model = two_adapters(config(trainable_token_indices={"emb": [1, 3]}), config())
    rows = base_of(model).get_submodule("emb").original_module.weight.clone()
    merged = model.merge_and_unload(adapter_names=["other"])
    assert torch.equal(merged.emb.weight, rows)
