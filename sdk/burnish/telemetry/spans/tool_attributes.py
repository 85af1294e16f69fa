"""Map tool, retriever and memory events to attributes of the GenAI conventions, and back.

`describe_tool` fills a span from events; `read_arguments` and `read_result` read a span.
"""

from __future__ import annotations

from burnish.journal import events as e
from burnish.records import Json, Span, ToolRun
from burnish.telemetry import semconv as s
from burnish.telemetry.spans.attributes import (
    Attributes,
    Blobs,
    count_missing,
    read_extras,
    read_run_id,
    set_contents,
    set_present,
)

_TOOL, _RETRIEVAL, _SEARCH = "execute_tool", "retrieval", "search_memory"


def describe_tool(
    attributes: Attributes,
    start: e.ToolStarted,
    blobs: Blobs,
    end: e.ToolEnded | None,
    end_blobs: Blobs,
) -> str:
    """Fill the attributes of a tool span and return the span's name."""
    attributes[s.OPERATION] = start.operation
    given: Attributes = {}
    set_contents(given, blobs, {s.INPUT: start.arguments})
    if s.LOSSES in given:
        count_missing(attributes)
    extras = read_run_id(start) | read_extras(attributes, blobs, start.extras)
    got: Attributes = {}
    if end is not None:
        if end.is_error:
            attributes[s.IS_ERROR] = True
        set_contents(got, end_blobs, {s.OUTPUT: end.result})
        if s.LOSSES in got:
            count_missing(attributes)
        value = got.pop(s.OUTPUT, None)
        if isinstance(value, dict):
            extras.update((key, item) for key, item in value.items() if key != "response")
            got[s.OUTPUT] = value.get("response")
    if extras:
        attributes[s.EXTRAS] = extras
    set_present(attributes, {s.TOOL_NAME: start.name})
    _DESCRIBE.get(start.operation, _set_memory_attributes)(attributes, start, given, got)
    return f"{start.operation} {start.name}"


def _set_tool_attributes(
    attributes: Attributes, start: e.ToolStarted, given: Attributes, got: Attributes
) -> None:
    set_present(
        attributes,
        {
            s.TOOL_TYPE: "function",
            s.TOOL_CALL_ID: start.call_id,
            s.RAW_ARGUMENTS: start.raw_arguments,
        },
    )
    if s.INPUT in given:
        attributes[s.TOOL_ARGUMENTS] = given[s.INPUT]
    if s.OUTPUT in got:
        attributes[s.TOOL_RESULT] = got[s.OUTPUT]


def _set_retrieval_attributes(
    attributes: Attributes, start: e.ToolStarted, given: Attributes, got: Attributes
) -> None:
    attributes.update(given)
    query = _read_argument(given, "query")
    set_present(attributes, {s.RETRIEVAL_QUERY: query if isinstance(query, str) else None})
    _set_result(attributes, got, s.RETRIEVAL_DOCUMENTS)


def _set_memory_attributes(
    attributes: Attributes, start: e.ToolStarted, given: Attributes, got: Attributes
) -> None:
    attributes.update(given)
    namespace, key, query = (_read_argument(given, name) for name in ("namespace", "key", "query"))
    set_present(
        attributes,
        {
            s.MEMORY_STORE: "/".join(map(str, namespace)) if isinstance(namespace, list) else None,
            s.MEMORY_RECORD: key if isinstance(key, str) else None,
            s.MEMORY_QUERY: query if isinstance(query, str) else None,
        },
    )
    if start.operation == _SEARCH:
        _set_result(attributes, got, s.MEMORY_RECORDS)
        records = attributes.get(s.MEMORY_RECORDS)
        attributes[s.MEMORY_COUNT] = len(records) if isinstance(records, list) else 0
        return
    attributes.update(got)
    attributes[s.MEMORY_COUNT] = 1
    value = _read_argument(given, "value")
    if value is not None:
        attributes[s.MEMORY_RECORDS] = [{"id": str(key), "content": value}]


_DESCRIBE = {_TOOL: _set_tool_attributes, _RETRIEVAL: _set_retrieval_attributes}


def _set_result(attributes: Attributes, got: Attributes, name: str) -> None:
    """Set the result under the conventions' name if it is a list, else under our own."""
    value = got.get(s.OUTPUT)
    if isinstance(value, list):
        attributes[name] = value
    else:
        attributes.update(got)


def _read_argument(given: Attributes, name: str) -> Json:
    value = given.get(s.INPUT)
    return value.get(name) if isinstance(value, dict) else None


def read_arguments(span: Span) -> Json:
    """Return the arguments of a tool run, or the query of a retrieval or memory access."""
    get = span.attributes.get
    if s.INPUT in span.attributes or get(s.OPERATION) in (None, _TOOL):
        return get(s.TOOL_ARGUMENTS, get(s.INPUT))
    asked = {"query": get(s.RETRIEVAL_QUERY) or get(s.MEMORY_QUERY), "key": get(s.MEMORY_RECORD)}
    found = {name: value for name, value in asked.items() if value is not None}
    return found or get(s.TOOL_ARGUMENTS)


def read_result(span: Span) -> Json:
    """Return the result of a tool run, a retrieval or a memory access."""
    get = span.attributes.get
    name = {_RETRIEVAL: s.RETRIEVAL_DOCUMENTS, _SEARCH: s.MEMORY_RECORDS}.get(
        get(s.OPERATION) or ""
    )
    if name is not None and name in span.attributes:
        return get(name)
    return get(s.TOOL_RESULT, get(s.OUTPUT))


def read_operation(span: Span) -> dict[str, Json]:
    """Return the operation as an extra field, or nothing for an ordinary tool run."""
    operation = span.attributes.get(s.OPERATION)
    return {} if operation in (None, _TOOL) else {"operation": operation}


def is_memory_access(run: ToolRun) -> bool:
    """Return True if the run is a memory access."""
    return str(run.extras.get("operation", "")).endswith("_memory")
