"""How each engine prepares, steps and saves; every one as its own users do."""

from __future__ import annotations

from tests.distributed.engines import alone, data_parallel, fsdp, split, trainer, zero
from tests.distributed.engines.base import Engine

ENGINES = {
    "one process": Engine(alone.single, "python"),
    "gradient checkpointing": Engine(alone.checkpointed, "python"),
    "torch.compile": Engine(alone.compiled, "python"),
    "DDP": Engine(data_parallel.ddp),
    "DDP, bf16 autocast": Engine(data_parallel.autocast),
    "accelerate launch, DDP": Engine(data_parallel.accelerate_ddp, "accelerate"),
    "Trainer, DDP": Engine(trainer.prepare(), "accelerate"),
    "FSDP2": Engine(fsdp.fsdp2),
    "FSDP2, CPU offload": Engine(fsdp.fsdp2_offloaded),
    "FSDP2, wrappers as units": Engine(fsdp.fsdp2_units, alone=True),
    "accelerate launch, FSDP2": Engine(fsdp.accelerate_fsdp2, "accelerate"),
    "Trainer, fsdp": Engine(trainer.prepare(fsdp="full_shard auto_wrap"), "accelerate"),
    "FSDP1, PEFT's policy": Engine(fsdp.fsdp1, alone=True),
    "DeepSpeed ZeRO-2": Engine(zero.prepare(2)),
    "DeepSpeed ZeRO-3": Engine(zero.prepare(3)),
    "DeepSpeed ZeRO-3, loaded in parts": Engine(zero.prepare(3, early=True), alone=True),
    "Trainer, deepspeed": Engine(trainer.prepare(deepspeed=zero.settings(3)), "accelerate", alone=True),
    "tensor parallel": Engine(split.tensor_parallel, alone=True),
    "pipeline parallel": Engine(split.pipeline, alone=True),
    "device_map": Engine(alone.device_map, "python"),
    "cpu_offload before wrapping": Engine(alone.offloaded(True), "python"),
    "cpu_offload after wrapping": Engine(alone.offloaded(False), "python"),
    "bitsandbytes 4-bit": Engine(alone.quantised("bitsandbytes"), "python"),
    "torchao int8": Engine(alone.quantised("torchao"), "python"),
}
