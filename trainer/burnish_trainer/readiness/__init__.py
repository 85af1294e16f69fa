"""Report before any cost if an agent is ready to be retrained.

stage.py           the first stage of a retrain: stops at what blocks, unless it is forced
preconditions.py   what a retrain cannot do without: verifiers, tasks, base model, backend, canary
"""

from burnish_trainer.readiness.stage import require_readiness

__all__ = ["require_readiness"]
