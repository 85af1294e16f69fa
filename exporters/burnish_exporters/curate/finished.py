"""Drop runs that have not come to an end, and runs of another agent.

Knows one thing: whether a record is a finished attempt of the agent in question.
Does not know whether the attempt went well.
"""

from __future__ import annotations

from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step

_ENDED = ("completed", "failed")


def finished(agent: str) -> Step:
    """Keep ended attempts of one agent that asked a model at least once."""

    def step(item: Item) -> Keep | Drop:
        trajectory = item.trajectory
        if trajectory.agent != agent:
            return Drop("other agent")
        if trajectory.status not in _ENDED:
            return Drop(f"unfinished: {trajectory.status}")
        if not any(call.reply for call in trajectory.model_calls):
            return Drop("malformed: no model call with a reply")
        return KEEP

    return step
