"""A scope that is left in another context than it was entered in raises no error and closes."""

import asyncio
import contextvars

import pytest

import burnish
from burnish.capture import faults
from burnish.capture.recorder.context import (
    current_task,
    current_trajectory_id,
    suppress,
    suppressed,
)
from burnish.journal.events import RunEnded, RunStarted


def of(kind, journal):
    return [event for event in journal.events if isinstance(event, kind)]


MAKERS = {
    "trace": lambda: burnish.trace(agent="a"),
    "task": lambda: burnish.task(id="1"),
    "suppress": suppress,
}


@pytest.mark.parametrize("name", MAKERS)
def test_another_context_may_leave_it(journal, name):
    scope = MAKERS[name]()
    contextvars.copy_context().run(scope.__enter__)
    scope.__exit__(None, None, None)

    assert (current_trajectory_id(), current_task.get(), suppressed.get()) == (None, None, False)


@pytest.mark.parametrize("name", MAKERS)
def test_a_copy_of_the_context_gets_the_former_value_back(journal, name):
    def leave(scope):
        scope.__exit__(None, None, None)
        return current_trajectory_id(), current_task.get(), suppressed.get()

    def enter_and_leave_in_a_copy():
        scope = MAKERS[name]()
        scope.__enter__()
        return contextvars.copy_context().run(leave, scope)

    found = contextvars.copy_context().run(enter_and_leave_in_a_copy)
    assert found == (None, None, False)


def test_what_was_opened_meanwhile_stays(journal):
    scope = burnish.trace(agent="a")
    contextvars.copy_context().run(scope.__enter__)
    with burnish.trace(agent="b") as other:
        scope.__exit__(None, None, None)
        assert current_trajectory_id() == other.trajectory_id


def test_an_abandoned_generator_with_a_scope_may_be_closed_by_another_task(journal):
    async def agent():
        with burnish.trace(agent="a"), burnish.task(id="1"):
            yield 1
            yield 2

    async def go():
        stream = agent()
        await asyncio.create_task(anext(stream))
        await asyncio.create_task(stream.aclose())

    asyncio.run(go())
    assert [event.status for event in of(RunEnded, journal)] == ["abandoned"]


def test_tasks_may_share_one_trace(journal):
    shared = burnish.trace(agent="a")
    found = {}

    async def work(name, first, second):
        async with shared as scope:
            first.set()
            await second.wait()
            found[name] = scope.trajectory_id
            assert current_trajectory_id() == scope.trajectory_id
        found[f"{name} after"] = current_trajectory_id()

    async def go():
        one, two = asyncio.Event(), asyncio.Event()
        await asyncio.gather(work("one", one, two), work("two", two, one))

    asyncio.run(go())
    assert found["one"] != found["two"]
    assert found["one after"] is found["two after"] is None
    assert len(of(RunStarted, journal)) == len(of(RunEnded, journal)) == 2
    assert not faults.counts()
