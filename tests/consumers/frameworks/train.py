"""``python -m tests.consumers.frameworks.train TRAINER FOLDER``: train a tiny model with that trainer, save in FOLDER.

`Trainer` and `SFTTrainer` train Gemma 3 with its vision tower, the `model` on `data`; those of TRL that are named for texts,
`SFTTrainer-text`, `DPOTrainer` and `GRPOTrainer`, train Llama with its attention modules, the `text` model.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
import trl
from peft import LoraConfig, get_peft_model
from PIL import Image

SEEING = LoraConfig(r=4, target_modules=r".*language_model.*\.(q_proj|v_proj)", modules_to_save=["vision_tower"])
# a layer calls self_attn(hidden_states=...)
READING = LoraConfig(
    r=4, target_modules=["gate_proj", "up_proj"], modules_to_save=["self_attn"], task_type="CAUSAL_LM"
)
OPTIONS: dict[str, Any] = {
    "max_steps": 3, "per_device_train_batch_size": 2, "learning_rate": 0.01, "report_to": [], "use_cpu": True,
    "save_strategy": "no", "remove_unused_columns": False, "gradient_checkpointing": False, "bf16": False,
}  # fmt: skip
QUESTION = [{"role": "user", "content": "what is this ?"}]
GOOD, BAD = ([{"role": "assistant", "content": text}] for text in ("a red square", "a blue circle"))


def with_images() -> list[dict[str, Any]]:
    return [
        {"image": Image.open(entry["images"][0]), "answer": entry["messages"][1]["content"]}
        for entry in json.loads(Path("data/squares.json").read_text())
    ]


def collate(processor: Any) -> Any:
    def batch(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        texts = [f"{processor.boi_token} what is this ? {row['answer']}" for row in rows]
        inputs = processor(text=texts, images=[[row["image"]] for row in rows], return_tensors="pt", padding=True)
        return {**inputs, "labels": inputs["input_ids"].clone()}

    return batch


def seeing(name: str, folder: str) -> transformers.Trainer:
    """A trainer of the model that has a vision tower."""
    processor = transformers.AutoProcessor.from_pretrained("model")
    model = transformers.AutoModelForImageTextToText.from_pretrained("model", dtype=torch.float32)
    if name == "Trainer":
        return transformers.Trainer(
            get_peft_model(model, SEEING),
            transformers.TrainingArguments(folder, **OPTIONS),
            train_dataset=with_images(),
            data_collator=collate(processor),
        )
    return trl.SFTTrainer(
        model,
        trl.SFTConfig(folder, dataset_kwargs={"skip_prepare_dataset": True}, **OPTIONS),
        train_dataset=datasets.Dataset.from_list(with_images()),
        data_collator=collate(processor),
        processing_class=processor,
        peft_config=SEEING,
    )


def reading(name: str, folder: str) -> transformers.Trainer:
    """A trainer of the model that has texts alone."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_pretrained("text", dtype=torch.float32)
    common = {"processing_class": transformers.AutoTokenizer.from_pretrained("text"), "peft_config": READING}
    if name == "SFTTrainer-text":
        rows = datasets.Dataset.from_list([{"prompt": QUESTION, "completion": GOOD}] * 8)
        return trl.SFTTrainer(
            model, args=trl.SFTConfig(folder, max_length=64, **OPTIONS), train_dataset=rows, **common
        )
    if name == "DPOTrainer":
        rows = datasets.Dataset.from_list([{"prompt": QUESTION, "chosen": GOOD, "rejected": BAD}] * 8)
        return trl.DPOTrainer(
            model, args=trl.DPOConfig(folder, max_length=64, **OPTIONS), train_dataset=rows, **common
        )
    rows = datasets.Dataset.from_list([{"prompt": QUESTION}] * 8)
    options = trl.GRPOConfig(folder, num_generations=2, max_completion_length=8, **OPTIONS)
    return trl.GRPOTrainer(model, reward_funcs=lengths, args=options, train_dataset=rows, **common)


def lengths(completions: list[Any], **others: Any) -> list[float]:
    """A reward that differs between completions, so that there is an advantage to learn from."""
    return [float(len(str(completion))) + number for number, completion in enumerate(completions)]


def main(name: str, folder: str) -> None:
    trainer = (seeing if name in ("Trainer", "SFTTrainer") else reading)(name, folder)
    trainer.train()
    trainer.save_model(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
