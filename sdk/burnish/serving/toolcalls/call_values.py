"""Parse the values of tool calls: strict JSON, Python literals, plain text by schema.

The readers of `burnish.serving.toolcalls.tool_syntax` use it. Numbers outside of JSON (NaN,
infinity, a float too large) are refused, so that such a call is malformed instead of being called
with another value.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import math
import re
import secrets
import string
import uuid
from typing import Any

from burnish.records import Json

_NAME = re.compile(r'"(?:name|tool_name)"\s*:\s*"((?:[^"\\]|\\.)*)"')
_ID_LETTERS = string.ascii_letters + string.digits


@dataclasses.dataclass(frozen=True)
class ParsedCall:
    """A tool call as the model wrote it; without `arguments` it is malformed."""

    id: str
    name: str | None
    arguments: dict[str, Json] | None
    raw: str
    """The arguments as JSON; of a malformed call the whole block, marks included."""
    error: str | None = None


def malformed(block: str, error: str, name: str | None = None) -> ParsedCall:
    """Make a malformed call, which cannot be run, from its whole text."""
    if name is None:
        match = _NAME.search(block)
        name = match.group(1) if match else None
    return ParsedCall(_new_id(None), name, None, block, error)


def make_call(value: Json, block: str, *, id_length: int | None = None) -> ParsedCall:
    """Make a call from an object that a model wrote, under any known names of its fields."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = {**value, **value["function"]}
    name = (value.get("name") or value.get("tool_name")) if isinstance(value, dict) else None
    if not isinstance(name, str) or not name:
        return (
            malformed(block, "no name of a tool", "") if name == "" else _call_without_name(block)
        )
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        arguments, _ = read_json(arguments)
    if not isinstance(arguments, dict):
        return malformed(block, "arguments are not an object", name)
    given = value.get("id") if id_length else None
    identity = given if isinstance(given, str) and len(given) == id_length else _new_id(id_length)
    return ParsedCall(identity, name, arguments, json.dumps(arguments, ensure_ascii=False))


def _call_without_name(block: str) -> ParsedCall:
    return ParsedCall(_new_id(None), None, None, block, "no name of a tool")


def _new_id(length: int | None) -> str:
    if length is None:
        return f"call_{uuid.uuid4().hex[:24]}"
    return "".join(secrets.choice(_ID_LETTERS) for _ in range(length))


def read_json(text: str) -> tuple[Any, str | None]:
    """Read strict JSON; return the value, or the reason why the text is not JSON."""
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_read_finite), None
    except (ValueError, RecursionError) as error:
        return None, str(error) or type(error).__name__


def _refuse_constant(word: str) -> Json:
    raise ValueError(f"{word} is not a JSON number")


def _read_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


_JSON_PARTS = r'"(?:[^"\\]|\\.)*"|["{}\[\]]'


def json_end(text: str, start: int, stop: str | None = None) -> tuple[int | None, bool]:
    """Find the end of a JSON object or list that begins at `start`, ignoring marks in strings.

    Returns:
        The end, None while it is not closed; and whether `stop` occurs before it, outside of a
        string, in which case the end is that of `stop`.
    """
    parts = _JSON_PARTS if stop is None else f"{_JSON_PARTS}|{re.escape(stop)}"
    depth = 0
    for match in re.compile(parts, re.DOTALL).finditer(text, start):
        part = match.group()
        if part in ("{", "["):
            depth += 1
        elif part in ("}", "]"):
            depth -= 1
            if depth <= 0:
                return match.end(), False
        elif part == '"':  # an unclosed string
            return None, False
        elif part == stop:
            return match.end(), True
    return None, False


_WORDS: dict[str, Json] = {"True": True, "False": False, "None": None}


def read_plain_value(text: str, schema: Json = None) -> Json:
    """Read an unquoted value by the schema of its parameter.

    If the schema requires a string, the text is unchanged; otherwise it is read as JSON or as
    Python literals, and stays text if it is neither.
    """
    kinds = _kinds_of_schema(schema)
    if kinds == {"string"}:
        return text
    if text.strip() in _WORDS:
        return _WORDS[text.strip()]
    value, error = read_json(text)
    if error is not None or ("string" in kinds and value is not None):
        return text
    return value


def _kinds_of_schema(schema: Json) -> set[str]:
    """Return the types that a schema allows; an empty set means any."""
    if not isinstance(schema, dict):
        return set()
    named = schema.get("type")
    listed = named if isinstance(named, list) else [named]
    kinds = {one for one in listed if isinstance(one, str)}
    for key in ("anyOf", "oneOf"):
        for one in schema.get(key) or []:
            kinds |= _kinds_of_schema(one)
    if not kinds and all(isinstance(one, str) for one in schema.get("enum") or [0]):
        kinds = {"string"}
    return kinds


# Models write line breaks into strings unescaped, which Python does not allow.
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)


def read_python_calls(text: str, block: str) -> tuple[ParsedCall, ...]:
    """Read `[f(a=1), g()]`, or one call without brackets, in Python syntax."""
    text = _QUOTED.sub(lambda match: match.group().replace("\n", "\\n"), text.strip())
    try:
        tree = ast.parse(text, mode="eval").body
        nodes = tree.elts if isinstance(tree, ast.List) else [tree]
        if isinstance(tree, ast.Call) and _name_of_call(tree) == "print" and len(tree.args) == 1:
            nodes = [tree.args[0]]  # Gemma wraps the call in print()
        calls = tuple(_python_call(node, block) for node in nodes)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return (malformed(block, f"no call: {error}"),)
    return calls or (malformed(block, "an empty list of calls"),)


def _name_of_call(node: ast.Call) -> str:
    return ast.unparse(node.func)


def _python_call(node: ast.expr, block: str) -> ParsedCall:
    if not isinstance(node, ast.Call) or node.args or any(k.arg is None for k in node.keywords):
        raise ValueError("expected NAME(KEY=VALUE)")
    arguments = {str(keyword.arg): _read_literal(keyword.value) for keyword in node.keywords}
    return make_call({"name": _name_of_call(node), "arguments": arguments}, block)


def _read_literal(node: ast.expr) -> Json:
    """Read a literal of Python or of JSON."""
    match node:
        case ast.Name(id="true" | "false" | "null" as word):
            return {"true": True, "false": False, "null": None}[word]
        case ast.List() | ast.Tuple():
            return [_read_literal(one) for one in node.elts]
        case ast.Dict(keys=keys, values=values):
            return {
                str(_read_literal(key)): _read_literal(one)
                for key, one in zip(keys, values, strict=True)
                if key is not None
            }
        case _:
            value = ast.literal_eval(node)
            text, error = read_json(json.dumps(value))
            if error is not None:
                raise ValueError(error)
            return text


def read_quoted_object(text: str, quote: str) -> tuple[Any, str | None]:
    """Read `{key:value}` whose strings have special quotation marks, as Gemma writes arguments."""
    reader = _Quoted(text, quote)
    try:
        value = reader.value()
        reader.skip()
    except (ValueError, RecursionError) as error:
        return None, str(error) or type(error).__name__
    if reader.at != len(text):
        return None, "extra text behind the arguments"
    return value, None


class _Quoted:
    """A reader of values whose strings have special quotation marks."""

    _WORD = re.compile(r"[^,{}\[\]:\s]+")

    def __init__(self, text: str, quote: str) -> None:
        self._text, self._quote, self.at = text, quote, 0

    def skip(self) -> None:
        """Skip white space."""
        while self.at < len(self._text) and self._text[self.at].isspace():
            self.at += 1

    def value(self) -> Json:
        """Read the next value."""
        self.skip()
        if self._next("{"):
            return self._object()
        if self._next("["):
            return self._list()
        if self._text.startswith(self._quote, self.at):
            return self._string()
        value, error = read_json(self._word())
        if error is not None:
            raise ValueError(f"no value: {error}")
        return value

    def _object(self) -> Json:
        found: dict[str, Json] = {}
        while not self._next("}"):
            self.skip()
            quoted = self._text.startswith(self._quote, self.at)
            key = self._string() if quoted else self._key()
            if not self._next(":"):
                raise ValueError(f"no value of {key!r}")
            found[key] = self.value()
            self._next(",")
        return found

    def _list(self) -> Json:
        found: list[Json] = []
        while not self._next("]"):
            found.append(self.value())
            self._next(",")
        return found

    def _key(self) -> str:
        end = self._text.find(":", self.at)
        if end < 0:
            raise ValueError("an object that is not closed")
        key, self.at = self._text[self.at : end].strip(), end
        return key

    def _string(self) -> str:
        start = self.at + len(self._quote)
        end = self._text.find(self._quote, start)
        if end < 0:
            raise ValueError("a string that is not closed")
        self.at = end + len(self._quote)
        return self._text[start:end]

    def _word(self) -> str:
        match = self._WORD.match(self._text, self.at)
        if match is None:
            raise ValueError("no value")
        self.at = match.end()
        return match.group()

    def _next(self, sign: str) -> bool:
        """Skip a sign if it comes next; return whether it did."""
        self.skip()
        if not self._text.startswith(sign, self.at):
            return False
        self.at += len(sign)
        return True
