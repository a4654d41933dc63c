"""The installed `peft`, told to do what the reference does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.constants import DUMMY_TARGET_MODULES
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import Tensor, nn

from tests.oracle.reference import PREFIX, RANK, SCALING, Part, Request, loss

Owner = str  # an adapter's name, or nothing: the base model


def config(request: Request) -> LoraConfig:
    """The request in PEFT's terms."""
    asked: dict[str, Any] = {"target_modules": list(request.targets) or DUMMY_TARGET_MODULES}
    if request.save:
        asked["modules_to_save"] = request.save[0] if request.bare else list(request.save)
    if request.tokens:
        name, rows = request.tokens
        asked["trainable_token_indices"] = {name: list(rows)}
    return LoraConfig(r=RANK, lora_alpha=int(RANK * SCALING), **asked)


def part_of(model: nn.Module, name: str) -> tuple[Owner, Part]:
    """Whose parameter this is, and which: found by walking the modules, so that no name is mistaken for a wrapper's.

    Args:
        model: The user's model with PEFT's modules in it.
        name: The parameter's full name in there.
    """
    owner, kind = "", "base"
    path: list[str] = []
    module: Any = model
    parts = iter(name.split("."))
    for part in parts:
        inside = module
        module = getattr(module, "_modules", {}).get(part)
        if isinstance(inside, AuxiliaryTrainingWrapper):
            if part == "modules_to_save":
                owner, kind = next(parts), "saved"
                module = module._modules[owner]
        elif isinstance(inside, BaseTunerLayer):
            if part in ("lora_A", "lora_B", "trainable_tokens_delta"):
                owner, kind = next(parts), "tokens" if part == "trainable_tokens_delta" else part
                return owner, (kind, ".".join(path))
        else:
            path.append(part)
    return owner, (kind, ".".join(path))


class Subject:
    """A `PeftModel` and what can be done with it.

    Attributes:
        model: The model.
    """

    def __init__(self, model: PeftModel) -> None:
        self.model = model

    @classmethod
    def create(cls, base: nn.Module, name: str, request: Request) -> Subject:
        """The base model with a first adapter."""
        return cls(get_peft_model(base, config(request), adapter_name=name).eval())

    @classmethod
    def load(cls, base: nn.Module, folder: Path, name: str, trainable: bool = False) -> Subject:
        """The base model with an adapter from its folder."""
        return cls(PeftModel.from_pretrained(base, str(folder), adapter_name=name, is_trainable=trainable).eval())

    @property
    def base(self) -> nn.Module:
        """The user's model, PEFT's modules in it."""
        return self.model.base_model.model

    def add(self, name: str, request: Request) -> None:
        """One more adapter."""
        self.model.add_adapter(name, config(request))
        self.model.eval()

    def load_more(self, folder: Path, name: str) -> None:
        """One more adapter, or new weights for one, from its folder."""
        self.model.load_adapter(str(folder), adapter_name=name)
        self.model.eval()

    def lora_layers(self, name: str) -> Iterator[tuple[str, Any]]:
        """An adapter's LoRA layers by the path of the layer in the base model."""
        for key, module in self.base.named_modules():
            if isinstance(module, LoraLayer) and name in module.lora_A:
                _, (_, path) = part_of(self.base, f"{key}.lora_A.{name}.weight")
                yield path, module

    def randomize_lora(self, name: str, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
        """Give B values too, since it starts at zero; returns A and B by path."""
        found = {}
        generator = torch.Generator().manual_seed(seed)
        for path, layer in self.lora_layers(name):
            a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
            with torch.no_grad():
                for value in (a, b):
                    value.copy_(torch.randn(value.shape, generator=generator, dtype=value.dtype) / 3)
            found[path] = (a.detach().clone(), b.detach().clone())
        return found

    def output(self, ids: Tensor, **kwargs: Any) -> Tensor:
        """The model's output."""
        with torch.no_grad():
            return self.model(ids, **kwargs)

    def trainable(self) -> dict[tuple[Owner, Part], nn.Parameter]:
        """What requires gradients."""
        named = self.base.named_parameters()
        return {part_of(self.base, name): value for name, value in named if value.requires_grad}

    def train(self, name: str, ids: Tensor, rate: float) -> None:
        """One step of gradient descent on an adapter's parameters; its buffers change as well, as a batch norm's do."""
        loss(self.model(ids)).backward()
        with torch.no_grad():
            for (owner, _), value in self.trainable().items():
                if owner == name and value.grad is not None:
                    value -= rate * value.grad
            for key, value in self.base.named_buffers():
                if part_of(self.base, key)[0] == name:
                    value += rate
        self.model.zero_grad(set_to_none=True)

    def state(self, name: str) -> dict[str, Tensor]:
        """What would be saved of an adapter."""
        return get_peft_model_state_dict(self.model, adapter_name=name, save_embedding_layers=False)

    def save(self, name: str, folder: Path) -> Path:
        """Save an adapter; returns its own folder."""
        self.model.create_or_update_model_card = lambda *args: None  # a third of the time, and nothing reads it
        self.model.save_pretrained(str(folder), selected_adapters=[name], save_embedding_layers=False)
        return folder / name

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Adapters off; up to 0.16 PEFT's own context manager wants a LoRA layer to be there."""
        self.model.base_model.disable_adapter_layers()
        yield
        self.model.base_model.enable_adapter_layers()


@contextmanager
def quiet() -> Iterator[list[warnings.WarningMessage]]:
    """Keep warnings from the terminal; they can be looked at."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


__all__ = ["PREFIX", "Owner", "Subject", "config", "part_of", "quiet"]
