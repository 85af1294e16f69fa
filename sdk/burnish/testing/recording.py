"""Writes the events of scripted runs into a journal, as capture would.

Knows: the shape of a tool-calling run. Does not know: LangGraph; nothing is executed.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from burnish.capture.recorder.scripted_events import EventName, scripted_event
from burnish.journal import events as e
from burnish.journal.writer import JournalWriter
from burnish.records import Json

_TOOLS = [{"type": "function", "name": "look_up", "parameters": {"type": "object"}}]


class Recording:
    """A journal, and runs that are written into it.

    Args:
        home: Folder of the workspace.
        writer: Where to write; a writer of its own by default.
        clock: Gives the time of each event in nanoseconds.
    """

    def __init__(
        self,
        home: Path,
        writer: JournalWriter | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.writer = writer or JournalWriter(home)
        self.clock = clock
        self._spans = itertools.count(1)

    def run(self, trajectory: str, **given: Any) -> ScriptedRun:
        """Begin a run of a trajectory; `given` are further fields of RunStarted."""
        return ScriptedRun(self, trajectory, given)

    def whole(self, trajectory: str, steps: int = 2, **given: Any) -> str:
        """Write a run of so many model calls, with a tool run after each but the last."""
        run = self.run(trajectory, **given)
        for step in range(steps - 1):
            run.model_calls_tool(f"c{step}", {"key": step})
            run.tool(f"c{step}", {"key": step}, f"value {step}")
        run.model_says("done")
        run.end(answer="done")
        return trajectory

    def span_id(self) -> str:
        """The next span id, unlike those of other recordings."""
        return f"{next(self._spans):08x}{id(self) & 0xFFFFFFFF:08x}"


class ScriptedRun:
    """One invocation of an agent, told event by event."""

    def __init__(self, recording: Recording, trajectory: str, given: dict[str, Any]) -> None:
        self.recording, self.trajectory = recording, trajectory
        self.span = recording.span_id()
        self.messages: list[e.Ref] = []
        self._blobs: dict[e.Ref, bytes] = {}
        self._tools = self.blob(given.pop("tools", _TOOLS))
        task = given.pop("task", f"do {trajectory}")
        first = [{"role": "system", "parts": [{"type": "text", "content": "You help."}]}]
        first = given.pop("messages", first)
        first = [*first, {"role": "user", "parts": [{"type": "text", "content": task}]}]
        for message in first:
            self.say(message)
        fields: dict[str, Any] = {
            "agent": "support",
            "trace": trajectory,
            "input": self.blob({"messages": first}),
            **given,
        }
        self._tell("run_started", self.span, **fields)

    def now(self) -> int:
        """The time of the next event."""
        return self.recording.clock()

    def blob(self, value: Json) -> e.Ref:
        """Name of a content, which goes with the next event."""
        content = e.ordered_json(value)
        ref = e.ref_of(content)
        self._blobs[ref] = content
        return ref

    def say(self, message: Json) -> e.Ref:
        """Add a message to the conversation."""
        ref = self.blob(message)
        self.messages.append(ref)
        return ref

    def write(self, event: e.AnyEvent) -> None:
        """Append an event with all content that the run has named."""
        self.recording.writer.append(event, self._blobs)

    def _tell(self, kind: EventName, span: str, /, **fields: Any) -> None:
        event = scripted_event(kind, at=self.now(), trajectory=self.trajectory, span=span, **fields)
        self.write(event)

    def model_starts(self, **given: Any) -> str:
        """A chat model is asked; returns the span id."""
        span = self.recording.span_id()
        fields: dict[str, Any] = {"model": "tiny", "parent": self.span, **given}
        asked = {"messages": list(self.messages), "tools": self._tools, **fields}
        self._tell("model_started", span, **asked)
        return span

    def model_ends(self, span: str, reply: Json, **given: Any) -> None:
        """The chat model answers."""
        self._tell("model_ended", span, reply=self.say(reply), **given)

    def model_says(self, text: str, **given: Any) -> None:
        """A model call that answers with text."""
        reply = {"role": "assistant", "parts": [{"type": "text", "content": text}]}
        self.model_ends(self.model_starts(), reply, finish_reason="stop", **given)

    def model_calls_tool(self, call_id: str, arguments: Json, name: str = "look_up") -> None:
        """A model call that answers with a tool call."""
        part = {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}
        reply = {"role": "assistant", "parts": [part]}
        self.model_ends(self.model_starts(), reply, finish_reason="tool_calls")

    def tool(self, call_id: str, arguments: Json, result: Json, name: str = "look_up") -> None:
        """A tool run, and its message."""
        span = self.recording.span_id()
        named = {"parent": self.span, "name": name, "call_id": call_id}
        self._tell("tool_started", span, arguments=self.blob(arguments), **named)
        self._tell("tool_ended", span, result=self.blob({"response": result}))
        part = {"type": "tool_call_response", "id": call_id, "response": result}
        self.say({"role": "tool", "parts": [part]})

    def end(self, status: str = "completed", **given: Any) -> None:
        """The invocation is over."""
        self._tell("run_ended", self.span, status=status, **given)
