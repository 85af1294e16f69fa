"""The whole loop in front of your eyes: `burnish demo`.

An agent that fails often, its recorded runs, one retrain, an agent that fails seldom, a canary that promotes it, and a
bad adapter, forced past the gate, that is rolled back by itself. Everything is real; only the business is small.

Knows: the order of the story. Does not know: how any of it is done; the demo calls what a user would call.

scene.py     the folder of a demo: example project, workspace, receipts
traffic.py   users: threads of the agent, routed, recorded and judged
rounds.py    traffic -> retrain -> canary
sabotage.py  a bad adapter, forced, and its end
overhead.py  what recording costs a run
facts.py     the story as data
show.py      the story as one table
report.py    the story as a page with pictures (pictures.py)
"""

from __future__ import annotations

import time
from typing import Any

from burnish_trainer import console
from burnish_trainer.demo.options import DemoOptions
from burnish_trainer.demo.scene import Scene, open_scene


def run_demo(options: DemoOptions | None = None) -> dict[str, Any]:
    """Run the demo, or go on with one that was interrupted.

    Args:
        options: What to show; by default one round judged by the goal state.

    Returns:
        The facts, as `burnish demo --json` writes them.
    """
    options = options or DemoOptions()
    with console.silenced(options.quiet), open_scene(options) as scene:
        facts = play(scene)
        scene.end(facts)
    return facts


def play(scene: Scene) -> dict[str, Any]:
    """Play all of a demo that is open, and give its facts."""
    from burnish_trainer.demo.facts import assemble
    from burnish_trainer.demo.overhead import overhead
    from burnish_trainer.demo.report import write_report
    from burnish_trainer.demo.rounds import play_round
    from burnish_trainer.demo.sabotage import sabotage
    from burnish_trainer.demo.show import show

    started = time.monotonic()
    cost = scene.stages.do("overhead", scene.inputs(), lambda: overhead(scene))
    rounds = [play_round(scene, number) for number in range(1, scene.options.rounds + 1)]
    released = any(one["canary"] for one in rounds)
    bad = sabotage(scene) if scene.options.sabotage and released else None
    facts = assemble(scene, rounds, bad, cost)
    facts["seconds_total"] = scene.seconds(time.monotonic() - started)
    show(facts)
    path = write_report(scene, facts)
    console.say("\npictures: [bold]{}[/]", path)
    return facts


__all__ = ["DemoOptions", "play", "run_demo"]
