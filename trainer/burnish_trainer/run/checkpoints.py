"""Write the checkpoints of a trainer atomically."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from transformers import Trainer

from burnish_trainer.run.storage import keep_newest, seal_checkpoint

_STAGED = "staged"


class AtomicCheckpoints(Trainer):
    """A trainer whose checkpoints are written beside, hashed and renamed; it comes before TRL's class in the bases.

    A kill at any moment leaves a whole checkpoint or none. The two newest are kept.
    """

    _checkpoint_folder: str | None = None

    def _complete_checkpoint(self, folder: Path) -> None:
        """Write what belongs into a checkpoint besides the trainer's own files, before it is hashed."""

    def _get_output_dir(self, trial: Any) -> str:
        return self._checkpoint_folder or super()._get_output_dir(trial)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder, name = Path(str(self.args.output_dir)), f"checkpoint-{self.state.global_step}"
        staged = folder / _STAGED
        shutil.rmtree(staged, ignore_errors=True)
        self._checkpoint_folder = str(staged)
        try:
            Trainer._save_checkpoint(self, model, trial)  # noqa: SLF001 - TRL's own would write a card
        finally:
            self._checkpoint_folder = None
        self._complete_checkpoint(staged / name)
        seal_checkpoint(staged / name, folder / name)
        keep_newest(folder, 2)
