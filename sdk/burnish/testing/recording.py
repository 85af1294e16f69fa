"""Write the events of scripted runs into a journal, as capture does, without executing anything."""

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
    """A journal with scripted runs.

    Args:
        home: Folder of the workspace.
        writer: Journal writer; by default a new one.
        clock: Returns the time of each event in nanoseconds.
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
        """Start a run of a trajectory; `given` are further fields of RunStarted."""
        return ScriptedRun(self, trajectory, given)

    def write_run(self, trajectory: str, steps: int = 2, **given: Any) -> str:
        """Write a run of `steps` model calls, with a tool run after each but the last."""
        run = self.run(trajectory, **given)
        for step in range(steps - 1):
            run.model_calls_tool(f"c{step}", {"key": step})
            run.run_tool(f"c{step}", {"key": step}, f"value {step}")
        run.model_says("done")
        run.end(answer="done")
        return trajectory

    def span_id(self) -> str:
        """Return the next span id, unique across recordings."""
        return f"{next(self._spans):08x}{id(self) & 0xFFFFFFFF:08x}"


class ScriptedRun:
    """One invocation of an agent, written event by event."""

    def __init__(self, recording: Recording, trajectory: str, given: dict[str, Any]) -> None:
        self.recording, self.trajectory = recording, trajectory
        self.span = recording.span_id()
        self.messages: list[e.Ref] = []
        self._blobs: dict[e.Ref, bytes] = {}
        self._tools = self.add_blob(given.pop("tools", _TOOLS))
        task = given.pop("task", f"do {trajectory}")
        first = [{"role": "system", "parts": [{"type": "text", "content": "You help."}]}]
        first = given.pop("messages", first)
        first = [*first, {"role": "user", "parts": [{"type": "text", "content": task}]}]
        for message in first:
            self.add_message(message)
        fields: dict[str, Any] = {
            "agent": "support",
            "trace": trajectory,
            "input": self.add_blob({"messages": first}),
            **given,
        }
        self._write_event("run_started", self.span, **fields)

    def read_clock(self) -> int:
        """Return the time of the next event."""
        return self.recording.clock()

    def add_blob(self, value: Json) -> e.Ref:
        """Add content to the next event; return its reference."""
        content = e.ordered_json(value)
        ref = e.ref_of(content)
        self._blobs[ref] = content
        return ref

    def add_message(self, message: Json) -> e.Ref:
        """Add a message to the conversation; return its reference."""
        ref = self.add_blob(message)
        self.messages.append(ref)
        return ref

    def write(self, event: e.AnyEvent) -> None:
        """Append an event with all content of the run."""
        self.recording.writer.append(event, self._blobs)

    def _write_event(self, kind: EventName, span: str, /, **fields: Any) -> None:
        event = scripted_event(
            kind, at=self.read_clock(), trajectory=self.trajectory, span=span, **fields
        )
        self.write(event)

    def model_starts(self, **given: Any) -> str:
        """Start a model call; return its span id."""
        span = self.recording.span_id()
        fields: dict[str, Any] = {"model": "tiny", "parent": self.span, **given}
        asked = {"messages": list(self.messages), "tools": self._tools, **fields}
        self._write_event("model_started", span, **asked)
        return span

    def model_ends(self, span: str, reply: Json, **given: Any) -> None:
        """End a model call with a reply."""
        self._write_event("model_ended", span, reply=self.add_message(reply), **given)

    def model_says(self, text: str, **given: Any) -> None:
        """Write a model call that answers with text."""
        reply = {"role": "assistant", "parts": [{"type": "text", "content": text}]}
        self.model_ends(self.model_starts(), reply, finish_reason="stop", **given)

    def model_calls_tool(self, call_id: str, arguments: Json, name: str = "look_up") -> None:
        """Write a model call that answers with a tool call."""
        part = {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}
        reply = {"role": "assistant", "parts": [part]}
        self.model_ends(self.model_starts(), reply, finish_reason="tool_calls")

    def run_tool(self, call_id: str, arguments: Json, result: Json, name: str = "look_up") -> None:
        """Write a tool run and its message."""
        span = self.recording.span_id()
        named = {"parent": self.span, "name": name, "call_id": call_id}
        self._write_event("tool_started", span, arguments=self.add_blob(arguments), **named)
        self._write_event("tool_ended", span, result=self.add_blob({"response": result}))
        part = {"type": "tool_call_response", "id": call_id, "response": result}
        self.add_message({"role": "tool", "parts": [part]})

    def end(self, status: str = "completed", **given: Any) -> None:
        """End the invocation."""
        self._write_event("run_ended", self.span, status=status, **given)
