"""Make a task of a recorded run: its input, redacted, with a reference where the run is verified.

`RunTaskMaker.make_row` is the entry. The task keeps the run's task id, so that training refuses every run of that task
and verifiers find their reference by it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

from burnish.origins import may_state_decide
from burnish.records import Json, Trajectory
from burnish.redaction import Redactor, workspace_key
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.readiness.run_facts import conclude_run

_HASH = re.compile(r"[0-9a-f]{32}")  # a task id that burnish made
ENDED = ("completed", "failed")


class NoTask(ValueError):
    """A run that makes no task; its text is the reason, to be counted."""


class RunTaskMaker:
    """Makes tasks of the runs of one agent.

    Args:
        subject: The agent.
    """

    def __init__(self, subject: AgentProject) -> None:
        self._subject = subject
        self._redactor = _make_redactor(subject)

    def make_row(self, run: Trajectory, *, tags: Sequence[str] = ()) -> dict[str, Json]:
        """Return the line of a task file for a run.

        Args:
            run: The run.
            tags: Slices that the task belongs to.

        Raises:
            NoTask: The run gives no input that can be run again.
        """
        from burnish_exporters.curate.slices import kind_of

        if run.status not in ENDED:
            raise NoTask(f"{run.status}, not ended")
        _refuse_continued(run)
        row: dict[str, Json] = {
            "id": run.task_id or run.id,
            "input": read_input(run),
            "kind": kind_of(run),
        }
        if tags:
            row["tags"] = list(tags)
        reference = self._read_reference(run)
        if reference:
            row["reference"] = reference
        if self._redactor is not None:
            clean = self._redactor.clean_value
            kept = {"id"} if _HASH.fullmatch(str(row["id"])) else set[str]()
            row = {key: value if key in kept else clean(value) for key, value in row.items()}
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        row["origin"] = {"trajectory": run.id, "source": run.source, "at": now}
        return row

    def _read_reference(self, run: Trajectory) -> dict[str, Json]:
        """Return answer, state and outcome of a run that the verifiers call a success; else nothing."""
        trusted = self._subject.config.trust_received
        verdicts = [
            conclude_run(run, verifiers, trusted)
            for verifiers in (self._subject.verifiers, self._subject.proof_verifiers)
        ]
        if not any(verdict is not None and verdict.label == "success" for verdict in verdicts):
            return {}
        found: dict[str, Json] = {}
        if run.answer is not None:
            found["answer"] = run.answer
        if run.final_state is not None and may_state_decide(run, trusted):
            found["state"] = run.final_state
        good = [one for one in run.outcomes if one.origin == "own" and one.success]
        if good:
            found["outcome"] = {"source": good[-1].source, "score": good[-1].score}
        return found


def read_input(run: Trajectory) -> Json:
    """Return the input of a run in a form that a graph takes again.

    Args:
        run: The run.

    Raises:
        NoTask: It has none, or holds more than text.
    """
    given = run.input
    if isinstance(given, dict) and isinstance(given.get("messages"), list):
        return {**given, "messages": [_read_message(message) for message in given["messages"]]}
    if given in (None, "", {}, []):
        raise NoTask("no input was recorded")
    return given


def request_of_row(row: dict[str, Json]) -> str:
    """Return the user's request of a task's line.

    Args:
        row: The line as data.
    """
    from burnish.records import Task
    from burnish_trainer.evaluation.agent_project import request_of

    text = request_of(Task(id="", input=row["input"]))
    return text or str(row["input"])


def _read_message(message: Any) -> Json:
    """Return a message with its text as `content`; messages are recorded in parts."""
    if not isinstance(message, dict) or "parts" not in message:
        return message
    parts: list[Any] = message["parts"] if isinstance(message["parts"], list) else []
    texts: list[str] = []
    for part in parts:
        if not isinstance(part, dict) or part.get("type") != "text":
            raise NoTask("the input holds more than text")
        texts.append(str(part.get("content", "")))
    return {"role": message.get("role", "user"), "content": "\n".join(texts)}


def _refuse_continued(run: Trajectory) -> None:
    """Refuse a run whose first request holds earlier turns that its input lacks."""
    first = run.model_calls[0].messages if run.model_calls else []
    replies = sum(message.get("role") == "assistant" for message in first)
    given = run.input.get("messages") if isinstance(run.input, dict) else None
    own = sum(_role_of(m) in ("assistant", "ai") for m in given) if isinstance(given, list) else 0
    if replies > own:
        raise NoTask("continues a conversation")


def _role_of(message: Any) -> Any:
    if isinstance(message, dict):
        return message.get("role")
    return message[0] if isinstance(message, list) and message else None


def _make_redactor(subject: AgentProject) -> Redactor | None:
    """Return what cleans tasks, as the dataset's setting says; None if it keeps everything."""
    from burnish_exporters.redact.engines import make_finders

    mode = subject.config.dataset.redact
    if mode == "none":
        return None
    finders = make_finders({}, engines=mode == "full")
    return Redactor(workspace_key(subject.workspace.home), finders=finders)
