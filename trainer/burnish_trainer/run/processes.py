"""Share one training run between the processes that torchrun or `accelerate launch` started.

Every process plans the same run and reads the same steps; each computes a share of the rows of a step, and the gradients
are added up before the optimiser moves. The first process alone writes: plan, figures, checkpoints, the published version.

`join_processes` is the entry. Without a launcher there is one process, and nothing here communicates.

    ddp      each process holds the whole model
    fsdp2    each process holds a part of the frozen base weights (torch's `fully_shard`); the trained weights, which are
             few, are whole in each process, so checkpoints and adapters are the same files
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import distributed

from burnish.errors import TrainingError
from burnish_trainer.recipes.train_recipe import TrainRecipe

Parallel = Literal["ddp", "fsdp2"]
Found = TypeVar("Found")
_KINDS = ("ddp", "fsdp2")
_PAUSE_S = 0.2


@dataclass(frozen=True)
class Processes:
    """The processes of one run.

    Attributes:
        rank: The number of this process.
        count: The number of all.
        parallel: Where the base weights are.
    """

    rank: int = 0
    count: int = 1
    parallel: Parallel = "ddp"

    @property
    def first(self) -> bool:
        """Return whether this process writes."""
        return self.rank == 0

    @property
    def even_passes(self) -> bool:
        """Return whether all processes must run the model equally often, because they fetch weights from one another."""
        return self.count > 1 and self.parallel == "fsdp2"

    def wait(self) -> None:
        """Wait for the other processes."""
        if self.count > 1:
            distributed.barrier()

    def add_up(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of a tensor over the processes."""
        if self.count == 1:
            return values
        total = values.detach().clone()
        distributed.all_reduce(total)
        return total

    def any(self, value: bool) -> bool:
        """Return whether a fact holds in one of the processes."""
        return any(self.gather(value))

    def gather(self, value: Found) -> list[Found]:
        """Return the values of all processes."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, value)
        return found

    def tell(self, value: Found) -> Found:
        """Return the value that the first process gives."""
        if self.count == 1:
            return value
        told: list[Any] = [value if self.first else None]
        distributed.broadcast_object_list(told, src=0)
        return told[0]

    def add_up_gradients(self, model: Any) -> None:
        """Replace the gradients of the trained weights by their sums over the processes."""
        if self.count == 1:
            return
        for parameter in model.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                distributed.all_reduce(parameter.grad)

    def divide_again(self, model: Any) -> None:
        """Give up the weights that a forward pass without a backward pass has fetched.

        Saving does it in the process that writes; unless all do it, only that process fetches them for the next pass.
        """
        if not self.even_passes:
            return
        from torch.distributed.fsdp import FSDPModule

        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    def require_same(self, value: str, what: str) -> None:
        """Compare a value between the processes.

        Raises:
            TrainingError: It differs.
        """
        found = sorted(set(self.gather(value)))
        if len(found) > 1:
            raise TrainingError(
                f"the processes of this run made different {what}: {', '.join(found)}",
                f"the same {what} in every process",
                "give every process the same dataset, recipe, base model and versions of packages",
            )


ALONE = Processes()


def join_processes(parallel: Parallel, recipe: TrainRecipe) -> Processes:
    """Return the processes of this run; under a launcher, join them first.

    Args:
        parallel: Where the base weights are.
        recipe: The settings, some of which `fsdp2` refuses.

    Raises:
        TrainingError: The way of sharing is unknown, is not offered for this recipe, or accelerate was asked to shard.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if parallel not in _KINDS:
        raise TrainingError(
            f"parallel = {parallel!r}", " or ".join(_KINDS), "train(..., parallel='ddp')"
        )
    if count > 1 and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        raise TrainingError(
            "accelerate was asked to shard the model (ACCELERATE_USE_FSDP)",
            "a launch without FSDP: burnish shards the base weights itself",
            "train(..., parallel='fsdp2') under torchrun, or under accelerate launch without --use_fsdp",
        )
    if parallel == "fsdp2":
        _refuse_sharding(recipe, count)
    if count == 1:
        return ALONE
    from accelerate import PartialState

    if not distributed.is_initialized():  # a program that made the group ends it itself
        atexit.register(_leave_group)
    state = PartialState(cpu=not torch.cuda.is_available())
    return Processes(int(state.process_index), int(state.num_processes), parallel)


def _leave_group() -> None:
    """Leave the group before the interpreter ends, and let its threads finish.

    Gloo's threads release the tensors of a collective after it has returned, and need the GIL for that. If the interpreter
    is ending, Python ends such a thread, C++ then aborts the process, and the launcher reports a finished run as failed
    (pytorch/pytorch#179291). The end of a group joins its threads, but only where nothing else refers to it, as a sharded
    model and its mesh do; the pause leaves the GIL to the threads of a group that remains.
    """
    failed = getattr(sys, "last_value", None) is not None
    if not distributed.is_initialized() or failed:  # after an error, the others may never answer
        return
    distributed.destroy_process_group()
    gc.collect()
    time.sleep(_PAUSE_S)


def _refuse_sharding(recipe: TrainRecipe, count: int) -> None:
    reason = ""
    if count == 1:
        reason = "there is one process, and nothing to share"
    elif recipe.method == "full" and recipe.peft is None:
        reason = "method 'full' trains every weight, and trained weights stay whole in each process"
    elif recipe.peft is None and recipe.method in ("qlora", "qdora"):
        reason = "weights in 4 bits of bitsandbytes cannot be divided"
    elif recipe.prefix_sharing == "depth_first":
        reason = (
            "depth-first execution runs the model once a segment, not equally often in each process"
        )
    if reason:
        raise TrainingError(
            f"parallel = 'fsdp2' is not possible: {reason}",
            "several processes, and a method that leaves the base weights as they are",
            "torchrun --nproc-per-node N SCRIPT, or parallel='ddp'",
        )


def shard_base_weights(model: Any, processes: Processes) -> None:
    """Divide the frozen weights of a model between the processes, layer by layer.

    Args:
        model: The adapted model, whole in every process.
        processes: The processes.
    """
    if not processes.even_passes:
        return
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    device = "cuda" if torch.cuda.is_available() else "cpu"
    mesh = init_device_mesh(device, (processes.count,))
    trained = {one for one in model.parameters() if one.requires_grad}
    for parameter in trained:
        parameter.data = parameter.data.to(device)
    for layer in _decoder_layers(model):
        fully_shard(layer, mesh=mesh, ignored_params=trained)
    fully_shard(model, mesh=mesh, ignored_params=trained)


def _decoder_layers(model: Any) -> Sequence[torch.nn.Module]:
    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList)]
    return max(lists, key=len, default=[])  # pyright: ignore[reportReturnType]
