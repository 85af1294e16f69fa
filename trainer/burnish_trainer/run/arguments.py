"""Translate a recipe into arguments of TRL, without the defaults of TRL that would change exact rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from trl.trainer.sft_config import SFTConfig

from burnish_trainer.recipes.train_recipe import TrainRecipe


def make_arguments(
    recipe: TrainRecipe, checkpoints: Path, steps: int, *, watched: bool = False
) -> SFTConfig:
    """Return the arguments of the trainer.

    Args:
        recipe: The settings.
        checkpoints: Folder of the checkpoints.
        steps: Steps of the whole run.
        watched: Held-out rows are measured at each checkpoint, and the best one is loaded at the end.
    """
    every = max(1, steps // recipe.checkpoints) if recipe.checkpoints else 0
    watch: dict[str, Any] = {
        "eval_strategy": "steps",
        "eval_steps": every,
        "per_device_eval_batch_size": recipe.batch_size,
        "load_best_model_at_end": True,
        "metric_for_best_model": "loss",
        "greater_is_better": False,
    }
    return SFTConfig(
        output_dir=str(checkpoints),
        per_device_train_batch_size=recipe.batch_size,
        num_train_epochs=1,  # the plan's order holds all epochs
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=min(recipe.warmup_steps, steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        seed=recipe.seed,
        data_seed=recipe.seed,
        use_cpu=not torch.cuda.is_available(),
        bf16=recipe.dtype == "bfloat16",
        max_length=None,  # rows are whole; TRL would cut at 1,024 silently
        packing=False,
        gradient_checkpointing=False,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        dataloader_pin_memory=False,
        save_strategy="steps" if every else "no",
        save_steps=every or 1,
        logging_steps=max(1, steps // 50),
        logging_nan_inf_filter=False,  # a loss that is not finite ends the run; it is not logged as 0
        report_to=[],
        disable_tqdm=True,
        **(watch if watched else {}),
    )
