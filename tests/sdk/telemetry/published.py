"""The published forms of content on GenAI spans, written down from their field definitions.

Source: https://github.com/open-telemetry/semantic-conventions-genai, folder model/gen-ai, files
gen-ai-input-messages.json, gen-ai-output-messages.json, gen-ai-system-instructions.json,
gen-ai-tool-definitions.json, gen-ai-retrieval-documents.json and gen-ai-memory-records.json as
of autumn 2026.

There a part may have any type, so a text without its content would pass as a part of an unknown
kind. Here a part whose type is known must have that type's fields.
"""

from __future__ import annotations

from jsonschema import Draft7Validator, Draft202012Validator

TEXT = {"type": "string"}
MAYBE_TEXT = {"type": ["string", "null"]}
OBJECT = {"type": "object", "properties": {"type": TEXT}, "required": ["type"]}
MEDIA = {"mime_type": MAYBE_TEXT, "modality": TEXT, "transcript": MAYBE_TEXT}

PARTS = {
    "text": ({"content": TEXT}, ["content"]),
    "reasoning": ({"content": TEXT}, ["content"]),
    "tool_call": ({"id": MAYBE_TEXT, "name": TEXT}, ["name"]),
    "tool_call_response": ({"id": MAYBE_TEXT}, ["response"]),
    "server_tool_call": (
        {"id": MAYBE_TEXT, "name": TEXT, "server_tool_call": OBJECT},
        ["name", "server_tool_call"],
    ),
    "server_tool_call_response": (
        {"id": MAYBE_TEXT, "server_tool_call_response": OBJECT},
        ["server_tool_call_response"],
    ),
    "blob": ({**MEDIA, "content": TEXT}, ["modality", "content"]),
    "file": ({**MEDIA, "file_id": TEXT}, ["modality", "file_id"]),
    "uri": ({**MEDIA, "uri": {**TEXT, "not": {"pattern": "^data:"}}}, ["modality", "uri"]),
    "compaction": ({"id": MAYBE_TEXT, "content": MAYBE_TEXT}, []),
}


def _known(kind: str, properties: dict, required: list[str]) -> dict:
    return {
        "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
        "then": {"properties": properties, "required": required},
    }


PART = {**OBJECT, "allOf": [_known(kind, *fields) for kind, fields in PARTS.items()]}
MESSAGE = {
    "type": "object",
    "properties": {
        "role": TEXT,
        "parts": {"type": "array", "items": PART},
        "name": MAYBE_TEXT,
        "finish_reason": MAYBE_TEXT,
    },
    "required": ["role", "parts"],
}
TOOL = {
    "type": "object",
    "properties": {"type": TEXT, "name": TEXT},
    "required": ["type", "name"],
    **_known(
        "function", {"description": MAYBE_TEXT, "parameters": {"type": ["object", "null"]}}, []
    ),
}
DOCUMENT = {
    "type": "object",
    "properties": {"id": TEXT, "score": {"type": ["number", "null"]}},
}
RECORD = {
    "type": "object",
    "properties": {"id": TEXT, "score": {"type": "number"}, "metadata": {"type": "object"}},
    "required": ["content"],
}
ITEMS = {
    "gen_ai.input.messages": MESSAGE,
    "gen_ai.output.messages": MESSAGE,
    "gen_ai.system_instructions": PART,
    "gen_ai.tool.definitions": TOOL,
    "gen_ai.retrieval.documents": DOCUMENT,
    "gen_ai.memory.records": RECORD,
}


def problems(attribute: str, value: object) -> list[str]:
    """Return the deviations of an attribute's value from the published form."""
    schema = {"type": "array", "items": ITEMS[attribute]}
    found = [error.message for error in Draft202012Validator(schema).iter_errors(value)]
    if attribute == "gen_ai.tool.definitions" and not found:
        for tool in value:
            if tool["type"] == "function" and isinstance(tool.get("parameters"), dict):
                errors = Draft7Validator(Draft7Validator.META_SCHEMA).iter_errors(
                    tool["parameters"]
                )
                found += [error.message for error in errors]
    return found
