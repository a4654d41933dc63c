"""``python -m tests.consumers.frameworks.train Trainer|SFTTrainer FOLDER``: train `model` on `data`, save in FOLDER."""

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

LORA = LoraConfig(r=4, target_modules=r".*language_model.*\.(q_proj|v_proj)", modules_to_save=["vision_tower"])
OPTIONS: dict[str, Any] = {
    "max_steps": 3, "per_device_train_batch_size": 2, "learning_rate": 0.01, "report_to": [], "use_cpu": True,
    "save_strategy": "no", "remove_unused_columns": False, "gradient_checkpointing": False, "bf16": False,
}  # fmt: skip


def examples() -> list[dict[str, Any]]:
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


def main(name: str, folder: str) -> None:
    processor = transformers.AutoProcessor.from_pretrained("model")
    model = transformers.AutoModelForImageTextToText.from_pretrained("model", dtype=torch.float32)
    rows = examples()
    if name == "Trainer":
        trainer = transformers.Trainer(
            get_peft_model(model, LORA),
            transformers.TrainingArguments(folder, **OPTIONS),
            train_dataset=rows,
            data_collator=collate(processor),
        )
    else:
        trainer = trl.SFTTrainer(
            model,
            trl.SFTConfig(folder, dataset_kwargs={"skip_prepare_dataset": True}, **OPTIONS),
            train_dataset=datasets.Dataset.from_list(rows),
            data_collator=collate(processor),
            processing_class=processor,
            peft_config=LORA,
        )
    trainer.train()
    trainer.save_model(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
