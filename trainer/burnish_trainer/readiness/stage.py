"""Run the first stage of a retrain: check everything that can be known before a stage costs time.

`require_readiness` is the entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import burnish
from burnish_trainer import console
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.readiness.preconditions import check_base, check_canary, check_verifiers


@dataclass(frozen=True, slots=True)
class ReadinessChoice:
    """The options of a retrain that readiness depends on.

    Attributes:
        releases: A canary starts at the end.
        force: Go on in spite of what blocks.
    """

    releases: bool = True
    force: bool = False


def require_readiness(
    subject: AgentProject, choice: ReadinessChoice, folder: Path | None = None
) -> dict[str, Any]:
    """Check everything before a stage costs time, and return the facts that later stages depend on.

    Args:
        subject: The agent.
        choice: Options of the retrain.
        folder: Folder of the run, for the report.

    Returns:
        `current`: the version in service; `base_sha256`; `pools`: tasks by pool; `verifiers`: their names;
        `overridden`: what blocked and was forced.
    """
    from burnish_trainer.evaluation.power import describe_power
    from burnish_trainer.evaluation.runner import select_pools
    from burnish_trainer.release import current_adapter

    del folder
    if choice.releases:
        check_canary(subject)
    verifiers = check_verifiers(subject)
    _ = subject.build
    pools = select_pools(subject)
    base_sha256 = check_base(subject)
    burnish.flush()
    recorded = sum(1 for _ in subject.workspace.entries())
    console.say(
        "  {} recorded runs; verified by {}; evaluated on {}",
        recorded,
        ", ".join(verifiers),
        ", ".join(f"{len(several)} {pool}" for pool, several in pools.items()),
    )
    home, heldout = subject.workspace.home, pools.get("heldout", [])
    console.say("  {}", describe_power(home, subject.name, heldout, subject.config.gate))
    return {
        "current": current_adapter(subject),
        "base_sha256": base_sha256,
        "pools": {pool: len(several) for pool, several in pools.items()},
        "verifiers": verifiers,
        "overridden": [],
    }
