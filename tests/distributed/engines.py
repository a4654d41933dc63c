"""How each engine prepares, steps and saves; every one as its own users do."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import Accelerator, cpu_offload, dispatch_model
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import FullyShardedDataParallelPlugin
from peft import PeftModel
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from tests.distributed.cases import RATE, STEPS, Case

GPU = torch.cuda.is_available()
KIND = "cuda" if GPU else "cpu"


class NotHereError(Exception):
    """The engine does not start on this machine."""


@dataclass
class Made:
    """A prepared model.

    Attributes:
        step: Trains one step; gives the loss over the whole batch, and the whole gradients where they can be had.
        save: Writes the adapter into a folder.
        outputs: Gives the logits of the whole batch, in evaluation mode, or None.
    """

    step: Callable[[], tuple[float, dict[str, Tensor] | None]]
    save: Callable[[Path], None]
    outputs: Callable[[], Tensor | None]


@dataclass(frozen=True)
class Engine:
    """An engine.

    Attributes:
        make: Prepares a case; the folder is there for what is saved on the way.
        launcher: `python`, `torchrun` or `accelerate`.
        alone: Whether each case is started by itself: what one leaves behind disturbs the next, or an error in one process
            leaves the other waiting.
    """

    make: Callable[[Case, Path], Made]
    launcher: str = "torchrun"
    alone: bool = False


def start() -> torch.device:
    """Join the other processes; the device of this one."""
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if GPU:
        torch.cuda.set_device(rank)
    if not distributed.is_initialized():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if GPU else "gloo", timeout=timedelta(seconds=60))
    return torch.device(KIND, rank) if GPU else torch.device("cpu")


def clean() -> None:
    """Forget what a case has left."""
    AcceleratorState._reset_state()
    GradientState._reset_state()
    PartialState._reset_state()
    for name in ("ACCELERATE_USE_FSDP", "FSDP_VERSION", "ACCELERATE_USE_DEEPSPEED"):
        os.environ.pop(name, None)
    torch.compiler.reset()
    gc.collect()


def moved(batch: dict[str, Tensor], device: torch.device | str) -> dict[str, Tensor]:
    """The batch on a device."""
    return {name: value.to(device) for name, value in batch.items()}


def row(case: Case, device: torch.device) -> dict[str, Tensor]:
    """This process's row of the batch."""
    rank = distributed.get_rank()
    return moved({name: value[rank : rank + 1] for name, value in case.batch().items()}, device)


def mean(loss: Tensor) -> float:
    """The mean of the processes' losses."""
    value = loss.detach().float().clone()
    distributed.all_reduce(value)
    return float(value) / distributed.get_world_size()


def whole(tensor: Tensor) -> Tensor:
    """A tensor with all its shards, on the CPU."""
    full = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full.detach().cpu().clone()


def plain_name(name: str) -> str:
    """The name of a parameter without what engines put into it."""
    for added in ("module.", "_fsdp_wrapped_module.", "_orig_mod.", "_checkpoint_wrapped_module."):
        name = name.removeprefix(added) if added == "module." else name.replace(added, "")
    return name


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """The gradients of what trains, whole."""
    return {
        plain_name(name): whole(p.grad)
        for name, p in model.named_parameters()
        if p.requires_grad and p.grad is not None
    }


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """What trains."""
    return [p for p in model.parameters() if p.requires_grad]


def save(model: PeftModel, folder: Path, **options: Any) -> None:
    """As users save; these models have no name on a hub to look up a vocabulary size."""
    model.save_pretrained(folder, save_embedding_layers=False, **options)


def loop(
    model: nn.Module,
    batch: dict[str, Tensor],
    *,
    optimizer: Any = None,
    backward: Callable[[Tensor], Any] = Tensor.backward,
    loss_of: Callable[[Tensor], float] = lambda loss: float(loss.detach()),
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Callable[[], tuple[float, dict[str, Tensor]]]:
    """A plain training step."""
    optimizer = optimizer or torch.optim.SGD(trainable(model), lr=RATE, foreach=False)

    def step() -> tuple[float, dict[str, Tensor]]:
        model.train()
        with context():
            loss = model(**batch).loss
        backward(loss)
        found = gradients(model)
        optimizer.step()
        optimizer.zero_grad()
        return loss_of(loss), found

    return step


def logits(model: nn.Module, batch: dict[str, Tensor]) -> Callable[[], Tensor]:
    """Outputs after training."""

    @torch.no_grad()
    def outputs() -> Tensor:
        model.eval()  # DeepSpeed's engine does not give itself back
        return whole(model(**batch).logits)

    return outputs


def on_rank_0(function: Callable[[], None]) -> None:
    """Do it in one process, and wait in the others."""
    if distributed.get_rank() == 0:
        function()
    distributed.barrier()


def single(case: Case, folder: Path) -> Made:
    """One process."""
    model = case.wrap(case.base()).to(KIND)
    batch = moved(case.batch(), KIND)
    return Made(loop(model, batch), lambda into: save(model, into), logits(model, batch))


def compiled(case: Case, folder: Path) -> Made:
    """`torch.compile` in one process."""
    model = case.wrap(case.base()).to(KIND)
    batch = moved(case.batch(), KIND)
    fast = torch.compile(model, backend="aot_eager")
    return Made(loop(fast, batch), lambda into: save(model, into), logits(fast, batch))


def checkpointed(case: Case, folder: Path) -> Made:
    """Gradient checkpointing in one process."""
    model = case.wrap(case.base()).to(KIND)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    batch = moved(case.batch(), KIND)
    return Made(loop(model, batch), lambda into: save(model, into), logits(model, batch))


def autocast(case: Case, folder: Path) -> Made:
    """DDP under bf16 autocast."""
    device = start()
    model = case.wrap(case.base()).to(device)
    parallel = DistributedDataParallel(model, device_ids=[device] if GPU else None)
    step = loop(parallel, row(case, device), loss_of=mean, context=lambda: torch.autocast(KIND, torch.bfloat16))
    saved = lambda into: on_rank_0(lambda: save(model, into))
    return Made(step, saved, logits(model, moved(case.batch(), device)))


def ddp(case: Case, folder: Path) -> Made:
    """DistributedDataParallel."""
    device = start()
    model = case.wrap(case.base()).to(device)
    parallel = DistributedDataParallel(model, device_ids=[device] if GPU else None)
    saved = lambda into: on_rank_0(lambda: save(model, into))
    return Made(loop(parallel, row(case, device), loss_of=mean), saved, logits(model, moved(case.batch(), device)))


def accelerate_ddp(case: Case, folder: Path) -> Made:
    """`Accelerator().prepare`, DDP."""
    accelerator = Accelerator(cpu=not GPU)
    model = case.wrap(case.base())
    prepared, optimizer = accelerator.prepare(model, torch.optim.SGD(trainable(model), lr=RATE, foreach=False))
    batch = row(case, accelerator.device)
    step = loop(prepared, batch, optimizer=optimizer, backward=accelerator.backward, loss_of=mean)
    whole_batch = moved(case.batch(), accelerator.device)
    plain = accelerator.unwrap_model(prepared)
    return Made(step, lambda into: on_rank_0(lambda: save(plain, into)), logits(plain, whole_batch))


def layers(model: nn.Module, case: Case) -> Iterator[nn.Module]:
    """The layers to shard."""
    return (module for module in model.modules() if type(module).__name__ == case.layer)


def fsdp2_offloaded(case: Case, folder: Path) -> Made:
    """FSDP2 with what is sharded kept on the CPU."""
    from torch.distributed.fsdp import CPUOffloadPolicy

    if not GPU:
        raise NotHereError("there is nothing to offload from")
    return fsdp2(case, folder, offload_policy=CPUOffloadPolicy())


def fsdp2(case: Case, folder: Path, **options: Any) -> Made:
    """`fully_shard` on each layer and on the whole."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    device = start()
    mesh = init_device_mesh(KIND, (distributed.get_world_size(),))
    model = case.wrap(case.base()).to(device)
    for layer in layers(model, case):
        fully_shard(layer, mesh=mesh, **options)
    fully_shard(model, mesh=mesh, **options)

    def saved(into: Path) -> None:
        state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        on_rank_0(lambda: save(model, into, state_dict=state))

    return Made(loop(model, row(case, device), loss_of=mean), saved, logits(model, moved(case.batch(), device)))


def fsdp2_units(case: Case, folder: Path) -> Made:
    """`fully_shard` on each wrapper too."""
    from peft.utils.other import AuxiliaryTrainingWrapper
    from torch.distributed.fsdp import fully_shard

    device = start()
    model = case.wrap(case.base()).to(device)
    for module in reversed(list(model.modules())):
        if isinstance(module, AuxiliaryTrainingWrapper) or type(module).__name__ == case.layer:
            fully_shard(module)
    fully_shard(model)

    def saved(into: Path) -> None:
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        on_rank_0(lambda: save(model, into, state_dict=state))

    return Made(loop(model, row(case, device), loss_of=mean), saved, logits(model, moved(case.batch(), device)))


def accelerate_fsdp2(case: Case, folder: Path) -> Made:
    """accelerate's FSDP2 plugin."""
    if not GPU:
        raise NotHereError("accelerate's FSDP wants a GPU")
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="transformer_based_wrap", transformer_cls_names_to_wrap=[case.layer],
        state_dict_type="FULL_STATE_DICT", cpu_ram_efficient_loading=False, reshard_after_forward=True,
    )  # fmt: skip
    accelerator = Accelerator(fsdp_plugin=plugin)
    model = case.wrap(case.base())
    prepared, optimizer = accelerator.prepare(model, torch.optim.SGD(trainable(model), lr=RATE, foreach=False))
    step = loop(
        prepared, row(case, accelerator.device), optimizer=optimizer, backward=accelerator.backward, loss_of=mean
    )

    def saved(into: Path) -> None:
        state = accelerator.get_state_dict(prepared)
        on_rank_0(lambda: save(accelerator.unwrap_model(prepared), into, state_dict=state))

    return Made(step, saved, logits(prepared, moved(case.batch(), accelerator.device)))


def fsdp1(case: Case, folder: Path) -> Made:
    """FSDP1 with PEFT's own policy."""
    from peft.utils.other import fsdp_auto_wrap_policy
    from torch.distributed.fsdp import FullStateDictConfig, FullyShardedDataParallel, StateDictType

    device = start()
    model = case.wrap(case.base()).to(device)
    os.environ.pop("FSDP_TRANSFORMER_CLS_TO_WRAP", None)
    parallel = FullyShardedDataParallel(
        model, auto_wrap_policy=fsdp_auto_wrap_policy(model), use_orig_params=True, device_id=device if GPU else None
    )
    inner = loop(parallel, row(case, device), loss_of=mean)

    def saved(into: Path) -> None:
        config = FullStateDictConfig(offload_to_cpu=True, rank0_only=True)
        with FullyShardedDataParallel.state_dict_type(parallel, StateDictType.FULL_STATE_DICT, config):
            state = parallel.state_dict()
        on_rank_0(lambda: save(model, into, state_dict=state))

    return Made(lambda: (inner()[0], None), saved, logits(parallel, moved(case.batch(), device)))


def deepspeed_settings(stage: int, **more: Any) -> dict[str, Any]:
    """What DeepSpeed is told."""
    zero = {"stage": stage, "stage3_param_persistence_threshold": 0}
    return {
        "train_micro_batch_size_per_gpu": 1, "zero_optimization": zero, "gradient_clipping": 0.0, "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False, **more,
    }  # fmt: skip


def deepspeed(stage: int, early: bool = False) -> Callable[[Case, Path], Made]:
    """ZeRO; `early`: the base model is loaded in parts already, as `from_pretrained` does under ZeRO-3."""

    def make(case: Case, folder: Path) -> Made:
        os.environ.setdefault("DS_ACCELERATOR", KIND)
        import deepspeed
        from deepspeed.utils import safe_get_full_grad

        device = start()
        deepspeed.init_distributed(dist_backend="nccl" if GPU else "gloo")
        settings = deepspeed_settings(stage)
        if early:
            from transformers.integrations import HfDeepSpeedConfig

            base = case.base()
            on_rank_0(lambda: base.save_pretrained(folder / "base"))
            kept = HfDeepSpeedConfig(settings)
            loaded = type(base).from_pretrained(folder / "base")
            loaded.config.use_cache = False
            model = case.wrap(loaded)
            del kept
        else:
            model = case.wrap(case.base())
        optimizer = torch.optim.SGD(trainable(model), lr=RATE, foreach=False)
        engine, *_ = deepspeed.initialize(
            model=model, model_parameters=trainable(model), optimizer=optimizer, config=settings
        )
        batch = row(case, device)

        def step() -> tuple[float, dict[str, Tensor]]:
            engine.train()
            loss = engine(**batch).loss
            engine.backward(loss)
            found = {}
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    gradient = safe_get_full_grad(parameter)
                    if gradient is not None:
                        found[name] = gradient.detach().float().cpu().clone()
            engine.step()
            return mean(loss), found

        def saved(into: Path) -> None:
            from peft import get_peft_model_state_dict

            parameters = dict(model.named_parameters())
            with deepspeed.zero.GatheredParameters(list(parameters.values()), enabled=stage == 3):
                state = {name: p.detach().cpu().clone() for name, p in parameters.items()}
            state |= {name: b.cpu() for name, b in model.named_buffers()}
            assert get_peft_model_state_dict
            on_rank_0(lambda: save(model, into, state_dict=state))

        return Made(step, saved, logits(engine, moved(case.batch(), device)))

    return make


def tensor_parallel(case: Case, folder: Path) -> Made:
    """transformers' `tp_plan="auto"`."""
    device = start()
    base = case.base()
    on_rank_0(lambda: base.save_pretrained(folder / "base"))
    loaded = type(base).from_pretrained(folder / "base", tp_plan="auto")
    loaded.config.use_cache = False
    model = case.wrap(loaded).to(device)
    batch = moved(case.batch(), device)

    def saved(into: Path) -> None:
        state = {name: whole(value) for name, value in model.state_dict().items()}
        on_rank_0(lambda: save(model, into, state_dict=state))

    return Made(loop(model, batch), saved, logits(model, batch))


def device_map(case: Case, folder: Path) -> Made:
    """accelerate's hooks: a device for each part, on CPUs a disk for some."""
    from accelerate import infer_auto_device_map

    base = case.base()
    keep = [case.layer, "Gemma4VisionModel", "Gemma4MultimodalEmbedder"]
    base.tie_weights()
    size = sum(p.numel() * p.element_size() for p in base.parameters())
    if GPU:
        places = infer_auto_device_map(base, {0: size // 2, 1: 2 * size}, no_split_module_classes=keep)
    else:
        places = dict.fromkeys(infer_auto_device_map(base, {"cpu": 4 * size}, no_split_module_classes=keep), "cpu")
        places = {name: "cpu" for name, _ in base.named_children()} if "" in places else places
    base = dispatch_model(base, places, offload_dir=str(folder / "disk"), force_hooks=True)
    model = case.wrap(base)
    batch = moved(case.batch(), "cuda:0" if GPU else "cpu")
    return Made(loop(model, batch), lambda into: save(model, into), logits(model, batch))


def offloaded(before: bool) -> Callable[[Case, Path], Made]:
    """accelerate's `cpu_offload`, before or after wrapping."""

    def make(case: Case, folder: Path) -> Made:
        device = torch.device("cuda:0" if GPU else "cpu")
        model = case.base()
        model = case.wrap(cpu_offload(model, device)) if before else cpu_offload(case.wrap(model), device)
        batch = moved(case.batch(), device)
        return Made(loop(model, batch), lambda into: save(model, into), logits(model, batch))

    return make


def quantised(how: str) -> Callable[[Case, Path], Made]:
    """A quantised base, loaded as transformers does."""

    def make(case: Case, folder: Path) -> Made:
        base = case.base()
        base.save_pretrained(folder / "base")
        saved_names = case.config().modules_to_save or []
        skip = [name for name, _ in base.named_modules() if name.rpartition(".")[2] in saved_names] + ["lm_head"]
        if how == "bitsandbytes":
            config: Any = transformers.BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32, llm_int8_skip_modules=skip
            )
        else:
            from torchao.quantization import Int8WeightOnlyConfig

            config = transformers.TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=skip)

        def load() -> nn.Module:
            model = type(base).from_pretrained(
                folder / "base", quantization_config=config, dtype=torch.float32, device_map={"": KIND}
            )
            model.config.use_cache = False
            return model

        model = case.wrap(load())
        batch = moved(case.batch(), KIND)

        def saved(into: Path) -> None:
            save(model, into)
            expected = logits(model, batch)()
            again = logits(PeftModel.from_pretrained(load(), into), batch)()
            difference = float((expected - again).abs().max())
            if not difference < 1e-5:
                raise AssertionError(f"reloaded outputs differ by {difference:.1e}")

        return Made(loop(model, batch), saved, logits(model, batch))

    return make


def trainer(**settings: Any) -> Callable[[Case, Path], Made]:
    """`Trainer`, with its settings for an engine."""

    def make(case: Case, folder: Path) -> Made:
        if "fsdp" in settings and not GPU:
            raise NotHereError("Trainer's fsdp wants a GPU")
        options = dict(settings)
        if "fsdp" in options:
            options["fsdp_config"] = {
                "version": 2, "transformer_layer_cls_to_wrap": [case.layer], "cpu_ram_efficient_loading": False,
                "state_dict_type": "FULL_STATE_DICT", "reshard_after_forward": True,
            }  # fmt: skip
        arguments = transformers.TrainingArguments(
            output_dir=str(folder / "trainer"), max_steps=STEPS, per_device_train_batch_size=1, learning_rate=RATE,
            optim="sgd", lr_scheduler_type="constant", max_grad_norm=0, logging_steps=1, save_strategy="no",
            report_to=[], remove_unused_columns=False, use_cpu=not GPU, disable_tqdm=True,
            ddp_backend="nccl" if GPU else "gloo", **options,
        )  # fmt: skip
        model = case.wrap(case.base())
        batch = case.batch()
        rows = [{name: value[index] for name, value in batch.items()} for index in range(2)]
        job = transformers.Trainer(model, arguments, train_dataset=rows)  # type: ignore[arg-type]
        losses: list[float] = []

        def step() -> tuple[float, None]:
            if not losses:
                job.train()
                losses.extend(entry["loss"] for entry in job.state.log_history if "loss" in entry)
            return losses.pop(0), None

        def saved(into: Path) -> None:
            job.save_model(str(into))

        return Made(step, saved, lambda: None)

    return make


ENGINES = {
    "one process": Engine(single, "python"),
    "gradient checkpointing": Engine(checkpointed, "python"),
    "torch.compile": Engine(compiled, "python"),
    "DDP": Engine(ddp),
    "DDP, bf16 autocast": Engine(autocast),
    "accelerate launch, DDP": Engine(accelerate_ddp, "accelerate"),
    "Trainer, DDP": Engine(trainer(), "accelerate"),
    "FSDP2": Engine(fsdp2),
    "FSDP2, CPU offload": Engine(fsdp2_offloaded),
    "FSDP2, wrappers as units": Engine(fsdp2_units, alone=True),
    "accelerate launch, FSDP2": Engine(accelerate_fsdp2, "accelerate"),
    "Trainer, fsdp": Engine(trainer(fsdp="full_shard auto_wrap"), "accelerate"),
    "FSDP1, PEFT's policy": Engine(fsdp1, alone=True),
    "DeepSpeed ZeRO-2": Engine(deepspeed(2)),
    "DeepSpeed ZeRO-3": Engine(deepspeed(3)),
    "DeepSpeed ZeRO-3, loaded in parts": Engine(deepspeed(3, early=True), alone=True),
    "Trainer, deepspeed": Engine(trainer(deepspeed=deepspeed_settings(3)), "accelerate", alone=True),
    "tensor parallel": Engine(tensor_parallel, alone=True),
    "device_map": Engine(device_map, "python"),
    "cpu_offload before wrapping": Engine(offloaded(True), "python"),
    "cpu_offload after wrapping": Engine(offloaded(False), "python"),
    "bitsandbytes 4-bit": Engine(quantised("bitsandbytes"), "python"),
    "torchao int8": Engine(quantised("torchao"), "python"),
}
