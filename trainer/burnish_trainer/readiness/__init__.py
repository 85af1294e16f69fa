"""Report before any cost if an agent is ready to be retrained.

stage.py           the first stage of a retrain: it stops at what blocks, unless it is forced
assembly.py        the report: all checks in their order
records.py         the report as data
run_facts.py       what the recorded runs say, in one pass over them
run_findings.py    what that means: good runs, changing prompts, the base's known results
setup_findings.py  what burnish.toml says: task sets, verifiers, base model, canary
reasons.py         which of the reasons to train hold
command.py         `burnish readiness`
"""

from burnish_trainer.readiness.assembly import assemble_readiness
from burnish_trainer.readiness.records import ReadinessFinding, ReadinessReport, TrainingReason
from burnish_trainer.readiness.stage import require_readiness

__all__ = [
    "ReadinessFinding",
    "ReadinessReport",
    "TrainingReason",
    "assemble_readiness",
    "require_readiness",
]
