"""Rollouts of targets that no registry holds, for tests of what serves them."""

from __future__ import annotations

from pathlib import Path

from burnish.adapters import Target
from burnish.canary import Rollout, document
from burnish.project import CanaryConfig


def start_rollout(home: Path, target: Target, config: CanaryConfig) -> Rollout:
    """Give a target the first step's share of the threads of agent `support`, without a report."""
    rollout = Rollout(home, "support")
    rollout._apply_move(lambda _, now: document.stage_candidate(now, target, config, forced=False))
    rollout._apply_move(rollout._first_step)
    return rollout
