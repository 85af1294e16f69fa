"""Private names of TRL and transformers that the trainer overrides or fills, and the check before a run."""

from __future__ import annotations

from burnish.compat.tables import LibraryTable, PrivateName
from burnish.errors import TrainingError

_NO_TRAINING = "training is refused"
_SFT = "trl.trainer.sft_trainer"
_DPO = "trl.trainer.dpo_trainer"
_TRAINING_TABLES = (
    LibraryTable(
        distribution="trl",
        tried_with="1.0 to 1.16",
        names=(
            PrivateName(
                module=_SFT,
                path="SFTTrainer._metrics",
                needed_for="token accuracy among the logged metrics",
                without_it=_NO_TRAINING,
                of_instance=True,
            ),
            PrivateName(
                module=_SFT,
                path="SFTTrainer._total_train_tokens",
                needed_for="the count of tokens among the logged metrics",
                without_it=_NO_TRAINING,
                of_instance=True,
            ),
            *(
                PrivateName(
                    module=_DPO,
                    path=f"DPOTrainer.{name}",
                    needed_for=purpose,
                    without_it="TreeDPOTrainer does not work",
                    of_instance=of_instance,
                )
                for name, purpose, of_instance in (
                    ("_prepare_dataset", "pairs with a mask of what the model wrote", False),
                    ("_set_signature_columns_if_needed", "the columns of that mask", False),
                    ("_metrics", "the logged figures of a batch", True),
                    ("_total_train_tokens", "the count of tokens among them", True),
                )
            ),
        ),
    ),
    LibraryTable(
        distribution="transformers",
        tried_with="5.0 to 5.23",
        names=(
            *(
                PrivateName(
                    module="transformers",
                    path=f"Trainer.{name}",
                    needed_for=purpose,
                    without_it=_NO_TRAINING,
                )
                for name, purpose in (
                    ("_get_train_sampler", "rows in the order of the plan"),
                    ("_get_num_items_in_batch", "a loss that is exact over micro-batches"),
                    ("_get_output_dir", "checkpoints that appear whole"),
                    ("_save_checkpoint", "checkpoints that appear whole"),
                )
            ),
            PrivateName(
                module="transformers",
                path="PreTrainedConfig._attn_implementation",
                needed_for="the attention of a model restored after a training on tries",
                without_it=_NO_TRAINING,
            ),
        ),
    ),
)


ONLINE_TABLE = LibraryTable(
    distribution="trl",
    tried_with="1.16",
    names=tuple(
        PrivateName(
            module="trl.trainer.grpo_trainer",
            path=f"GRPOTrainer.{name}",
            needed_for=purpose,
            without_it="online training is refused",
        )
        for name, purpose in (
            ("_generate_and_score_completions", "advantages for each token"),
            ("_send_telemetry", "training without telemetry"),
        )
    ),
)
TABLES = (*_TRAINING_TABLES, ONLINE_TABLE)


def check_libraries() -> None:
    """Probe TRL and transformers for the names that training needs.

    Raises:
        TrainingError: A name is missing; nothing was computed yet.
    """
    for table in _TRAINING_TABLES:
        _require_names(table)


def check_online_libraries() -> None:
    """Probe TRL for the names that online training needs.

    Raises:
        TrainingError: A name is missing; nothing was computed yet.
    """
    _require_names(ONLINE_TABLE)


def _require_names(table: LibraryTable) -> None:
    missing = table.probe()
    if missing:
        raise TrainingError(
            f"{table.distribution} {table.installed_version()} has no "
            + ", ".join(map(str, missing)),
            f"a version that burnish was tested with: {table.tried_with}",
            f"pip install '{table.distribution}<={table.tried_with.split()[-1]}'",
        )
