"""A part of the model in every process."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from tests.distributed.cases import RATE, Case
from tests.distributed.engines.base import (
    Made,
    NotHereError,
    logits,
    loop,
    moved,
    on_rank_0,
    save,
    start,
    trainable,
)  # fmt: skip


def mine(full: Tensor, shard: Tensor) -> Tensor:
    """This process's part of a tensor, as its shard is: a DTensor, or of its shape."""
    if isinstance(shard, DTensor):
        return distribute_tensor(full, shard.device_mesh, shard.placements)
    for dim, (size, wanted) in enumerate(zip(full.shape, shard.shape, strict=True)):
        if size != wanted:
            full = full.chunk(distributed.get_world_size(), dim)[distributed.get_rank()]
    return full


def tensor_parallel(case: Case, folder: Path) -> Made:
    """transformers' `tp_plan="auto"`."""
    device = start()
    base = case.base()
    on_rank_0(lambda: base.save_pretrained(folder / "base"))
    loaded = type(base).from_pretrained(folder / "base", tp_plan="auto")
    loaded.config.use_cache = False
    model = case.wrap(loaded).to(device)
    # PEFT shards LoRA's weights too, so that the random ones of one process have to be cut
    expected = dict(case.wrap(case.base()).named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(mine(expected[name].to(device), parameter))
    batch = moved(case.batch(), device)
    inner = loop(model, batch)

    def saved(into: Path) -> None:
        # every process takes part: PEFT gathers what it has sharded
        save(model, into, is_main_process=distributed.get_rank() == 0)
        distributed.barrier()

    return Made(lambda: (inner()[0], None), saved, logits(model, batch))


class Stage(nn.Module):
    """Half of a Llama in PEFT: the layers of the other half are gone, and it takes and gives hidden states between them.

    Args:
        model: The whole.
        rank: Which half.
    """

    def __init__(self, model: PeftModel, rank: int) -> None:
        super().__init__()
        self.peft, self.rank = model, rank
        text = model.base_model.model.model
        half = len(text.layers) // 2
        self.mine = range(half) if rank == 0 else range(half, len(text.layers))
        for index in set(range(len(text.layers))) - set(self.mine):
            text.layers._modules[str(index)] = None

    def forward(self, hidden: Tensor) -> Tensor:
        """Of token ids in the first half, of hidden states in the second, which gives logits."""
        whole_model = self.peft.base_model.model
        text = whole_model.model
        if self.rank == 0:
            hidden = text.embed_tokens(hidden)
        places = torch.arange(hidden.shape[1], device=hidden.device)[None]
        turned = text.rotary_emb(hidden, position_ids=places)
        for index in self.mine:
            found = text.layers[index](hidden_states=hidden, position_embeddings=turned, position_ids=places)
            hidden = found[0] if isinstance(found, tuple) else found
        return hidden if self.rank == 0 else whole_model.lm_head(text.norm(hidden))


def next_token(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss that transformers' causal models give."""
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())


def pipeline(case: Case, folder: Path) -> Made:
    """`torch.distributed.pipelining`, two stages and a batch of two in two parts."""
    from torch.distributed.pipelining import PipelineStage, ScheduleGPipe

    if case.layer != "LlamaDecoderLayer":
        raise NotHereError("the stages are written for a Llama")
    device = start()
    rank = distributed.get_rank()
    model = case.wrap(case.base()).to(device)
    stage = Stage(model, rank)
    schedule = ScheduleGPipe(PipelineStage(stage, rank, 2, device), n_microbatches=2, loss_fn=next_token)
    batch = moved(case.batch(), device)
    optimizer = torch.optim.SGD(trainable(model), lr=RATE, foreach=False)

    def step() -> tuple[float, None]:
        found: list[Tensor] = []
        if rank == 0:
            schedule.step(batch["input_ids"])
        else:
            schedule.step(target=batch["labels"], losses=found)
        # what both stages have: the embedding and the head, which may be tied
        for name, parameter in sorted(model.named_parameters()):
            if parameter.requires_grad and ".layers." not in name:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                distributed.all_reduce(parameter.grad)
        optimizer.step()
        optimizer.zero_grad()
        loss = torch.stack(found).mean().detach() if found else torch.zeros((), device=device)
        distributed.broadcast(loss, 1)
        return float(loss), None

    def saved(into: Path) -> None:
        mine = get_peft_model_state_dict(model, save_embedding_layers=False)
        parts: list[dict[str, Tensor]] = [{}, {}]
        distributed.all_gather_object(parts, {name: value.cpu() for name, value in mine.items()})
        if rank == 0:
            whole_state = {name: value.contiguous().clone() for part in parts for name, value in part.items()}
            save_file(whole_state, into / "adapter_model.safetensors")
            model.peft_config["default"].save_pretrained(str(into))
        distributed.barrier()

    return Made(step, saved, lambda: None)
