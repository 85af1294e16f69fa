"""Define the record types that cross package borders.

All records are immutable. Messages are kept in the message form of the OpenTelemetry GenAI
semantic conventions, `{"role": ..., "parts": [...]}`, with our own facts as extra properties:

- a text is `{"type": "text", "content": ...}`; reasoning `{"type": "reasoning", "content": ...}`;
- a call is `{"type": "tool_call", "id": ..., "name": ..., "arguments": {...}}`;
- a result is `{"type": "tool_call_response", "id": ..., "response": ...}` in a message of role "tool".

Tools are `{"type": "function", "name": ..., "description": ..., "parameters": {...}}`.
Times are nanoseconds since the epoch (`_ns`) unless a name says otherwise.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Json = Any
"""A value that JSON can hold: None, bool, int, float, str, list or dict with str keys."""

Message = dict[str, Json]
Tool = dict[str, Json]

TrajectoryStatus = Literal[
    "completed", "failed", "interrupted", "cancelled", "abandoned", "running"
]
VerdictLabel = Literal["success", "fail", "unknown"]
SpanKind = Literal["agent", "model", "tool", "node", "fact"]
Pool = Literal["train", "heldout", "standing", "capability"]
Origin = Literal["own", "inside", "imported", "received"]
"""Origin of a fact: this workspace, code inside the run it judges, an import, another process."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all records: immutable, keyword-only."""


class Failure(Record, frozen=True, kw_only=True):
    """The error of a call; control flow such as an interrupt is not an error."""

    type: str
    message: str


class Span(Record, frozen=True, kw_only=True):
    """One timed part of a trajectory, in terms of the semantic conventions.

    `kind` is ours; `name` and `attributes` follow the GenAI conventions, with values kept
    structured. A "fact" is a span without duration: an outcome, a verdict or a final state.
    """

    trace_id: str  # 32 hex digits
    span_id: str  # 16 hex digits
    parent_id: str | None
    kind: SpanKind
    name: str
    start_ns: int
    end_ns: int | None  # None while open
    status: Literal["unset", "ok", "error"]
    attributes: dict[str, Json]
    origin: Origin = "own"  # set by the span's reader, never read from attributes


class Policy(Record, frozen=True, kw_only=True):
    """The model, adapter and settings that produced the tokens of a call."""

    model: str | None = None
    adapter: str | None = None  # "name@sha12"; None is the base model
    arm: Literal["stable", "canary", "holdback", "takeover"] | None = None
    rollout: str | None = None  # the phase of a rollout that assigned the arm
    share: float | None = None  # probability of the candidate when the arm was assigned
    prompt: str | None = None  # prompt version "name@sha12"; None is the agent's own text
    prompt_hash: str | None = None
    tools_hash: str | None = None


class Usage(Record, frozen=True, kw_only=True):
    """Tokens of a call, as the provider counted them."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class ModelCall(Record, frozen=True, kw_only=True):
    """One call of a chat model, with the exact request and the reply."""

    span_id: str
    parent_id: str | None
    messages: list[Message]  # exact, in order, with the system message
    tools: list[Tool]  # exact schemas, as offered in this call
    reply: Message | None = None  # None if the call failed or was cut off
    tool_choice: Json = None
    response_format: Json = None
    sampling: dict[str, Json] = {}
    finish_reason: str | None = None
    usage: Usage | None = None
    prompt_token_ids: list[int] | None = None
    token_ids: list[int] | None = None
    logprobs: list[float] | None = None
    policy: Policy = Policy()
    response_id: str | None = None
    error: Failure | None = None
    node: str | None = None
    step: int | None = None
    speaker: str | None = None  # the agent in a multi-agent graph
    attempt: int = 1
    sampled: bool = True  # False for a cache hit
    started_ns: int = 0
    ended_ns: int | None = None
    extras: dict[str, Json] = {}  # run id, metadata, tags, provider fields


class ToolRun(Record, frozen=True, kw_only=True):
    """One execution of a tool."""

    span_id: str
    parent_id: str | None
    name: str
    call_id: str | None = None
    arguments: Json = None
    raw_arguments: str | None = None
    result: Json = None
    is_error: bool = False
    error: Failure | None = None
    node: str | None = None
    attempt: int = 1
    started_ns: int = 0
    ended_ns: int | None = None
    extras: dict[str, Json] = {}


class Outcome(Record, frozen=True, kw_only=True):
    """A fact reported from outside."""

    source: str
    success: bool | None = None
    score: float | None = None
    label: str | None = None
    evidence: Json = None
    reported_ns: int = 0
    scope: Literal["last", "thread"] = "last"
    origin: Origin = "own"


class Verdict(Record, frozen=True, kw_only=True):
    """The conclusion of a verifier about a trajectory."""

    label: VerdictLabel
    verifier: str
    version: str = "1"
    score: float | None = None  # 0 to 1, higher is better
    evidence: Json = None
    cost_usd: float | None = None
    decided_ns: int = 0
    origin: Origin = "own"


class Trajectory(Record, frozen=True, kw_only=True):
    """One attempt at one task, from an input to the final answer, failure or abandonment."""

    id: str
    agent: str
    status: TrajectoryStatus
    thread_id: str | None = None
    user: str | None = None
    task_id: str | None = None  # given, or the hash of the normalised conversation
    attempt: int = 1
    source: str = "production"  # production, rollout, evaluation, demonstration, teacher
    origin: Origin = "own"  # "received" if all its spans were received
    environment: str | None = None
    mode: Literal["exploit", "explore"] = "exploit"
    started_ns: int = 0
    ended_ns: int | None = None
    input: Json = None
    answer: str | None = None
    final_state: Json = None
    state_origin: Origin = "own"  # origin of final_state
    error: Failure | None = None
    policies: list[Policy] = []
    model_calls: list[ModelCall] = []
    tool_runs: list[ToolRun] = []
    memory: list[ToolRun] = []  # reads and writes of a memory store; `operation` in their extras
    outcomes: list[Outcome] = []
    verdicts: list[Verdict] = []
    losses: dict[str, int] = {}  # what capture could not keep, by kind
    redacted: bool = False
    trace_ids: list[str] = []
    tags: list[str] = []
    metadata: dict[str, Json] = {}


class Task(Record, frozen=True, kw_only=True):
    """Something to attempt, as a function or a file that `tasks` in burnish.toml names gives it."""

    id: str
    input: Json  # what the graph is invoked with
    kind: str = "default"
    data: dict[str, Json] = {}  # all keys as given; an environment gets them
    tags: list[str] = []  # slices of the set, such as "edge"


class DatasetManifest(Record, frozen=True, kw_only=True):
    """The contents and origin of a dataset version; stored as manifest.json."""

    id: str  # "name@sha12"
    name: str
    sha256: str  # over canonical rows and recipe
    agent: str
    created_at: str  # ISO 8601, UTC; not part of the hash
    rows: dict[str, int]  # by split
    funnel: list[dict[str, Json]]  # per stage: name, kept, dropped by reason
    recipe: dict[str, Json]
    verifiers: list[dict[str, Json]]
    sources: list[dict[str, Json]]
    parents: list[str] = []
    slices: dict[str, int] = {}
    base_model: str | None = None
    extras: dict[str, Json] = {}


class AdapterManifest(Record, frozen=True, kw_only=True):
    """The properties and origin of an adapter version; stored as burnish.json."""

    id: str  # "name@sha12"
    name: str
    sha256: str  # over weights and config
    base_model: str
    base_sha256: str
    rank: int
    alpha: float
    targets: list[str]
    created_at: str
    dataset: str | None = None
    parents: list[str] = []
    plan: dict[str, Json] = {}
    metrics: dict[str, float] = {}
    forced: bool = False  # put into service despite the gate
    extras: dict[str, Json] = {}


class Rate(Record, frozen=True, kw_only=True):
    """A share of successes with its 95 % Wilson interval."""

    successes: int
    total: int
    rate: float
    low: float
    high: float


class TaskComparison(Record, frozen=True, kw_only=True):
    """Base and candidate on one task."""

    task: str
    family: str  # tasks whose results move together; its own id if it has none
    pairs: int  # attempts that both versions made and a verifier decided
    won: int
    lost: int
    solved: int  # pairs in which the base succeeded
    repeats: int = 0  # further attempts of the base, once for each success that they repeat
    lost_again: int = 0  # those of them that failed
    sha256: str = ""  # over input and data of the task
    cost: dict[str, tuple[float, float]] = {}  # measure -> mean before and after
    tags: list[str] = []  # slices of the set that the task belongs to


class PoolComparison(Record, frozen=True, kw_only=True):
    """Base and candidate on the same tasks of one pool."""

    pool: str
    before: Rate
    after: Rate
    gain: float  # after - before, -1 to 1
    ci95: tuple[float, float]  # paired interval of the gain
    won: int  # failed before, solved now
    lost: int  # solved before, failed now: regressions
    p_value: float  # exact test over families, two-sided; McNemar's if every family has one pair
    by_kind: dict[str, dict[str, Rate]] = {}  # kind -> {"before", "after"}
    by_tag: dict[str, dict[str, Rate]] = {}  # the same for the tags of tasks: slices of the set
    cost: dict[str, dict[str, float]] = {}  # measure -> {"before", "after"}: steps, tokens, latency
    tasks: list[TaskComparison] = []  # empty in reports of earlier versions
    families: int = 0
    design_effect: float = 1.0  # by how much families raise the variance of the gain


class Evaluation(Record, frozen=True, kw_only=True):
    """The comparison of a candidate adapter with the current one."""

    agent: str
    base_model: str
    before: str | None  # adapter version; None is the base model
    after: str | None
    before_prompt: str | None = None  # prompt version; None is the agent's own prompts
    after_prompt: str | None = None
    pools: dict[str, PoolComparison]
    trajectories: int
    unknown: dict[str, int] = {}
    seconds: float = 0.0
    extras: dict[str, Json] = {}


class Decision(Record, frozen=True, kw_only=True):
    """The decision of the gate, with its reasons."""

    decision: Literal["promote", "reject", "inconclusive"]
    reasons: list[str]
    rules: dict[str, Json] = {}
    facts: dict[str, Json] = {}  # gain, bound, level, number of this decision on the set


class RetrainReport(Record, frozen=True, kw_only=True):
    """The result of one call of retrain, stage by stage."""

    agent: str
    run_id: str
    path: str
    status: Literal["canary", "rejected", "inconclusive", "stopped", "unchanged", "planned"]
    dataset: str | None = None
    adapter: str | None = None
    evaluation: Evaluation | None = None
    decision: Decision | None = None
    canary: dict[str, Json] | None = None
    reasons: list[str] = []
    stages: list[dict[str, Json]] = []  # name, status, seconds, reused
    seconds: float = 0.0
