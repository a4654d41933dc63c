"""A name in `modules_to_save` means the whole module, however many modules inside it match the name too.

Stock matches names as bare suffixes: `embeddings` wraps `embeddings` and then, inside it, `word_embeddings` and
`position_embeddings`. No forward pass reaches the inner wrappers, and making them freezes what the active copy uses.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor

from .modules import IDS, aux_wrappers, shift, train
from .nested import PREFIX, Bert, Namesakes, config, untrained, wrapper_at

UNTRAINED = pytest.mark.stock_fails(">=0.15", raises=AssertionError, match="not trained")
WRAPPED_TWICE = pytest.mark.stock_fails(">=0.15", raises=AssertionError, match="wrapped inside")
NOT_SAVED = pytest.mark.stock_fails(">=0.15", raises=AssertionError, match="not the trained value")
NOT_LOADED = pytest.mark.stock_fails(">=0.15", raises=KeyError, match="base_model.model.")
REFUSED = pytest.mark.stock_fails(
    ">=0.15",
    raises=(pytest.fail.Exception, AssertionError, IndexError, TypeError),
    match="DID NOT RAISE|list index out of range|did not match|cannot be applied",
)
INNER = [
    {"modules_to_save": ["word_embeddings"]},
    {"modules_to_save": ["embeddings.word_embeddings"]},
    {"trainable_token_indices": {"word_embeddings": [1]}},
    {"target_modules": ["word_embeddings", "dense"]},
]
NAMES = pytest.mark.parametrize("name", ["embeddings", "attention", "encoder"])


@NAMES
@UNTRAINED
@pytest.mark.row("nested names: every parameter of the active copy trains")
def test_every_parameter_of_the_active_copy_trains(name: str) -> None:
    model = get_peft_model(Bert(), config(name))
    before = model(IDS)
    train(model)
    assert untrained(wrapper_at(model, name)) == [], "not trained"
    assert not torch.equal(model(IDS), before)


@NAMES
@WRAPPED_TWICE
@pytest.mark.row("nested names: nothing is wrapped inside a wrapper")
def test_one_wrapper_at_the_named_module(name: str) -> None:
    wrappers = aux_wrappers(get_peft_model(Bert(), config(name)))
    assert list(wrappers) == [PREFIX + name], "wrapped inside a wrapper"


@NAMES
@pytest.mark.stock_fails("<0.16", raises=AssertionError, match="keys besides")
@pytest.mark.row("nested names: forward and saved keys")
def test_forward_and_saved_keys(name: str, tmp_path: Path) -> None:
    plain = Bert()
    expected, module = plain(IDS), plain.get_submodule(name)
    keys = {f"{PREFIX}{name}.{key}" for key in module.state_dict()}
    model = get_peft_model(plain, config(name))
    assert torch.equal(model(IDS), expected)
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert {key for key in saved if "lora_" not in key} - keys == set(), "keys besides the module's own"
    assert keys - saved.keys() == set()


@NAMES
@NOT_SAVED
@pytest.mark.row("nested names: trained values are saved")
def test_trained_values_are_saved(name: str, tmp_path: Path) -> None:
    model = get_peft_model(Bert(), config(name))
    wrapper = wrapper_at(model, name)
    # Whatever stock left in the way: the tensors that the forward pass reads are changed.
    shift(wrapper.modules_to_save["default"])
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    for key, value in wrapper.modules_to_save["default"].state_dict().items():
        assert torch.equal(saved.get(f"{PREFIX}{name}.{key}", torch.empty(0)), value), "not the trained value"


def trained(name: str, folder: Path) -> tuple[Bert, Tensor]:
    """Train and save a model; the base model as it was before, and the outputs of the trained one."""
    plain = Bert()
    fresh = copy.deepcopy(plain)
    model = get_peft_model(plain, config(name))
    train(model)
    model.save_pretrained(folder)
    return fresh, model(IDS)


@NAMES
@NOT_LOADED
@pytest.mark.row("nested names: reload")
def test_reload(name: str, tmp_path: Path) -> None:
    fresh, expected = trained(name, tmp_path)
    assert torch.equal(PeftModel.from_pretrained(fresh, tmp_path)(IDS), expected)


def written_by_stock(name: str, release: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The keys that stock writes for the nested `name`, with some values, and those of them that its forward used.

    Before 0.16 forward used the inner wrappers' copies, whose names got into the file; the plain keys hold dead weights.
    """
    used = {key: torch.randn(value.shape) for key, value in Bert().get_submodule(name).state_dict().items()}
    saved = {f"{PREFIX}{name}.{key}": value for key, value in used.items()}
    if release == "0.15.2":
        for key, value in used.items():
            head, _, tail = key.partition(".")
            if not head.endswith(name):
                continue
            dead = torch.zeros_like(value)
            saved[f"{PREFIX}{name}.{key}"] = dead
            for part, kept in (("original_module", dead), ("modules_to_save", value)):
                saved[f"{PREFIX}{name}.{part}.{head}.{tail}"] = saved[f"{PREFIX}{name}.{head}.{part}.{tail}"] = kept
    return saved, used


@NAMES
@pytest.mark.parametrize("release", ["0.15.2", "0.18.1"])
@NOT_LOADED
@pytest.mark.row("nested names: adapter files that stock wrote load")
def test_stock_adapter_file_loads(name: str, release: str, tmp_path: Path) -> None:
    model = get_peft_model(Bert(), config("lm_head"))
    model.peft_config["default"].modules_to_save = [name]
    model.save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    values, used = written_by_stock(name, release)
    values = {key: value.clone() for key, value in values.items()}  # safetensors takes no shared memory
    lora = {key: value for key, value in load_file(file).items() if "lora_" in key}
    save_file({**lora, **values}, file, metadata={"format": "pt"})

    copy = wrapper_at(PeftModel.from_pretrained(Bert(), tmp_path), name).modules_to_save["default"]
    for key, value in copy.state_dict().items():
        assert torch.equal(value, used[key])


@pytest.mark.row("nested names: suffixes at top level as in stock")
def test_head_still_finds_lm_head() -> None:
    model = get_peft_model(Bert(), config("head"))
    assert list(aux_wrappers(model)) == [PREFIX + "lm_head"]


@pytest.mark.parametrize("names", [("embeddings", "word_embeddings"), ("word_embeddings", "embeddings")])
@UNTRAINED
@pytest.mark.row("nested names: outer and inner named together")
def test_outer_and_inner_named_together(names: tuple[str, str]) -> None:
    model = get_peft_model(Bert(), config(*names))
    train(model)
    assert list(aux_wrappers(model)) == [PREFIX + "embeddings"], "not trained: the outer copy does not reach these"
    assert untrained(wrapper_at(model, "embeddings")) == [], "not trained"


@pytest.mark.row("nested names: the inner one alone")
def test_inner_name_alone() -> None:
    model = get_peft_model(Bert(), config("word_embeddings"))
    train(model)
    assert list(aux_wrappers(model)) == [PREFIX + "embeddings.word_embeddings"]
    assert untrained(wrapper_at(model, "embeddings.word_embeddings")) == []


@pytest.mark.stock_fails(
    ">=0.15", raises=(AssertionError, KeyError), match="not trained|word_embeddings.original_module"
)
@pytest.mark.row("nested names: several adapters")
def test_second_adapter_with_the_same_name() -> None:
    model = get_peft_model(Bert(), config("embeddings"))
    model.add_adapter("other", config("embeddings"))
    for adapter in ("default", "other"):
        model.set_adapter(adapter)
        train(model)
        assert untrained(wrapper_at(model, "embeddings"), adapter) == [], "not trained"
    assert list(aux_wrappers(model)) == [PREFIX + "embeddings"]


@pytest.mark.parametrize("inner", INNER, ids=lambda inner: "-".join(inner))
@pytest.mark.parametrize("outer_first", [True, False], ids=["outer first", "inner first"])
@REFUSED
@pytest.mark.row("nested names: one adapter inside another is refused")
def test_second_adapter_inside_or_outside_the_first(outer_first: bool, inner: dict[str, Any]) -> None:
    configs = [config("embeddings"), LoraConfig(**{"target_modules": ["dense"], **inner})]
    first, second = configs if outer_first else configs[::-1]
    model = get_peft_model(Bert(), first)
    train(model)
    expected, keys = model(IDS), list(model.state_dict())
    with pytest.raises(ValueError, match="'embeddings.word_embeddings' .* part of the module 'embeddings'"):
        model.add_adapter("other", second)
    assert list(model.peft_config) == ["default"]
    assert list(model.state_dict()) == keys
    assert torch.equal(model(IDS), expected)


@REFUSED
@pytest.mark.row("nested names: trainable tokens inside a saved module are refused")
def test_trainable_tokens_inside_a_saved_module() -> None:
    both = config("embeddings")
    both.trainable_token_indices = {"word_embeddings": [1]}
    with pytest.raises(ValueError, match="'embeddings.word_embeddings' .* part of the module 'embeddings'"):
        get_peft_model(Bert(), both)


# up to 0.15 the base model gets a list of that name
OWN_LIST = pytest.mark.stock_fails("<0.16", raises=ValueError, match="ModuleDict update sequence", left="<0.16")


@pytest.mark.parametrize("child", ["original_module", pytest.param("modules_to_save", marks=OWN_LIST)])
@pytest.mark.parametrize("name", ["head", "proj"])
@pytest.mark.row("nested names: the model's own original_module and modules_to_save")
def test_children_named_as_a_wrappers(name: str, child: str, tmp_path: Path) -> None:
    model = get_peft_model(Namesakes(child), config(name))
    train(model)
    expected = model(IDS)
    model.save_pretrained(tmp_path)
    assert torch.equal(PeftModel.from_pretrained(Namesakes(child), tmp_path)(IDS), expected)


@pytest.mark.stock_fails(">=0.15", raises=AssertionError, match="cannot be applied|were excluded|No modules|not found")
@pytest.mark.row("modules_to_save is a str: TypeError that says so")
def test_str() -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        get_peft_model(Bert(), LoraConfig(target_modules=["dense"], modules_to_save="lm_head"))
    assert "must be a list of strings" in str(raised.value), raised.value


@NAMES
@NOT_LOADED
@pytest.mark.row("nested names: several adapters")
def test_second_adapter_is_loaded(name: str, tmp_path: Path) -> None:
    fresh, expected = trained(name, tmp_path)
    other = get_peft_model(fresh, config(name))
    base = other(IDS)
    other.load_adapter(tmp_path, "other")
    assert torch.equal(other(IDS), base)
    other.set_adapter("other")
    assert torch.equal(other(IDS), expected)


@NAMES
@pytest.mark.row("nested names: merge_and_unload, unload")
def test_merge_and_unload(name: str) -> None:
    plain = Bert()
    types = [type(m) for m in plain.modules()]
    base = plain(IDS)
    for merge in (True, False):
        model = get_peft_model(plain, config(name))
        train(model)
        expected = model(IDS)
        unloaded: Any = model.merge_and_unload() if merge else model.unload()
        assert [type(m) for m in unloaded.modules()] == types, "a wrapper is left"
        if merge:
            torch.testing.assert_close(unloaded(IDS), expected)
    assert not torch.equal(base, expected)


@NAMES
@pytest.mark.stock_fails("<0.19", raises=AssertionError, match="not trained")
@pytest.mark.row("nested names: gradient flags on and off")
def test_disable_adapter(name: str) -> None:
    plain = Bert()
    expected = plain(IDS)
    model = get_peft_model(plain, config(name))
    train(model)
    trained = model(IDS)
    with model.disable_adapter():
        assert torch.equal(model(IDS), expected)
    assert torch.equal(model(IDS), trained)
    frozen = [
        n for n, p in wrapper_at(model, name).modules_to_save["default"].named_parameters() if not p.requires_grad
    ]
    assert frozen == [], "not trained after disable_adapter()"
