"""Play a demo from its first scene to its report.

`run_demo` is the entry.
"""

from __future__ import annotations

import time
from typing import Any

from burnish_trainer import console
from burnish_trainer.demo.options import DemoOptions
from burnish_trainer.demo.scene import Scene, open_scene


def run_demo(options: DemoOptions | None = None) -> dict[str, Any]:
    """Run the demo, or continue one that was interrupted.

    Args:
        options: Options of the demo; by default one round decided by the goal state.

    Returns:
        The facts, as `burnish demo --json` writes them.
    """
    options = options or DemoOptions()
    with console.silenced(options.quiet), open_scene(options) as scene:
        facts = play_demo(scene)
        scene.write_facts(facts)
    return facts


def play_demo(scene: Scene) -> dict[str, Any]:
    """Play an open demo to its end and return its facts."""
    from burnish_trainer.demo.facts import assemble_facts
    from burnish_trainer.demo.overhead import measure_overhead
    from burnish_trainer.demo.report import write_report
    from burnish_trainer.demo.rounds import play_round
    from burnish_trainer.demo.sabotage import release_bad_adapter
    from burnish_trainer.demo.show import print_facts

    started = time.monotonic()
    cost = scene.stages.do("overhead", scene.stage_inputs(), lambda: measure_overhead(scene))
    rounds = [play_round(scene, number) for number in range(1, scene.options.rounds + 1)]
    released = any(one["canary"] for one in rounds)
    bad = release_bad_adapter(scene) if scene.options.sabotage and released else None
    facts = assemble_facts(scene, rounds, bad, cost)
    facts["seconds_total"] = scene.add_seconds(time.monotonic() - started)
    print_facts(facts)
    path = write_report(scene, facts)
    console.say("\npictures: [bold]{}[/]", path)
    return facts
