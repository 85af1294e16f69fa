"""Translate the options of online training into arguments of TRL's GRPOTrainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from trl.trainer.grpo_config import GRPOConfig

from burnish_trainer.online.online_options import OnlineOptions
from burnish_trainer.recipes.train_recipe import TrainRecipe

_CHECKPOINTS = 8  # over the whole run


def make_grpo_arguments(recipe: TrainRecipe, options: OnlineOptions, folder: Path) -> GRPOConfig:
    """Return the arguments of the trainer.

    Args:
        recipe: Settings of the optimizer.
        options: Steps, attempts and sampling; its `grpo` overrides every other argument.
        folder: Folder of the run.
    """
    micro = options.micro_batch or options.attempts
    arguments: dict[str, Any] = {
        "output_dir": str(folder / "checkpoints"),
        "max_steps": options.steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": options.attempts // micro,
        "num_generations": options.group_size,
        "temperature": options.temperature,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.schedule,
        "warmup_steps": min(recipe.warmup_steps, options.steps // 4),
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "seed": recipe.seed,
        "beta": 0.0,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": recipe.dtype == "bfloat16",
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": max(1, options.steps // _CHECKPOINTS),
        "report_to": [],
        "disable_tqdm": True,
    }
    return GRPOConfig(**(arguments | options.grpo))
