"""Find code that blocks the event loop of an evaluation, and say where it stands.

A coroutine that computes or sleeps without `await` stops every attempt, and no time limit can end it: the limit acts
at an `await`. A thread beside the loop sees that the loop takes no calls and reads the place from the stack.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import sysconfig
import threading
from types import FrameType, TracebackType
from typing import Self

from burnish_trainer import console

STALL_S = 30.0
_LOOKS = 5  # looks in that time
_LIBRARIES = tuple(
    path for name, path in sysconfig.get_paths().items() if name in ("stdlib", "purelib", "platlib")
)


class LoopWatch:
    """Says once a place which code keeps an event loop from its other work.

    Args:
        loop: The event loop.
        stall_s: Seconds without an answer of the loop after which it counts as blocked.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, stall_s: float = STALL_S) -> None:
        self._loop, self._stall_s = loop, stall_s
        self._thread_id = 0
        self._missed = 0  # looks in a row without an answer; a suspended process makes no looks
        self._ended = threading.Event()
        self._told: set[str] = set()
        context = contextvars.copy_context()  # whether output is turned off
        self._thread = threading.Thread(
            target=context.run, args=(self._watch,), name="burnish-loop-watch", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread_id = threading.get_ident()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        self._loop.call_soon_threadsafe(self._answer)
        while not self._ended.wait(self._stall_s / _LOOKS):
            self._missed += 1
            if self._missed > _LOOKS:
                self._say_place()
            self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._missed = 0

    def _say_place(self) -> None:
        # The only way to read the stack of another thread.
        frames = sys._current_frames()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        place = _find_place(frames.get(self._thread_id))
        if place in self._told:
            return
        self._told.add(place)
        console.say(
            "  {} blocks the event loop for over {} s: all attempts wait, and no time limit can end it; "
            "await there, or make it a plain function, which gets a thread of its own",
            place,
            f"{self._stall_s:g}",
        )


def _find_place(frame: FrameType | None) -> str:
    """Return the innermost place outside of libraries, as "think (agent.py, line 5)"."""
    innermost = frame
    while frame is not None and frame.f_code.co_filename.startswith((*_LIBRARIES, "<")):
        frame = frame.f_back
    found = frame or innermost
    if found is None:
        return "unknown code"
    return f"{found.f_code.co_name} ({found.f_code.co_filename}, line {found.f_lineno})"
