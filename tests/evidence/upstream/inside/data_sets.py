"""Write a data set of random rows as `datasets` keeps one that it has prepared, which is where it looks offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COMMIT = "0" * 40
WORDS = ("a", "book", "is", "the", "way", "of", "those", "who", "read", "and", "live", "in", "their", "own", "time")


def data_set(entry: dict[str, Any], name: str, folder: Path) -> None:
    """A data set.

    Args:
        entry: its `splits`, with the number of rows, and its `columns`, with what fills each; `config` where it has one.
        name: its name, without the owner.
        folder: its folder in the cache of `datasets`.
    """
    import datasets
    import numpy
    from datasets.arrow_writer import ArrowWriter

    random = numpy.random.default_rng(0)
    config = entry.get("config", "default")
    target = folder / config / "0.0.0" / COMMIT
    target.mkdir(parents=True)
    kinds = {
        "image": datasets.Image(),
        "label": datasets.Value("int64"),
        "number": datasets.Value("float64"),
        "text": datasets.Value("string"),
    }
    features = datasets.Features({column: kinds[kind] for column, kind in entry["columns"].items()})
    splits = datasets.SplitDict(dataset_name=name)
    for split, rows in entry["splits"].items():
        with ArrowWriter(path=str(target / f"{name}-{split}.arrow"), features=features) as writer:
            for _ in range(rows):
                size = random.uniform(0, 10)
                writer.write({column: value(kind, random, size) for column, kind in entry["columns"].items()})
            count, size = writer.finalize()
        splits.add(datasets.SplitInfo(split, num_bytes=size, num_examples=count, dataset_name=name))
    info = {"builder_name": name, "dataset_name": name, "config_name": config, "version": "0.0.0"}
    datasets.DatasetInfo(features=features, splits=splits, **info).write_to_directory(str(target))


def value(kind: str, random: Any, size: float) -> Any:
    """One value: `image`, a picture of noise; `label`, 0 or 1; `number`, near the row's size; `text`, some words."""
    if kind == "image":
        import numpy
        from PIL import Image

        return Image.fromarray(random.integers(0, 255, (64, 64, 3), dtype=numpy.uint8))
    if kind == "label":
        return int(random.integers(2))
    if kind == "number":
        return float(size + random.normal(0, 0.3))
    return " ".join(random.choice(WORDS, size=random.integers(8, 30)))
