"""Which modules a configuration wants trained whole, and of which model: PEFT's, axolotl's, LLaMA-Factory's, TRL's, ms-swift's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from patchset.audit.trace import NUMBER
from patchset.errors import PatchsetError

SUFFIXES = (".json", ".yaml", ".yml")
# What the names are called: by PEFT and ms-swift, axolotl and TRL, LLaMA-Factory; and what the model is.
_NAMES = ("modules_to_save", "lora_modules_to_save", "additional_target")
_BASES = ("base_model_name_or_path", "base_model", "model_name_or_path", "model")


@dataclass(frozen=True)
class Asked:
    """What a configuration asks for.

    Attributes:
        path: the file.
        names: the names of modules to save.
        base: the model, by its folder or its name on a hub; may be empty.
    """

    path: Path
    names: tuple[str, ...]
    base: str

    def types(self) -> list[str]:
        """The model's type and those of its parts, by the ``config.json`` in its folder; empty where there is none."""
        config = self.path.parent / self.base / "config.json"
        if not self.base or not config.is_file():
            return []
        found = _load(config)
        return list(dict.fromkeys(_types(found)))


def read(path: Path) -> Asked:
    """Read a configuration.

    Raises:
        PatchsetError: it cannot be read, or has none of the names that it should.
    """
    content = _load(path)
    key = next((key for key in _NAMES if key in content), "")
    base = next((content[key] for key in _BASES if isinstance(content.get(key), str)), "")
    if not key and not base and "peft_type" not in content:
        raise PatchsetError(
            f"{path} is no configuration of an adapter: it has none of {', '.join((*_NAMES, *_BASES))}"
        )
    value = content.get(key) or []
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise PatchsetError(f"cannot read {path}: `{key}` must be a list of names, not {value!r}")
    return Asked(path, tuple(value), base)


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise PatchsetError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise PatchsetError(f"cannot read {path}: it holds no names and values")
    return content


def _types(config: dict[str, Any]) -> Iterator[str]:
    if isinstance(config.get("model_type"), str):
        yield config["model_type"]
    for value in config.values():
        if isinstance(value, dict):
            yield from _types(value)


def folders_of(types: Sequence[str], models: Path) -> list[str]:
    """The folders of transformers' models that hold configurations of these types.

    Raises:
        PatchsetError: no folder does, or there is no type.
    """
    if not types:
        raise PatchsetError(
            "the configuration names no folder with a model's config.json; name transformers' folder of the model with "
            "--model, as in --model gemma4"
        )
    found = []
    for one in types:
        if (models / one.replace("-", "_")).is_dir():
            found.append(one.replace("-", "_"))
            continue
        says = re.compile(rf"""\bmodel_type\b[^=\n]*=\s*["']{re.escape(one)}["']""")
        files = (file for file in sorted(models.glob("*/configuration_*.py")) if says.search(file.read_text("utf-8")))
        if file := next(files, None):
            found.append(file.parent.name)
    if not found:
        raise PatchsetError(f"{models} has no model of type {', '.join(types)}; name a folder with --model")
    return list(dict.fromkeys(found))


def means(name: str, path: str) -> bool:
    """Whether a name in ``modules_to_save`` means the module at a path below some class: PEFT compares the ends of names."""
    wanted = re.sub(r"(?:(?<=\.)|^)\d+(?=\.|$)", NUMBER, name)
    return path.endswith(wanted) or wanted.endswith(f".{path}")
