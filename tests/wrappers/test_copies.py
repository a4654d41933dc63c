"""The copy of a saved module is what trains, and the original stays as it is."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from accelerate.hooks import ModelHook, add_hook_to_module
from peft import get_peft_model
from torch import Tensor, nn

from .heads import Net, config, trainable, two_adapters, wrapper
from .modules import IDS


def closure(module: nn.Module) -> None:
    """Replace `forward` by a function that has the module, as transformers' tensor parallelism does."""
    forward = module.forward

    def tp_forward(*args: Any, **kwargs: Any) -> Tensor:
        return forward(*args, **kwargs)

    module.forward = tp_forward


def closure_inside(module: nn.Module) -> None:
    """The same one level below."""
    closure(module[0])


def wrapped(module: nn.Module) -> None:
    """A decorator that keeps the bound method in `__wrapped__` and in its closure."""
    forward = module.forward
    module.forward = functools.wraps(forward)(lambda *args, **kwargs: forward(*args, **kwargs))


def default_argument(module: nn.Module) -> None:
    """A function that has the module as a default."""
    module.forward = lambda hidden, me=module: type(me).forward(me, hidden)


@pytest.mark.parametrize("replace", [closure, closure_inside, wrapped, default_argument])
@pytest.mark.stock_fails(">=0.15", raises=pytest.fail.Exception, match="DID NOT RAISE")
@pytest.mark.row("copy: one that cannot train is refused")
def test_forward_that_is_bound_to_the_original_is_refused(replace: Callable[[nn.Module], None]) -> None:
    plain = Net(head=nn.Sequential(nn.Linear(4, 6)))
    replace(plain.head)
    with pytest.raises(ValueError, match="bound to the original"):
        get_peft_model(plain, config("head"))


def offloaded(module: nn.Module) -> None:
    """accelerate fetches the weights when they are needed."""
    cpu_offload(module, execution_device="cpu")


def sharded(module: nn.Module) -> None:
    """transformers before DTensors, 5.14.1 for one, leaves this on a module of which each process has a part."""
    module[0]._hf_tp_plan = "colwise"


@pytest.mark.parametrize("replace", [offloaded, sharded])
@pytest.mark.stock_fails(">=0.15", raises=pytest.fail.Exception, match="DID NOT RAISE")
@pytest.mark.row("copy: one that cannot train is refused")
def test_weights_that_are_not_all_there_are_refused(replace: Callable[[nn.Module], None]) -> None:
    plain = Net(head=nn.Sequential(nn.Linear(4, 6)))
    replace(plain.head)
    with pytest.raises(ValueError, match="requires a copy of the module, but"):
        get_peft_model(plain, config("head"))


def test_offloading_after_wrapping_is_left_to_accelerate() -> None:
    model = get_peft_model(Net(), config("head"))
    expected = model(IDS)
    cpu_offload(model, execution_device="cpu")
    with torch.no_grad():
        assert torch.equal(model(IDS), expected)


def hook(module: nn.Module) -> None:
    """accelerate's, which is a partial."""
    add_hook_to_module(module, ModelHook())


def method(module: nn.Module) -> None:
    """A method of the instance, as kernels install it."""
    module.forward = types.MethodType(lambda self, hidden: type(self).forward(self, hidden), module)


def decorated_method(module: nn.Module) -> None:
    """A method of the instance around the function of the class, as accelerate does for mixed precision."""
    function = module.forward.__func__
    module.forward = types.MethodType(lambda self, hidden: function(self, hidden), module)


def bound_partial(module: nn.Module) -> None:
    """A partial of a function that takes the module."""
    module.forward = functools.partial(lambda me, hidden: type(me).forward(me, hidden), module)


@pytest.mark.parametrize("replace", [hook, method, decorated_method, bound_partial])
@pytest.mark.row("copy: forwards that follow the copy")
def test_forward_that_follows_the_copy_trains(replace: Callable[[nn.Module], None]) -> None:
    plain = Net()
    expected = plain(IDS)
    replace(plain.head)
    model = get_peft_model(plain, config("head"))
    assert torch.equal(model(IDS), expected)
    model(IDS).sum().backward()
    assert [n for n, p in wrapper(model).modules_to_save["default"].named_parameters() if p.grad is None] == []


@pytest.mark.stock_fails("<0.19", raises=AssertionError, match="the original trains", left="<0.19")
@pytest.mark.row("copy: the original stays frozen")
def test_disabled_adapter_leaves_the_original_frozen() -> None:
    model = get_peft_model(Net(), config("head"))
    with model.disable_adapter():
        assert trainable(model, "original_module") == set(), "the original trains"
    assert trainable(model, "original_module") == set()
    assert trainable(model, "modules_to_save.default") != set()


@pytest.mark.stock_fails("<0.19", raises=AssertionError, match="the original trains", left="<0.19")
@pytest.mark.row("copy: the original stays frozen")
def test_other_adapter_leaves_the_original_frozen() -> None:
    model = two_adapters(config("head"), config())
    model.set_adapter("other")
    assert trainable(model, "head") == set(), "the original trains"


@pytest.mark.stock_fails("<0.18", raises=AssertionError, match="another adapter's copy is active")
@pytest.mark.row("copy: of another adapter, after adapters were disabled")
def test_enabled_again_while_the_active_adapter_has_no_copy() -> None:
    model = two_adapters(config("head"), config())
    model.set_adapter("other")
    expected = model(IDS)
    with model.disable_adapter():
        pass
    assert torch.equal(model(IDS), expected), "another adapter's copy is active"


@pytest.mark.stock_fails(">=0.15", raises=AssertionError, match="torch.bfloat16", left=">=0.15")
@pytest.mark.row("copy: trains in float32, as LoRA's weights do")
def test_copy_of_a_half_precision_module() -> None:
    model = get_peft_model(Net().to(torch.bfloat16), config("head"))
    kinds = {p.dtype for p in model.parameters() if p.requires_grad}
    assert kinds == {torch.float32}
