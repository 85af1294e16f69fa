"""Turn a recorded attempt into one sequence of tokens for TRL, and into a run for credit functions.

TRL trains on one sequence per attempt. The calls of an attempt are merged while each context continues the one before;
where a context was rewritten (a template that strips thoughts, a summary), the longest merged part is used and the calls
outside of it are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from burnish.records import ModelCall, ToolRun, Trajectory
from burnish.serving.toolcalls.tool_syntax import ToolSyntax
from burnish_exporters.rows.canonical_json import hash_json
from burnish_trainer.credit.scored_runs import CreditRun, CreditStep
from burnish_trainer.rows.merge import IGNORE
from burnish_trainer.rows.token_rows import TokenRow

StepReward = Callable[[Trajectory, int], float]
"""Reward of a call of a trajectory, by its place among the model calls."""
StateKey = Callable[[Trajectory, int], Hashable]
"""Key of the environment's state before a call."""


class Decoder(Protocol):
    """The part of a tokenizer that finds tool calls."""

    def decode(self, ids: Sequence[int], **options: Any) -> Any:
        """Return the text of tokens."""
        ...


@dataclass(frozen=True, slots=True)
class AttemptTokens:
    """Tokens of an attempt.

    Attributes:
        prompt_ids: Context of the first call.
        completion_ids: What follows: replies of the model, and between them the tokens of tool results.
        logprobs: Log-probability of each sampled token; 0 for others.
        steps: For each token the place of its call among the attempt's calls; -1 for tokens that were not sampled.
        calls_left_out: Calls whose context does not continue the sequence.
    """

    prompt_ids: list[int]
    completion_ids: list[int]
    logprobs: list[float]
    steps: list[int]
    calls_left_out: int = 0

    @property
    def sampled(self) -> list[int]:
        """Return 1 for each token that the model sampled, and 0 for the others."""
        return [int(step >= 0) for step in self.steps]

    def as_row(self, name: str) -> TokenRow:
        """Return the attempt as a row whose sampled tokens are learned."""
        pairs = zip(self.completion_ids, self.sampled, strict=True)
        labels = [token if sampled else IGNORE for token, sampled in pairs]
        ids = [*self.prompt_ids, *self.completion_ids]
        return TokenRow(name, ids, [IGNORE] * len(self.prompt_ids) + labels)


def merge_attempt(calls: Sequence[ModelCall]) -> AttemptTokens | None:
    """Return the tokens of an attempt's calls; None if no call has its tokens.

    Args:
        calls: The calls, in order. A call without its tokens, such as one that failed or came from a cache, is left out.
    """
    parts: list[AttemptTokens] = []
    missing = 0
    for place, call in enumerate(calls):
        if not call.prompt_token_ids or not call.token_ids or not call.sampled:
            missing += 1
            continue
        longer = _append_call(parts[-1], call, place) if parts else None
        if longer is None:
            parts.append(_start_sequence(call, place))
        else:
            parts[-1] = longer
    if not parts:
        return None
    best = max(parts, key=lambda part: sum(part.sampled))
    left_out = len(calls) - len(set(best.steps) - {-1})
    return AttemptTokens(best.prompt_ids, best.completion_ids, best.logprobs, best.steps, left_out)


def _start_sequence(call: ModelCall, place: int) -> AttemptTokens:
    prompt, reply = list(call.prompt_token_ids or ()), list(call.token_ids or ())
    return AttemptTokens(prompt, reply, _logprobs_of(call), [place] * len(reply))


def _append_call(part: AttemptTokens, call: ModelCall, place: int) -> AttemptTokens | None:
    """Return the sequence with one more call; None if the call's context does not continue it."""
    known = [*part.prompt_ids, *part.completion_ids]
    prompt, reply = list(call.prompt_token_ids or ()), list(call.token_ids or ())
    if prompt[: len(known)] != known:
        return None
    between = prompt[len(known) :]
    return AttemptTokens(
        part.prompt_ids,
        [*part.completion_ids, *between, *reply],
        [*part.logprobs, *[0.0] * len(between), *_logprobs_of(call)],
        [*part.steps, *[-1] * len(between), *[place] * len(reply)],
    )


def _logprobs_of(call: ModelCall) -> list[float]:
    return list(call.logprobs or [0.0] * len(call.token_ids or ()))


@dataclass(frozen=True, slots=True)
class CreditRunReader:
    """Reads trajectories as runs for credit functions.

    Attributes:
        tokenizer: Tokenizer of the base model.
        syntax: Its syntax of tool calls, to mark their tokens; None marks none.
        step_reward: Reward of a call; by default 0.
        state_key: Key of the state before a call; by default a hash of the last message before it.
    """

    tokenizer: Decoder
    syntax: ToolSyntax | None = None
    step_reward: StepReward | None = None
    state_key: StateKey | None = None

    def read_run(
        self, name: str, task: str, trajectory: Trajectory, reward: float | None
    ) -> CreditRun:
        """Return a trajectory as a run.

        Args:
            name: Id of the attempt.
            task: The task.
            trajectory: The recorded attempt.
            reward: Its reward; None if no verifier decided.
        """
        steps = [self._read_step(trajectory, place) for place in range(len(trajectory.model_calls))]
        return CreditRun(id=name, task=task, reward=reward, steps=steps)

    def _read_step(self, trajectory: Trajectory, place: int) -> CreditStep:
        call = trajectory.model_calls[place]
        ids, logprobs = call.token_ids or [], call.logprobs
        runs = tool_runs_of(trajectory, place)
        state_key = self.state_key or last_message_key
        return CreditStep(
            reward=self.step_reward(trajectory, place) if self.step_reward else 0.0,
            state=state_key(trajectory, place),
            action=hash_json(_actions_of(call)),
            # The mean of -log p over sampled tokens is an unbiased estimate of their mean entropy.
            entropy=-sum(logprobs) / len(logprobs) if logprobs else None,
            call_ok=float(sum(not run.is_error for run in runs)) if runs else None,
            call_mask=self._mark_calls(ids),
            tokens=len(ids),
        )

    def _mark_calls(self, ids: Sequence[int]) -> list[bool] | None:
        """Mark the tokens from the first mark of a tool call to the end of the reply."""
        if self.syntax is None:
            return None
        for end in range(1, len(ids) + 1):
            text = str(self.tokenizer.decode(ids[:end]))
            if any(mark in text for mark in self.syntax.openers):
                return [place >= end - 1 for place in range(len(ids))]
        return [False] * len(ids)


def tool_runs_of(trajectory: Trajectory, place: int) -> list[ToolRun]:
    """Return the tool runs that a call asked for.

    Args:
        trajectory: The recorded attempt.
        place: Place of the call among its model calls.
    """
    wanted = {part.get("id") for part in _tool_calls(trajectory.model_calls[place])}
    return [run for run in trajectory.tool_runs if run.call_id in wanted]


def tool_success(trajectory: Trajectory, place: int) -> float:
    """Return 1 if a call ran tools and all of them succeeded, else 0; a step reward.

    Args:
        trajectory: The recorded attempt.
        place: Place of the call among its model calls.
    """
    runs = tool_runs_of(trajectory, place)
    return float(bool(runs) and not any(run.is_error for run in runs))


def last_message_key(trajectory: Trajectory, place: int) -> Hashable:
    """Return a hash of the last message before a call, without generated ids; a state key.

    Args:
        trajectory: The recorded attempt.
        place: Place of the call among its model calls.
    """
    messages = trajectory.model_calls[place].messages
    parts = messages[-1].get("parts", []) if messages else []
    return hash_json([{key: value for key, value in part.items() if key != "id"} for part in parts])


def _tool_calls(call: ModelCall) -> list[dict[str, Any]]:
    parts = (call.reply or {}).get("parts", [])
    return [part for part in parts if part.get("type") == "tool_call"]


def _actions_of(call: ModelCall) -> list[Any]:
    """Return what a reply does: its calls without their ids, else its whole text."""
    calls = [[part.get("name"), part.get("arguments")] for part in _tool_calls(call)]
    if calls:
        return calls
    return [part.get("content") for part in (call.reply or {}).get("parts", [])]
