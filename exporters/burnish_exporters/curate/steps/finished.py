"""Drop unfinished runs and runs of another agent."""

from __future__ import annotations

from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step

_ENDED = ("completed", "failed")


def keep_finished(agent: str) -> Step:
    """Keep ended attempts of one agent that asked a model at least once."""

    def check_finished(item: Item) -> Keep | Drop:
        trajectory = item.trajectory
        if trajectory.agent != agent:
            return Drop("other agent")
        if trajectory.status not in _ENDED:
            return Drop(f"unfinished: {trajectory.status}")
        if not any(call.reply for call in trajectory.model_calls):
            return Drop("malformed: no model call with a reply")
        return KEEP

    return check_finished
