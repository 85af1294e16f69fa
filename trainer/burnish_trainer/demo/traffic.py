"""Run users of the demo: threads of the routed agent, recorded as production and verified."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import burnish
from burnish.records import Task
from burnish_trainer import console
from burnish_trainer.demo.scene import AGENT, Scene
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.attempts.watch import next_seed
from burnish_trainer.evaluation.grading import grade_attempts
from burnish_trainer.evaluation.rollouts import AttemptRunner, RunOptions

WAVE = 24
_MOST_WAVES = 60
_TEMPERATURE = 1.0


def run_wave(scene: Scene, tasks: list[Task], seed: int) -> list[AttemptResult]:
    """Run one thread per task and grade every run.

    Args:
        scene: The demo.
        tasks: Tasks of the users.
        seed: Sampling seed.
    """
    from burnish.serving import EmbeddedChat

    base = EmbeddedChat(
        base_model=scene.subject.config.base_model, temperature=_TEMPERATURE, next_seed=next_seed
    )
    model = burnish.route(base, agent=AGENT)
    options = RunOptions(
        source="production",
        concurrency=min(64, len(tasks)),
        temperature=_TEMPERATURE,
        seed=seed,
    )
    runner = AttemptRunner(scene.subject, None, options, model)
    with console.bar("users", len(tasks)) as advance:
        jobs = options.list_jobs({"train": tasks})
        ran = runner.run_jobs(jobs, lambda ended: advance((ended.error or "")[:40]))
    return grade_attempts(scene.subject, ran)


def run_users(scene: Scene, number: int) -> dict[str, Any]:
    """Run the traffic of one round, before the agent is trained on it.

    Args:
        scene: The demo.
        number: The round, from 1.
    """
    seed = 1000 * scene.options.seed + number
    results = run_wave(scene, scene.subject.tasks("train", scene.options.runs, seed), seed)
    good = sum(result.label == "success" for result in results)
    console.say(f"  {len(results)} threads of users, {good / len(results):.1%} served well")
    return {"runs": len(results), "success_rate": good / len(results)}


def canary_until_decided(scene: Scene, place: int) -> dict[str, Any]:
    """Run waves of users until the canary has decided: promoted, rolled back, or paused.

    Args:
        scene: The demo.
        place: Number of the canary in the demo, so that each canary meets its own tasks.
    """
    rollout, started = burnish.Workspace(scene.workspace).canary(AGENT), time.monotonic()
    tasks, told = _draw_tasks(scene, place), ""
    results: list[AttemptResult] = []
    for number in range(_MOST_WAVES):
        results += run_wave(
            scene, list(itertools.islice(tasks, WAVE)), seed=7_000_000 + 1000 * place + number
        )
        status = rollout.observe()
        told = _result_facts(status, told)
        if status["state"] != "CANARY":
            break
    else:
        status = rollout.pause("the demo has no more users")
    candidate = status["candidate"]
    return {
        "decision": status["state"].lower(),
        "adapter": candidate,
        "reason": status["reason"],
        "threads": len(results),
        "canary_threads": sum(candidate in result.adapters for result in results),
        "dropped": sum(result.reason is not None and not result.cost for result in results),
        "mixed": sum(len(result.adapters) > 1 for result in results),
        "events": status["events"],
        "trail": rollout.trail(),
        "seconds": round(time.monotonic() - started, 3),
    }


def _draw_tasks(scene: Scene, place: int) -> Iterator[Task]:
    for part in itertools.count(1):
        seed = 500_000 + 10_000 * scene.options.seed + 100 * place + part
        yield from scene.subject.tasks("train", 10 * WAVE, seed)


def _result_facts(status: dict[str, Any], before: str) -> str:
    if status["state"] != "CANARY":
        return before
    threads, evidence = status["threads"], status["evidence"]
    line = (
        f"  {status['state']} at {100 * status['share']:.0f} %: "
        f"{threads['canary']} canary and {threads['stable']} stable threads judged; evidence "
        f"worse {evidence['worse']:.2g}, not worse {evidence['not_worse']:.2g}"
    )
    if line != before:
        console.say("{}", line)
    return line
