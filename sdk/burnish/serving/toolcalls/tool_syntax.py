"""List the syntaxes of tool calls, and find the syntax of a model.

Each `ToolSyntax` has the marks that open a call, with the reader of what follows
(`burnish.serving.toolcalls.call_readers`), the marks that carry no content, and the marks of a
thought. `detect_syntax` finds the syntax of a model from its chat template. `reply_parser` splits a
reply into text, thoughts and calls.
"""
# ruff: noqa: RUF001 - marks of DeepSeek's template

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from burnish.records import Json
from burnish.serving.toolcalls.call_readers import (
    Reader,
    Schemas,
    read_atem,
    read_bare_json,
    read_cohere,
    read_deepseek,
    read_function_tag,
    read_harmony,
    read_header,
    read_mistral,
    read_python_list,
    read_quoted,
    read_tool_call_tag,
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ToolSyntax:
    """One syntax of tool calls."""

    name: str
    openers: Mapping[str, Reader]
    """Marks that begin a call, each with the reader of what follows."""
    at_start: Reader | None = None
    """Reader of a reply that may be a call from its first character on."""
    start: str = ""
    """Characters that such a reply begins with."""
    noise: tuple[str, ...] = ()
    """Marks without content."""
    thoughts: tuple[tuple[str, str], ...] = (("<think>", "</think>"),)
    """Marks around a thought."""
    inner_thoughts: bool = False
    """Whether a thought may occur anywhere, and not only at the start."""
    id_length: int | None = None
    """Length of a call's id, if the template requires one."""


_GEMMA4 = functools.partial(read_quoted, "<|tool_call>", "<tool_call|>", '<|"|>')
_FUNCTION_GEMMA = functools.partial(
    read_quoted, "<start_function_call>", "<end_function_call>", "<escape>"
)
_LFM2 = functools.partial(read_python_list, "<|tool_call_start|>", "<|tool_call_end|>")
_TOOL_CODE = functools.partial(read_python_list, "```tool_code", "```")
_DEEPSEEK_NOISE = ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")

SYNTAXES: dict[str, ToolSyntax] = {
    one.name: one
    for one in (
        ToolSyntax(name="hermes", openers={"<tool_call>": read_tool_call_tag}),
        ToolSyntax(
            name="xml", openers={"<tool_call>": read_tool_call_tag, "<function=": read_function_tag}
        ),
        ToolSyntax(
            name="glm",
            openers={"<tool_call>": read_tool_call_tag},
            noise=("<|observation|>", "<|user|>"),
        ),
        ToolSyntax(
            name="llama3",
            openers={"<|python_tag|>": read_bare_json},
            at_start=read_bare_json,
            start="{",
        ),
        ToolSyntax(
            name="mistral",
            openers={"[TOOL_CALLS]": read_mistral},
            thoughts=(("<think>", "</think>"), ("[THINK]", "[/THINK]")),
            id_length=9,
        ),
        ToolSyntax(
            name="deepseek", openers={"<｜tool▁call▁begin｜>": read_deepseek}, noise=_DEEPSEEK_NOISE
        ),
        ToolSyntax(
            name="harmony",
            openers={
                "<|channel|>commentary to=": read_harmony,
                "<|channel|>analysis to=": read_harmony,
                "<|start|>assistant to=": read_harmony,
                " to=functions.": read_harmony,
            },
            noise=(
                "<|channel|>final<|message|>",
                "<|channel|>commentary<|message|>",
                "<|start|>assistant",
                "<|end|>",
                "<|call|>",
                "<|return|>",
            ),
            thoughts=(("<|channel|>analysis<|message|>", "<|end|>"),),
            inner_thoughts=True,
        ),
        ToolSyntax(
            name="gemma",
            openers={
                "<|tool_call>": _GEMMA4,
                "<start_function_call>": _FUNCTION_GEMMA,
                "```tool_code": _TOOL_CODE,
            },
            noise=("<|tool_response>", "<turn|>"),
            thoughts=(("<|channel>thought\n", "<channel|>"),),
            inner_thoughts=True,
        ),
        ToolSyntax(name="lfm2", openers={"<|tool_call_start|>": _LFM2}),
        ToolSyntax(
            name="cohere",
            openers={"<|START_ACTION|>": read_cohere},
            noise=(
                "<|START_RESPONSE|>",
                "<|END_RESPONSE|>",
                "<|START_TEXT|>",
                "<|END_TEXT|>",
                "<|END_ACTION|>",
            ),
            thoughts=(("<|START_THINKING|>", "<|END_THINKING|>"),),
        ),
        ToolSyntax(
            name="atem",
            openers={
                "<atem:function_calls>": read_atem,
                " to=": read_header,
                "<|start|>assistant to=": read_header,
            },
            noise=("<|eom|>", "<|eot|>"),
            thoughts=(
                (" to=self<|message|>", "<|eom|>"),
                ("<|start|>assistant to=self<|message|>", "<|eom|>"),
            ),
            inner_thoughts=True,
        ),
    )
}
# The syntaxes for an unknown model: every syntax whose marks are unique.
ANY = ToolSyntax(
    name="any",
    openers={
        mark: reader
        for name, syntax in SYNTAXES.items()
        if name not in ("harmony", "atem", "xml")
        for mark, reader in syntax.openers.items()
    },
    at_start=read_bare_json,
    start="{",
    noise=_DEEPSEEK_NOISE,
)

# Marks of a chat template, the most specific first, and the syntax that they indicate.
_MARKS = (
    ("<atem:function_calls>", "atem"),
    ("<|tool_call>call:", "gemma"),
    ("<start_function_call>", "gemma"),
    ("<｜tool▁call▁begin｜>", "deepseek"),
    ("[TOOL_CALLS]", "mistral"),
    ("<|tool_call_start|>", "lfm2"),
    ("<|START_ACTION|>", "cohere"),
    ("<|START_RESPONSE|>", "cohere"),
    ("<|channel|>commentary", "harmony"),
    ("<function=", "xml"),
    ("<arg_key>", "glm"),
    ("<tool_call>", "hermes"),
    ("<|python_tag|>", "llama3"),
    ('"parameters": ', "llama3"),
)
_BY_TYPE = {"gpt_oss": "harmony", "gemma3": "gemma", "gemma3_text": "gemma", "gemma2": "gemma"}


def syntax_of(name: str | None) -> ToolSyntax:
    """Return the syntax of a name; without a name, every syntax with distinctive marks."""
    return SYNTAXES.get(name or "", ANY)


def detect_syntax(template: str, model_type: str = "") -> str | None:
    """Detect the tool call syntax of a model from its chat template, else from its type.

    Returns None if it is unknown.
    """
    found = next((name for mark, name in _MARKS if mark in template), None)
    return found or _BY_TYPE.get(model_type)


def tool_schemas(tools: object) -> Schemas:
    """Collect the properties of offered tools in OpenAI's form, by tool name."""
    schemas: dict[str, Mapping[str, Json]] = {}
    for tool in tools if isinstance(tools, list | tuple) else ():
        function = tool.get("function", tool) if isinstance(tool, dict) else {}
        parameters = function.get("parameters") if isinstance(function, dict) else None
        properties = parameters.get("properties") if isinstance(parameters, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            schemas[function["name"]] = properties if isinstance(properties, dict) else {}
    return schemas
