"""Read a span as a model call or a tool run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.records import Failure, Json, ModelCall, Policy, Span, Tool, ToolRun, Usage
from burnish.telemetry import semconv as s
from burnish.telemetry.spans import tool_attributes
from burnish.trajectories import identity

_REQUEST_FIELDS = ("tool_choice", "response_format", "sampling")


class CallReader:
    """Reads calls from spans; a tool list that calls share is hashed once."""

    def __init__(self) -> None:
        self._hashed: dict[int, tuple[list[Tool], str | None]] = {}

    def read_model_call(self, span: Span) -> ModelCall:
        """Return the model call of a span of kind "model"."""
        get = span.attributes.get
        tools = _list_or_empty(get(s.TOOL_DEFINITIONS))
        messages = _read_messages(span)
        replies = _list_or_empty(get(s.OUTPUT_MESSAGES))
        request = get(s.REQUEST)
        request = request if isinstance(request, dict) else {"sampling": _read_sampling(span)}
        finish = _list_or_empty(get(s.FINISH_REASONS))
        return ModelCall(
            span_id=span.span_id,
            parent_id=span.parent_id,
            messages=messages,
            tools=tools,
            reply=replies[0] if replies else None,
            tool_choice=request.get("tool_choice"),
            response_format=request.get("response_format"),
            sampling=request.get("sampling") or {},
            finish_reason=finish[0] if finish else None,
            usage=_read_usage(span),
            prompt_token_ids=get(s.PROMPT_TOKEN_IDS),
            token_ids=get(s.TOKEN_IDS),
            logprobs=get(s.LOGPROBS),
            policy=self._read_policy(span, messages, tools),
            response_id=get(s.RESPONSE_ID),
            error=read_failure(span),
            node=get(s.NODE),
            step=get(s.STEP),
            speaker=get(s.SPEAKER),
            attempt=get(s.ATTEMPT, 1),
            sampled=get(s.SAMPLED, True),
            started_ns=span.start_ns,
            ended_ns=span.end_ns,
            extras=_collect_extras(span, request),
        )

    def read_tool_run(self, span: Span) -> ToolRun:
        """Return the tool run of a span of kind "tool"."""
        get = span.attributes.get
        error = read_failure(span)
        return ToolRun(
            span_id=span.span_id,
            parent_id=span.parent_id,
            name=get(s.TOOL_NAME) or span.name.partition(" ")[2] or span.name,
            call_id=get(s.TOOL_CALL_ID),
            arguments=tool_attributes.read_arguments(span),
            raw_arguments=get(s.RAW_ARGUMENTS),
            result=tool_attributes.read_result(span),
            is_error=bool(get(s.IS_ERROR)) or error is not None,
            error=error,
            node=get(s.NODE),
            attempt=get(s.ATTEMPT, 1),
            started_ns=span.start_ns,
            ended_ns=span.end_ns,
            extras={**_collect_extras(span, {}), **tool_attributes.read_operation(span)},
        )

    def _read_policy(self, span: Span, messages: list[Any], tools: list[Tool]) -> Policy:
        get = span.attributes.get
        known = self._hashed.get(id(tools))
        if known is None or known[0] is not tools:
            known = self._hashed[id(tools)] = (tools, identity.hash_tools(tools))
        return Policy(
            model=get(s.REQUEST_MODEL) or get(s.RESPONSE_MODEL),
            adapter=get(s.ADAPTER),
            arm=get(s.ARM),
            rollout=get(s.ROLLOUT),
            share=get(s.SHARE),
            prompt=get(s.PROMPT_VERSION),
            prompt_hash=identity.hash_prompt(messages),
            tools_hash=known[1],
        )


def read_failure(span: Span) -> Failure | None:
    """Return the error of a span; control flow is not an error."""
    if span.status != "error":
        return None
    get = span.attributes.get
    return Failure(type=get(s.ERROR_TYPE) or "Error", message=get(s.ERROR_MESSAGE) or "")


def _list_or_empty(value: Json) -> list[Any]:
    return value if isinstance(value, list) else []


def _read_messages(span: Span) -> list[Any]:
    """Return the request's messages, with system instructions first unless they begin with some."""
    messages = _list_or_empty(span.attributes.get(s.INPUT_MESSAGES))
    system = _list_or_empty(span.attributes.get(s.SYSTEM_INSTRUCTIONS))
    if not system or (messages and messages[0].get("role") == "system"):
        return messages
    return [{"role": "system", "parts": system}, *messages]


def _read_usage(span: Span) -> Usage | None:
    if _USAGE_ATTRIBUTES.isdisjoint(span.attributes):
        return None
    counts = {field: span.attributes.get(name) for field, name in s.USAGE.items()}
    if counts["cache_write_tokens"] is None:
        counts["cache_write_tokens"] = span.attributes.get(s.CACHE_CREATION)
    if all(count is None for count in counts.values()):
        return None
    return Usage(**counts)


def _read_sampling(span: Span) -> dict[str, Json]:
    """Read sampling settings from another tool's attributes."""
    if _SAMPLING_ATTRIBUTES.isdisjoint(span.attributes):
        return {}
    found = {key: span.attributes.get(name) for key, name in s.SAMPLING.items()}
    return {key: value for key, value in found.items() if value is not None}


def _collect_extras(span: Span, request: Mapping[str, Json]) -> dict[str, Json]:
    """Collect values that have no field of their own."""
    get = span.attributes.get
    told = get(s.EXTRAS)
    extras = dict(told) if isinstance(told, dict) else {}
    for name, key in () if _EXTRA_NAMES.isdisjoint(span.attributes) else _EXTRA_ATTRIBUTES:
        value = get(key)
        if value is not None:
            extras[name] = value
    more = {key: value for key, value in request.items() if key not in _REQUEST_FIELDS}
    if more:
        extras["request"] = more
    return extras


_EXTRA_ATTRIBUTES = (
    ("provider", s.PROVIDER),
    ("response_model", s.RESPONSE_MODEL),
    ("first_token_s", s.FIRST_CHUNK),
    ("namespace", s.NAMESPACE),
    ("bubbled", s.BUBBLED),
    ("cut", s.CUT),
    ("redacted", s.REDACTED),
    ("unfinished", s.UNFINISHED),
)
# Most spans have few of these attributes: one look for any of them is cheaper than one for each.
_EXTRA_NAMES = frozenset(key for _, key in _EXTRA_ATTRIBUTES)
_SAMPLING_ATTRIBUTES = frozenset(s.SAMPLING.values())
_USAGE_ATTRIBUTES = frozenset((*s.USAGE.values(), s.CACHE_CREATION))
