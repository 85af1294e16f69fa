"""Measure the time that routing adds to one model call.

usage: python benchmarks/serving/routing.py [--quick] [--json FILE]

Timed one by one: find the thread, read the pointer, choose the arm, make the way to the target, and
stamp the answer; all work of a routed model except the model call itself. A canary runs at 25 %,
threads return, and another process moves the pointer ten times a second.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables.config import var_child_runnable_config

from burnish.adapters import SqlControlStore
from burnish.langchain.routing import _RoutedCall, route
from burnish.testing.chat_model import ScriptedChatModel

STABLE, CANARY = (
    {"backend": "own", "base_model": "base", "adapter": f"support@{letter * 12}"} for letter in "ab"
)


def move_pointer(home, stop):
    """Change the share again and again from another process."""
    store = SqlControlStore(home)
    while not stop.wait(0.1):
        document, version = store.read("support")
        document["share"] = 0.5 - document["share"] + 0.01
        store.write("support", document, expected_version=version)


def one_call(model, answer):
    """Do all work of routing in one call."""
    _RoutedCall(model, None, {"tools": []}).stamp_result(answer)


def an_answer():
    return ChatResult(generations=[ChatGeneration(message=AIMessage(content="x"))])


def measure(home, calls):
    """Return microseconds of each call, and of making its answer, which routes nothing."""
    model = route(ScriptedChatModel(script=["x"], repeat=True), agent="support", home=home)
    taken, idle = np.empty(calls), np.empty(calls)
    gc.collect()
    gc.freeze()
    for number in range(calls):
        thread = f"thread-{number % (calls // 8)}"
        var_child_runnable_config.set({"configurable": {"thread_id": thread}})
        started = time.perf_counter_ns()
        answer = an_answer()
        made = time.perf_counter_ns()
        one_call(model, answer)
        taken[number] = time.perf_counter_ns() - made
        idle[number] = made - started
    skip = calls // 20
    return taken[skip:] / 1000, idle[skip:] / 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    calls = 20_000 if args.quick else 200_000
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        document = {"stable": STABLE, "canary": CANARY, "share": 0.25, "salt": "s"}
        SqlControlStore(home).write("support", document, expected_version=0)
        context = multiprocessing.get_context("spawn")
        stop = context.Event()
        mover = context.Process(target=move_pointer, args=(home, stop))
        mover.start()
        taken, idle = measure(home, calls)
        stop.set()
        mover.join()
    figures = {f"p{part}_us": round(float(np.percentile(taken, part)), 2) for part in (50, 99)}
    conditions = {
        "calls": calls,
        "pointer_moves_per_s": 10,
        "max_us": round(float(taken.max()), 1),
        "answer_p50_us": round(float(np.percentile(idle, 50)), 2),
        "answer_p99_us": round(float(np.percentile(idle, 99)), 2),
    }
    print(json.dumps({**figures, **conditions}))
    if args.json:
        args.json.write_text(json.dumps({"figures": figures, "conditions": conditions}, indent=2))


if __name__ == "__main__":
    main()
