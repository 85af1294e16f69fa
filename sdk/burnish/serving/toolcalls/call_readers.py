"""Read tool calls, with one reader per syntax of `burnish.serving.toolcalls.tool_syntax`.

A reader receives the text from an opening mark on, whether the text is complete, and the schemas of
the offered tools. It decides only what more text cannot change, so that a stream gives the same
result as the whole text: a mark within a string of a call never ends the call.
"""
# ruff: noqa: RUF001, RUF002 - marks of DeepSeek's template

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping

from burnish.records import Json
from burnish.serving.toolcalls.call_values import (
    ParsedCall,
    json_end,
    make_call,
    malformed,
    read_json,
    read_plain_value,
    read_python_calls,
    read_quoted_object,
)

Schemas = Mapping[str, Mapping[str, Json]]
"""Properties of each offered tool, by its name."""


@dataclasses.dataclass(frozen=True)
class Block:
    """A reader's result up to `end`: calls, text, or a header without content."""

    end: int
    calls: tuple[ParsedCall, ...] = ()
    text: bool = False


Reader = Callable[[str, bool, Schemas], Block | None]
"""Reads from an opening mark on; None means that more text is needed, never for complete text."""


def read_tool_call_tag(buffer: str, last: bool, schemas: Schemas) -> Block | None:
    """Read `<tool_call>`: JSON (Hermes, Qwen), XML (Qwen 3.5, Nemotron) or keys and values (GLM)."""
    start = len("<tool_call>")
    body = buffer[start:].lstrip()
    if not body and not last:
        return None
    if body.startswith(("{", "[")) or not body:
        return _json_tag(buffer, len(buffer) - len(body), last)
    if body.startswith("<function="):
        return read_function_tag(buffer, last, schemas)
    if not last and "<function=".startswith(body):
        return None
    return _glm_tag(buffer, last, schemas)


def _json_tag(buffer: str, start: int, last: bool) -> Block | None:
    close = "</tool_call>"
    end, stopped = json_end(buffer, start, close)
    if end is None:
        return _cut_off(buffer, close, last, "no JSON: it is cut off")
    if stopped:
        return Block(end, (malformed(buffer[:end], "no JSON: it ends early"),))
    rest = buffer[end:]
    after = rest.lstrip()
    if after.startswith(close):
        return Block(
            end + len(rest) - len(after) + len(close), _calls_of(buffer, start, end, close)
        )
    if close.startswith(after):  # white space, or a part of the mark
        return Block(len(buffer), _calls_of(buffer, start, end, "")) if last else None
    return _cut_off(buffer, close, last, "no JSON: extra text behind it", at_once=True)


def _calls_of(buffer: str, start: int, end: int, close: str) -> tuple[ParsedCall, ...]:
    raw = buffer[start:end]
    block = buffer[:end] + close
    value, error = read_json(raw)
    if error is not None:
        return (malformed(block, f"no JSON: {error}"),)
    values = value if isinstance(value, list) and value else [value]
    return tuple(make_call(one, block) for one in values)


def _cut_off(
    buffer: str, close: str, last: bool, error: str, *, at_once: bool = False
) -> Block | None:
    """Return an unreadable block: malformed up to its closing mark, or to the end of the text."""
    if not last and not at_once:
        return None
    end = buffer.find(close)
    if end < 0:
        return Block(len(buffer), (malformed(buffer, error),)) if last else None
    end += len(close)
    return Block(end, (malformed(buffer[:end], error),))


_FUNCTION_END = re.compile(r"</function>\s*</tool_call>")
_FUNCTION = re.compile(r"<function=([^>\n]+)>(.*)</function>\s*(?:</tool_call>)?\s*\Z", re.DOTALL)
_PARAMETER = re.compile(
    r"<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>\s*(?=<parameter=|\Z)", re.DOTALL
)


def read_function_tag(buffer: str, last: bool, schemas: Schemas) -> Block | None:
    """Read `<function=NAME><parameter=KEY>VALUE</parameter></function>`, in `<tool_call>` or bare."""
    wrapped = buffer.startswith("<tool_call>")
    found = (_FUNCTION_END if wrapped else re.compile("</function>")).search(buffer)
    if found is None:
        if last and wrapped and buffer.rstrip().endswith("</function>"):
            return Block(len(buffer), (_xml_call(buffer, buffer, schemas),))
        return _cut_off(buffer, "</tool_call>", last, "the function is cut off")
    block = buffer[: found.end()]
    return Block(found.end(), (_xml_call(block, block, schemas),))


def _xml_call(text: str, block: str, schemas: Schemas) -> ParsedCall:
    match = _FUNCTION.search(text)
    if match is None:
        return malformed(block, "no function")
    name, body = match.group(1).strip(), match.group(2)
    arguments: dict[str, Json] = {}
    at = len(body) - len(body.lstrip())
    while at < len(body):
        parameter = _PARAMETER.match(body, at)
        if parameter is None:
            return malformed(block, "a parameter is cut off", name)
        key = parameter.group(1).strip()
        arguments[key] = read_plain_value(parameter.group(2), schemas.get(name, {}).get(key))
        at = parameter.end()
    return make_call({"name": name, "arguments": arguments}, block)


_GLM_PAIR = re.compile(
    r"\s*<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>\s*(?=<arg_key>|\Z)", re.DOTALL
)
_GLM_END = re.compile(r"</arg_value>\s*</tool_call>")


def _glm_tag(buffer: str, last: bool, schemas: Schemas) -> Block | None:
    """Read `<tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value></tool_call>`."""
    close = buffer.find("</tool_call>")
    keyed = buffer.find("<arg_key>")
    if keyed < 0 or (0 <= close < keyed):
        if close < 0:
            return _cut_off(buffer, "</tool_call>", last, "no JSON: neither JSON nor a function")
        end = close + len("</tool_call>")
        name = buffer[len("<tool_call>") : close].strip()
        call = (
            make_call({"name": name}, buffer[:end])
            if name in schemas
            else malformed(buffer[:end], "no JSON: neither JSON nor a function")
        )
        return Block(end, (call,))
    found = _GLM_END.search(buffer)
    if found is None:
        return _cut_off(buffer, "</tool_call>", last, "an argument is cut off")
    block = buffer[: found.end()]
    name = block[len("<tool_call>") : keyed].strip()
    body = block[keyed : -len("</tool_call>")].rstrip()
    arguments: dict[str, Json] = {}
    at = 0
    while at < len(body):
        pair = _GLM_PAIR.match(body, at)
        if pair is None:
            return Block(found.end(), (malformed(block, "an argument is cut off", name),))
        key = pair.group(1).strip()
        arguments[key] = read_plain_value(pair.group(2), schemas.get(name, {}).get(key))
        at = pair.end()
    return Block(found.end(), (make_call({"name": name, "arguments": arguments}, block),))


_MISTRAL_NAME = re.compile(
    r"\s*([A-Za-z0-9_.\-]+)\s*(?:\[CALL_ID\]\s*([A-Za-z0-9_\-]+)\s*)?(?:\[ARGS\])?\s*(?=\{)"
)


def read_mistral(buffer: str, last: bool, schemas: Schemas) -> Block | None:
    """Read `[TOOL_CALLS]` and a JSON list of calls, or `NAME[ARGS]{...}`, the newer form."""
    del schemas
    start = len("[TOOL_CALLS]")
    body = buffer[start:].lstrip()
    if not body and not last:
        return None
    name = identity = None
    at = len(buffer) - len(body)
    if not body.startswith(("[", "{")):
        match = _MISTRAL_NAME.match(buffer, start)
        if match is None:
            return _keep_unreadable(buffer, last)
        name, identity, at = match.group(1), match.group(2), match.end()
    end, _ = json_end(buffer, at)
    if end is None:
        return _keep_unreadable(buffer, last)
    block = buffer[:end]
    value, error = read_json(buffer[at:end])
    if error is not None:
        return Block(end, (malformed(block, f"no JSON: {error}", name),))
    if name is not None:
        value = {"name": name, "arguments": value, "id": identity}
    values = value if isinstance(value, list) else [value]
    if not values:
        return Block(end, (malformed(block, "an empty list of calls"),))
    return Block(end, tuple(make_call(one, block, id_length=9) for one in values))


def _keep_unreadable(buffer: str, last: bool) -> Block | None:
    return Block(len(buffer), (malformed(buffer, "no JSON: it is cut off"),)) if last else None


_LIKE_A_CALL = re.compile(
    r'\s*\{\s*("type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"(?:[^"\\]|\\.)*"\s*,\s*"(parameters|arguments)"'
)
_CALL_KEYS = frozenset({"name", "parameters", "arguments", "type", "id"})


def read_bare_json(buffer: str, last: bool, schemas: Schemas) -> Block | None:
    """Read Llama 3's `{"name": ..., "parameters": {...}}`, or several of them split by `;`."""
    del schemas
    marked = buffer.startswith("<|python_tag|>")
    skipped = len("<|python_tag|>") if marked else 0
    body = buffer[skipped:].lstrip()
    if not body:
        return Block(len(buffer)) if last else None
    at = len(buffer) - len(body)
    if not body.startswith("{"):
        return _python_tag(buffer, last)
    called = marked or _LIKE_A_CALL.match(buffer) is not None
    end, _ = json_end(buffer, at)
    if end is None:
        if not last:
            return None
        cut = malformed(buffer, "no JSON: it is cut off")
        return Block(len(buffer), (cut,)) if called else Block(len(buffer), text=True)
    value, error = read_json(buffer[at:end])
    if error is not None and called:
        return Block(end, (malformed(buffer[:end], f"no JSON: {error}"),))
    if error is not None or not (marked or _is_call(value)):
        return Block(end, text=True)
    return Block(end, (make_call(value, buffer[:end]),))


def _is_call(value: Json) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("name"), str)
        and value.keys() <= _CALL_KEYS
        and ("parameters" in value or "arguments" in value)
    )


_BUILT_IN = re.compile(r"([A-Za-z_]\w*)\.call\((.*)\)\s*\Z", re.DOTALL)


def _python_tag(buffer: str, last: bool) -> Block | None:
    """Read `<|python_tag|>NAME.call(KEY=VALUE)`, which Llama 3 writes for its built-in tools."""
    if not last:
        return None
    match = _BUILT_IN.match(buffer[len("<|python_tag|>") :].strip())
    if match is not None:
        calls = read_python_calls(f"[{match.group(1)}({match.group(2)})]", buffer)
        return Block(len(buffer), calls)
    return Block(
        len(buffer), (malformed(buffer, "code for an interpreter, and no call of a tool"),)
    )


def read_deepseek(buffer: str, last: bool, schemas: Schemas) -> Block | None:
    """Read DeepSeek's `<｜tool▁call▁begin｜>` blocks.

    The older form is `function<｜tool▁sep｜>NAME` with fenced JSON, the newer
    `NAME<｜tool▁sep｜>{...}`.
    """
    del schemas
    close, split = "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"
    start = len("<｜tool▁call▁begin｜>")
    at = buffer.find(split, start)
    brace = buffer.find("{", at) if at >= 0 else -1
    if brace < 0:
        return _cut_off(buffer, close, last, "no JSON: it is cut off", at_once=close in buffer)
    left, between = buffer[start:at].strip(), buffer[at + len(split) : brace]
    name = between.replace("```json", "").replace("```", "").strip() or left
    end, _ = json_end(buffer, brace, close)
    if end is None:
        return _cut_off(buffer, close, last, "no JSON: it is cut off")
    stop = buffer.find(close, end - len(close))
    if stop < 0 and not last:
        return None
    whole = len(buffer) if stop < 0 else stop + len(close)
    block = buffer[:whole]
    value, error = read_json(buffer[brace:end])
    if error is not None:
        return Block(whole, (malformed(block, f"no JSON: {error}", name),))
    return Block(whole, (make_call({"name": name, "arguments": value}, block),))


_TO = re.compile(r"to=(?:functions\.)?([A-Za-z0-9_.\-]+)")


def read_harmony(buffer: str, last: bool, schemas: Schemas) -> Block | None:
    """Read gpt-oss's `<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>{...}`."""
    del schemas
    at = buffer.find("<|message|>")
    if at < 0:
        return _keep_unreadable(buffer, last)
    name = _TO.search(buffer, 0, at)
    if name is None:  # another channel: its header is not content
        return Block(at + len("<|message|>"), ())
    start = at + len("<|message|>")
    end, _ = json_end(buffer, start)
    if end is None:
        marks = [buffer.find(mark, start) for mark in ("<|call|>", "<|end|>")]
        stop = min((m for m in marks if m >= 0), default=-1)
        if not last:
            return None
        whole = len(buffer) if stop < 0 else stop
        return Block(whole, (malformed(buffer[:whole], "no JSON: it is cut off", name.group(1)),))
    value, error = read_json(buffer[start:end])
    if error is not None:
        return Block(end, (malformed(buffer[:end], f"no JSON: {error}", name.group(1)),))
    return Block(end, (make_call({"name": name.group(1), "arguments": value}, buffer[:end]),))


def read_quoted(
    opener: str, close: str, quote: str, buffer: str, last: bool, _: Schemas
) -> Block | None:
    """Read Gemma's `call:NAME{key:value}`, whose strings have special quotation marks."""
    found = re.compile(
        rf"{re.escape(quote)}.*?{re.escape(quote)}|{re.escape(close)}", re.DOTALL
    ).finditer(buffer, len(opener))
    end = next((m.end() for m in found if m.group() == close), None)
    if end is None:
        return _cut_off(buffer, close, last, "the call is cut off")
    body = buffer[len(opener) : end - len(close)].strip()
    match = re.match(r"call:([^{\s]+)\s*(?=\{)", body)
    if match is None:
        return Block(end, (malformed(buffer[:end], "no name of a tool"),))
    value, error = read_quoted_object(body[match.end() :], quote)
    if error is not None:
        return Block(end, (malformed(buffer[:end], error, match.group(1)),))
    return Block(end, (make_call({"name": match.group(1), "arguments": value}, buffer[:end]),))


def read_python_list(opener: str, close: str, buffer: str, last: bool, _: Schemas) -> Block | None:
    """Read calls in Python syntax, `[f(a="x"), g(b=1)]`, between two marks."""
    strings = re.compile(rf"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|{re.escape(close)}", re.DOTALL)
    end = next((m.end() for m in strings.finditer(buffer, len(opener)) if m.group() == close), None)
    if end is None:
        return _cut_off(buffer, close, last, "the call is cut off")
    body = buffer[len(opener) : end - len(close)].strip()
    return Block(end, read_python_calls(body, buffer[:end]))


def read_cohere(buffer: str, last: bool, schemas: Schemas) -> Block | None:
    """Read `<|START_ACTION|>[{"tool_call_id", "tool_name", "parameters"}]<|END_ACTION|>`."""
    del schemas
    start = len("<|START_ACTION|>")
    end, _ = json_end(buffer, start)
    if end is None:
        return _cut_off(buffer, "<|END_ACTION|>", last, "no JSON: it is cut off")
    return Block(end, _calls_of(buffer, start, end, ""))


_HEADER = re.compile(r"(<\|start\|>assistant)? to=[\w.\-]*")


def read_header(buffer: str, last: bool, schemas: Schemas) -> Block | None:
    """Read Muse's ` to=NAME<|message|>`, a header without content; anything else is text."""
    del schemas
    mark = "<|message|>"
    match = _HEADER.match(buffer)
    end = match.end() if match else 0
    rest = buffer[end:]
    if rest.startswith(mark):
        return Block(end + len(mark))
    if not last and mark.startswith(rest):
        return None
    return Block(max(end, 1), text=True)


_INVOKE = re.compile(r'<atem:invoke name="([^"]*)">\s*(.*)</atem:invoke>', re.DOTALL)
_ATEM_PARAMETER = re.compile(
    r'<atem:parameter name="([^"]*)">(.*?)</atem:parameter>\s*(?=<atem:parameter|\Z)', re.DOTALL
)


def read_atem(buffer: str, last: bool, schemas: Schemas) -> Block | None:
    """Read `<atem:invoke name="NAME">` with `<atem:parameter name="KEY">VALUE</atem:parameter>`."""
    close = re.search(r"</atem:invoke>\s*</atem:function_calls>", buffer)
    if close is None:
        return _cut_off(buffer, "</atem:function_calls>", last, "the call is cut off")
    block = buffer[: close.end()]
    match = _INVOKE.search(block)
    if match is None:
        return Block(close.end(), (malformed(block, "no name of a tool"),))
    name, body = match.group(1), match.group(2)
    arguments: dict[str, Json] = {}
    at = 0
    while at < len(body):
        parameter = _ATEM_PARAMETER.match(body, at)
        if parameter is None:
            return Block(close.end(), (malformed(block, "a parameter is cut off", name),))
        key = parameter.group(1)
        arguments[key] = read_plain_value(parameter.group(2), schemas.get(name, {}).get(key))
        at = parameter.end()
    return Block(close.end(), (make_call({"name": name, "arguments": arguments}, block),))
