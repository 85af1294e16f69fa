"""Convert requests and replies of Google's generateContent to the records' form.

`ContentExchange` reads contents and their parts, function declarations and candidates.

How it works: the API usually gives calls no ids, and matches the result of a call by name and
order. Calls get ids by their position in the conversation, so that a reply has the same ids when it
is sent back.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from burnish.capture.clients.exchanges import Exchange, as_list
from burnish.capture.content.block_codec import Part
from burnish.capture.manual_calls import HandwrittenModelCall
from burnish.records import Message

_WRAPPED = ("output", "result")  # the API's word for a result, and that of the client's own calls
_PLACES = frozenset({"contents", "systemInstruction", "tools", "generationConfig", "toolConfig"})
_SCHEMAS = ("responseJsonSchema", "responseSchema", "_responseJsonSchema")
_NESTED = ("items", "additionalProperties")
_DROPPED = frozenset({"propertyOrdering", "nullable"})


def _with_api_names(held: Any) -> dict[str, Any]:
    """Return an object under the API's documented names; the client spells some differently."""
    return {_camel_case(name): value for name, value in held.items()} if held else {}


@functools.lru_cache(maxsize=512)
def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return name if name.startswith("_") else first + "".join(word.capitalize() for word in rest)


class ContentExchange(Exchange):
    """One request to `:generateContent` or `:streamGenerateContent` and its reply.

    Args:
        body: The request.
        model: The model's name in the path.
    """

    def __init__(self, body: Mapping[str, Any], model: str) -> None:
        super().__init__(body)
        self._model = model
        self._speech = _Speech()
        self._reply: list[Part] = []

    def asked(self) -> HandwrittenModelCall:
        """Return the call that the request makes."""
        given = {
            k: value for k, value in _with_api_names(self.body).items() if not k.startswith("_")
        }
        config = _with_api_names(given.get("generationConfig"))
        asked = {**config, **{k: value for k, value in given.items() if k not in _PLACES}}
        wanted = next((config[name] for name in _SCHEMAS if config.get(name)), None)
        asked |= {"response_format": wanted, "tool_choice": given.get("toolConfig")}
        asked |= {"model": self._model, "tools": list(_list_tools(given.get("tools") or ()))}
        return HandwrittenModelCall.of_body(self._prompt(given), "google_genai", asked)

    def _prompt(self, given: Mapping[str, Any]) -> list[Message]:
        messages: list[Message] = []
        if given.get("cachedContent"):
            held = {"type": "cached_content_on_server", "value": given["cachedContent"]}
            messages.append({"role": "user", "parts": [held]})
        if given.get("systemInstruction"):
            system = given["systemInstruction"]
            messages.append({"role": "system", "parts": self._speech.read(system.get("parts"))})
        for content in as_list(given.get("contents")):
            for message in self._speech.encode(content):
                _append_message(messages, message)
        return messages

    def add(self, piece: Mapping[str, Any]) -> str:
        """Add a whole response or the next of a stream; return the text that it adds."""
        piece = _with_api_names(piece)
        self.note(response_id=piece.get("responseId"), model=piece.get("modelVersion"))
        usage = _with_api_names(piece.get("usageMetadata"))
        self.count(
            input_tokens=_sum_usage(usage, "promptTokenCount", "toolUsePromptTokenCount"),
            output_tokens=_sum_usage(usage, "candidatesTokenCount", "thoughtsTokenCount"),
            cached_tokens=usage.get("cachedContentTokenCount"),
            reasoning_tokens=usage.get("thoughtsTokenCount"),
        )
        blocked = (piece.get("promptFeedback") or {}).get("blockReason")
        if blocked:
            self.note(finish_reason=f"blocked: {blocked}")
            self.extras["prompt_feedback"] = piece["promptFeedback"]
        first = next(iter(piece.get("candidates") or ()), None)
        return "" if first is None else self._candidate(first)

    def _candidate(self, candidate: Mapping[str, Any]) -> str:
        candidate = _with_api_names(candidate)
        self.note(finish_reason=candidate.get("finishReason"))
        for name in ("safetyRatings", "groundingMetadata", "citationMetadata", "finishMessage"):
            if candidate.get(name):
                self.extras[name] = candidate[name]
        found = self._speech.read((candidate.get("content") or {}).get("parts"))
        _join_parts(self._reply, found)
        return "".join(part["content"] for part in found if part["type"] == "text")

    def message(self) -> Message:
        """Return the reply in the records' form."""
        return {"role": "assistant", "parts": self._reply}


class _Speech:
    """Reads the parts of a conversation in order.

    Assigns ids to calls, and to results those of their calls.
    """

    def __init__(self) -> None:
        self._calls = 0
        self._open: list[tuple[Any, str]] = []  # name and id of calls without a result

    def encode(self, content: Mapping[str, Any]) -> Iterator[Message]:
        """Return a content as messages; each result of a function is a separate message."""
        said: list[Part] = []
        for each in content.get("parts") or ():
            part = _with_api_names(each)
            if "functionResponse" in part:
                yield self._result(part["functionResponse"])
            else:
                said.append(part)
        if said:
            role = "assistant" if content.get("role") == "model" else "user"
            yield {"role": role, "parts": self.read(said)}

    def read(self, given: Iterable[Mapping[str, Any]] | None) -> list[Part]:
        """Convert parts to the records' form; pieces of one text become one part."""
        found: list[Part] = []
        _join_parts(
            found, [part for each in given or () for part in self._part(_with_api_names(each))]
        )
        return found

    def _part(self, part: Mapping[str, Any]) -> Iterator[Part]:
        sealed = {"signature": part["thoughtSignature"]} if part.get("thoughtSignature") else {}
        if isinstance(part.get("text"), str):
            if part.get("thought"):
                yield {"type": "reasoning", "content": part["text"], "block": "thinking", **sealed}
            elif part["text"] or sealed:
                yield {"type": "text", "content": part["text"], **sealed}
        elif "functionCall" in part:
            yield {**self._call(part["functionCall"]), **sealed}
        elif "inlineData" in part or "fileData" in part:
            yield _medium_part(part)
        else:
            kind = next((key for key in part if key not in ("thoughtSignature", "thought")), None)
            if kind is not None:
                yield {"type": kind, "value": part[kind]}

    def _call(self, call: Mapping[str, Any]) -> Part:
        call_id = call.get("id") or f"call_{self._calls}"
        self._calls += 1
        self._open.append((call.get("name"), call_id))
        return {
            "type": "tool_call",
            "name": call.get("name"),
            "arguments": call.get("args") or {},
            "id": call_id,
        }

    def _result(self, result: Mapping[str, Any]) -> Message:
        result = _with_api_names(result)
        name, given = result.get("name"), result.get("response")
        same = [place for place, call in enumerate(self._open) if call[0] == name]
        call_id = result.get("id")
        named = [place for place, call in enumerate(self._open) if call[1] == call_id]
        if named or same:
            _, call_id = self._open.pop((named or same)[0])
        message: Message = {"role": "tool", "parts": []}
        response: Any = given
        if isinstance(given, Mapping) and len(given) == 1:
            (word,) = given
            if word in _WRAPPED or word == "error":
                response = given[word]
            if word == "error":
                message["status"] = "error"
        part = {"type": "tool_call_response", "id": call_id, "response": response}
        return {**message, "parts": [part], "name": name}


def _join_parts(known: list[Part], more: list[Part]) -> None:
    """Append parts; join text with the last part if both have the same kind."""
    for part in more:
        last = known[-1] if known else {}
        grows = part["type"] in ("text", "reasoning") and last.get("type") == part["type"]
        if grows and "signature" not in last:
            known[-1] = {**last, **part, "content": last["content"] + part["content"]}
        else:
            known.append(part)


def _append_message(messages: list[Message], message: Message) -> None:
    """Append a message; a chat keeps the pieces of a streamed reply as separate contents."""
    if messages and messages[-1]["role"] == message["role"] == "assistant":
        parts = list(messages[-1]["parts"])
        _join_parts(parts, message["parts"])
        messages[-1] = {**messages[-1], "parts": parts}
    else:
        messages.append(message)


def _medium_part(part: Mapping[str, Any]) -> Part:
    inline = part.get("inlineData")
    held = _with_api_names(part.get("fileData") if inline is None else inline)
    kind = str(held.get("mimeType") or "")
    modality = kind.partition("/")[0] or "document"
    found: Part = {"type": "uri", "modality": modality, "mime_type": kind}
    if inline is None:
        return {**found, "uri": held.get("fileUri")}
    data = held.get("data")
    if isinstance(data, str):
        data = data.replace("-", "+").replace("_", "/")  # the client uses this form for addresses
    return {**found, "type": "blob", "content": data}


def _sum_usage(usage: Mapping[str, Any], *names: str) -> int | None:
    found = [usage[name] for name in names if isinstance(usage.get(name), int)]
    return sum(found) if found else None


def _list_tools(given: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return function declarations as tools, and tools of the provider unchanged."""
    for each in given:
        tool = _with_api_names(each)
        for declaration in tool.get("functionDeclarations") or ():
            declared = _with_api_names(declaration)
            function = {
                name: declared[name] for name in ("name", "description") if name in declared
            }
            if declared.get("parametersJsonSchema"):
                function["parameters"] = declared["parametersJsonSchema"]
            elif declared.get("parameters"):
                function["parameters"] = _convert_schema(declared["parameters"])
            yield {"type": "function", "function": function}
        for name, value in tool.items():
            if name != "functionDeclarations":
                yield {"type": name, name: value}


def _convert_schema(given: Any) -> Any:
    """Convert a schema of Google's to a JSON schema."""
    if not isinstance(given, Mapping):
        return given
    found = {key: _read_keyword(key, value) for key, value in given.items() if key not in _DROPPED}
    if given.get("nullable") and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    return found


def _read_keyword(key: str, value: Any) -> Any:
    if key == "type" and isinstance(value, str):
        return value.lower()
    if key in ("properties", "defs", "$defs") and isinstance(value, Mapping):
        return {name: _convert_schema(inner) for name, inner in value.items()}
    if key in _NESTED:
        return _convert_schema(value)
    if key == "anyOf" and isinstance(value, list):
        return [_convert_schema(inner) for inner in value]
    whole = isinstance(value, str) and value.isdigit() and key.startswith(("min", "max"))
    return int(value) if whole else value
