"""Write the checkpoints of a trainer atomically."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from burnish_trainer import console
from burnish_trainer.run.processes import ALONE, Processes
from burnish_trainer.run.storage import is_whole, keep_newest, seal_checkpoint

_STAGED = "staged"


class AtomicCheckpoints(Trainer):
    """A trainer whose checkpoints are written beside, hashed and renamed; it comes before TRL's class in the bases.

    A kill at any moment leaves a whole checkpoint or none. The two newest are kept, and the best one. Of several processes
    the first one seals the checkpoint, once all have written the state of their random numbers.
    """

    _processes: Processes = ALONE
    _checkpoint_folder: str | None = None

    def _complete_checkpoint(self, folder: Path) -> None:
        """Write what belongs into a checkpoint besides the trainer's own files, before it is hashed."""

    def _get_output_dir(self, trial: Any) -> str:
        return self._checkpoint_folder or super()._get_output_dir(trial)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder, name = Path(str(self.args.output_dir)), f"checkpoint-{self.state.global_step}"
        staged = folder / _STAGED
        if self._processes.first:
            shutil.rmtree(staged, ignore_errors=True)
        self._processes.divide_again(self.model)
        self._processes.wait()
        self._checkpoint_folder = str(staged)
        try:
            Trainer._save_checkpoint(self, model, trial)  # noqa: SLF001 - TRL's own would write a card
        finally:
            self._checkpoint_folder = None
        self._processes.wait()
        best = self.state.best_global_step
        if best:  # the library noted the staged folder, which is renamed now
            self.state.best_model_checkpoint = str(folder / f"checkpoint-{best}")
        if self._processes.first:
            if best:
                self.state.save_to_json(str(staged / name / TRAINER_STATE_NAME))
            self._complete_checkpoint(staged / name)
            seal_checkpoint(staged / name, folder / name)
            keep_newest(folder, 2, best)
        self._processes.wait()

    def restore_best(self, stopped: Path) -> None:
        """Load the best state of a training that had ended before it was killed.

        Args:
            stopped: The last checkpoint of the training.
        """
        self.state = TrainerState.load_from_json(str(stopped / TRAINER_STATE_NAME))
        self._load_best_model()

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        if best is None or not is_whole(Path(best)):
            console.say(
                "  [yellow]the best checkpoint {} is damaged: the last state is published[/]", best
            )
            return
        super()._load_best_model()
