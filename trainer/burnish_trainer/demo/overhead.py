"""Measure the cost of recording one run of the example agent, traced and untraced in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import burnish
from burnish_trainer import console
from burnish_trainer.demo.scene import AGENT, Scene

_PAIRS = 20


def measure_overhead(scene: Scene) -> dict[str, Any]:
    """Measure the processor milliseconds that recording adds to a run, and their share of the whole run.

    Args:
        scene: The demo.
    """
    from burnish.serving import EmbeddedChat

    plain = scene.subject.build(EmbeddedChat(base_model=scene.subject.config.base_model))
    traced = burnish.wrap(plain, agent=AGENT)
    task = scene.subject.tasks("train", 3)[2]
    extra: list[float] = []
    whole: list[float] = []
    for graph in (plain, traced):
        _time_run(scene, graph.invoke, task)
    for _ in range(_PAIRS):
        without, total = _time_run(scene, plain.invoke, task)
        with_, _ = _time_run(scene, traced.invoke, task)
        extra.append(with_ - without)
        whole.append(total)
    per_run, base = median(extra), median(whole)
    found = {"per_run_ms": round(per_run, 3), "percent": round(100 * per_run / base, 2)}
    console.say(
        f"  recording costs {found['per_run_ms']:.2f} ms of processor a run, {found['percent']:.1f} %"
    )
    return found


def _time_run(scene: Scene, invoke: Callable[[Any], Any], task: Any) -> tuple[float, float]:
    """Return milliseconds of this thread, where recording happens, and of the whole process."""
    world = scene.subject.open_environment()
    world.open(task.data)
    try:
        with burnish.task(id=task.id, source="evaluation", environment=world):
            thread, process = time.thread_time(), time.process_time()
            invoke(task.input)
            return 1e3 * (time.thread_time() - thread), 1e3 * (time.process_time() - process)
    finally:
        world.close()
