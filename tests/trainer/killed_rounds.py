"""Run rounds in forked processes that are killed at given moments: `python killed_rounds.py HOME TOML RESULT MOMENT...`.

Each moment is one process: it calls `retrain` and is killed there. A moment is `STAGE:middle`, `STAGE:work` (the work is
done, its receipt is not written) or `STAGE:receipt` (the receipt is written); `end` is a call without a kill, whose report
goes to RESULT.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import burnish_trainer.rounds.planning as planning
import burnish_trainer.run.checkpoints as checkpoints
import burnish_trainer.run.estimate  # noqa: F401 - torch is imported once, before the forks
from burnish import settings
from burnish.adapters.registry import Registry
from burnish.canary.rollout import Rollout
from burnish.serving.backends import EmbeddedBackend
from burnish_exporters.dataset.draft import Draft
from burnish_trainer import heldout_uses
from burnish_trainer.evaluation.rollouts import AttemptRunner
from burnish_trainer.readiness.assembly import ReadinessChecks
from burnish_trainer.retrain import retrain
from burnish_trainer.rounds.stages import Stages

MIDDLES: dict[str, tuple[Any, str, int]] = {
    "readiness": (ReadinessChecks, "run", 1),
    "rollouts": (AttemptRunner, "_run_attempt", 6),
    "dataset": (Draft, "add", 2),
    "plan": (planning, "count_attempts", 1),
    "train": (checkpoints, "seal_checkpoint", 2),
    "evaluate": (AttemptRunner, "_run_attempt", 6),
    "gate": (heldout_uses, "_write_use", 1),
    "register": (Registry, "_store_candidate", 1),
    "load": (EmbeddedBackend, "probe", 1),
    "canary": (Rollout, "_first_step", 1),
}
"""A function of each stage, and the call of it that is the middle of the stage."""
SETTINGS: dict[str, Any] = {
    "evaluate": {"rollouts": 16, "concurrency": 2},
    "train": {"epochs": 3},
}


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def act_in_the_middle(stage: str, act: Callable[[], None]) -> None:
    """Call `act` at the middle of a stage."""
    place, name, number = MIDDLES[stage]
    original, calls = getattr(place, name), [0]

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            act()
        return original(*args, **kwargs)

    setattr(place, name, counted)


def act_at(moment: str, act: Callable[[], None]) -> None:
    """Call `act` at a moment of the round."""
    stage, _, where = moment.partition(":")
    original_do, original_write = Stages.do, Stages._write_receipt

    def do(self: Stages, name: str, *args: Any, **kwargs: Any) -> Any:
        if name == stage and where == "middle":
            act_in_the_middle(stage, act)
        return original_do(self, name, *args, **kwargs)

    def write(self: Stages, path: Path, receipt: Any) -> None:
        if path.stem == stage and where == "work":
            act()
        original_write(self, path, receipt)
        if path.stem == stage and where == "receipt":
            act()

    Stages.do, Stages._write_receipt = do, write  # type: ignore[method-assign]


def call(home: str, toml: str, result: str, moment: str) -> None:
    """Call `retrain` in this process, which is killed at the moment."""
    settings.configure(home=home, config=toml)
    if moment != "end":
        act_at(moment, kill)
    report = retrain("shop", force=True, **SETTINGS)
    found = {
        "dataset": report.dataset,
        "adapter": report.adapter,
        "decision": report.decision.decision if report.decision else None,
        "status": report.status,
        "stages": [stage["name"] for stage in report.stages],
        "reused": [stage["name"] for stage in report.stages if stage["reused"]],
    }
    Path(result).write_text(json.dumps(found))


def main(home: str, toml: str, result: str, *moments: str) -> int:
    """Call `retrain` once for each moment, each time in a new process."""
    for moment in moments:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                call(home, toml, result, moment)
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        status = os.waitpid(child, 0)[1]
        wanted = 0 if moment == "end" else signal.SIGKILL
        if os.waitstatus_to_exitcode(status) != -wanted:
            print(f"{moment}: ended with {os.waitstatus_to_exitcode(status)}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
