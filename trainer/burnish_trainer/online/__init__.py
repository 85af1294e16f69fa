"""Train an agent by reinforcement learning on itself: rollouts of the real graph, verdicts as rewards, credit a token.

    report = train_online("support", credit=gigpo, options=OnlineOptions(steps=100))
    report.before, report.after, report.alarm      # pass@1 and pass@k on held-out tasks

agent_rollouts.py   runs the agent with the weights of a step
attempt_tokens.py   a recorded attempt as tokens, and as a run for credit functions
credit_trainer.py   TRL's GRPOTrainer with advantages for each token
arguments.py        its arguments
training.py         the order of the work, and publication
pass_rates.py       pass@1, pass@k, and the narrowing alarm
distillation.py     one agent's successes train another
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burnish.imports.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from burnish_trainer.online.attempt_tokens import last_message_key, tool_success
    from burnish_trainer.online.distillation import DistillReport, distill
    from burnish_trainer.online.online_options import OnlineOptions
    from burnish_trainer.online.pass_rates import PassRates, estimate_pass_rates, narrowing
    from burnish_trainer.online.training import OnlineReport, train_online

_HOMES = {
    "DistillReport": "burnish_trainer.online.distillation",
    "distill": "burnish_trainer.online.distillation",
    "OnlineOptions": "burnish_trainer.online.online_options",
    "OnlineReport": "burnish_trainer.online.training",
    "PassRates": "burnish_trainer.online.pass_rates",
    "estimate_pass_rates": "burnish_trainer.online.pass_rates",
    "last_message_key": "burnish_trainer.online.attempt_tokens",
    "narrowing": "burnish_trainer.online.pass_rates",
    "tool_success": "burnish_trainer.online.attempt_tokens",
    "train_online": "burnish_trainer.online.training",
}
__getattr__, __dir__ = lazy_exports(__name__, _HOMES)

__all__ = [
    "DistillReport",
    "OnlineOptions",
    "OnlineReport",
    "PassRates",
    "distill",
    "estimate_pass_rates",
    "last_message_key",
    "narrowing",
    "tool_success",
    "train_online",
]
