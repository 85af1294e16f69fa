"""Code that blocks the event loop of an evaluation is named."""

from __future__ import annotations

import asyncio
import time

import pytest

from burnish_trainer.evaluation.attempts.loop_watch import LoopWatch


@pytest.fixture
def watched(monkeypatch, capsys):
    """Run a coroutine under a watch that speaks after 0.3 s; returns what was printed."""
    monkeypatch.delenv("BURNISH_QUIET", raising=False)

    def run(work):
        with asyncio.Runner() as runner, LoopWatch(runner.get_loop(), stall_s=0.3):
            runner.run(work)
        return " ".join(capsys.readouterr().err.split())

    return run


async def think_without_await(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def test_a_coroutine_that_computes_without_await_is_named_once_with_its_place(watched):
    async def work():
        await think_without_await(2)
        await asyncio.sleep(0.1)
        await think_without_await(2)

    said = watched(work())
    assert "think_without_await (" in said
    assert "test_loop_watch.py, line" in said
    assert "no time limit can end it" in said


def test_a_call_that_sleeps_in_a_library_is_named_by_the_code_that_calls_it(watched):
    async def doze():
        time.sleep(2)  # noqa: ASYNC251 - the fault under test

    assert "doze (" in watched(doze())


def test_a_coroutine_that_waits_is_not_named(watched):
    assert watched(asyncio.sleep(1)) == ""


def test_plain_functions_in_threads_are_not_named(watched):
    async def work():
        await asyncio.to_thread(time.sleep, 1)

    assert watched(work()) == ""
