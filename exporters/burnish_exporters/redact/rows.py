"""Redact one row and check it for leaks.

Token ids encode the same text: if a text of a call is replaced, the call's ids and log-probabilities are removed too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from burnish.errors import ExportError
from burnish.records import DatasetManifest, Json
from burnish.redaction.redactor import Redactor
from burnish_exporters.redact.second_look import Decoder, SecondLook
from burnish_exporters.rows import Row
from burnish_exporters.rows.canonical_json import stable_json
from burnish_exporters.rows.chat import Chat

_KEPT_TOOLS = 1024
_ROWS, _CALLS = "/rows", "/calls"  # beside the kinds, whose names hold no slash
_IDS = ("prompt_token_ids", "token_ids", "logprobs")


class RowRedactor:
    """Redacts rows and counts the replacements.

    Args:
        redactor: Finds and replaces in texts.
        decoder: Reads captured ids, so that the leak check covers them too.
    """

    def __init__(self, redactor: Redactor, decoder: Decoder | None = None) -> None:
        self.redactor = redactor
        self.second_look = SecondLook(redactor.stand_ins)
        self.rows = 0
        self.stripped_calls = 0
        self._decoder = decoder
        self._tools: dict[bytes, list[Any]] = {}

    def clean_rows(self, rows: list[Row]) -> None:
        """Redact the rows of a run in place."""
        for row in rows:
            first = self._clean_messages(row.messages)
            tools = self._clean_tools(row.tools)
            if tools is not row.tools:
                row.tools, first = tools, 0
            if first is not None:
                row.calls = [self._without_ids(call, first) for call in row.calls]
                self.rows += 1
            row.task_id = self.redactor.clean(row.task_id) if row.task_id else row.task_id
            row.user = self.redactor.pseudonym("user", row.user) if row.user else row.user
            row.kind_tags = [self.redactor.clean(tag) for tag in row.kind_tags]

    def find_leaks(self, row: Row) -> Counter[str]:
        """Return the personal data and secrets that are left in a finished row, by kind."""
        left: Counter[str] = Counter()
        for text in self._row_texts(row):
            found = self.redactor.leaks(text)
            if found:
                left.update(finding.kind for finding in found)
        for text in self._decode_ids(row):
            left.update(f"{finding.kind} in token ids" for finding in self.redactor.leaks(text))
        return left

    def refuse_leaks(self, rows: list[Row]) -> None:
        """Stop the build if personal data is left in finished rows.

        Raises:
            ExportError: If a row holds personal data or a secret other than a pseudonym.
        """
        left = sum(map(self.find_leaks, rows), Counter())
        if left:
            raise leak_error(left)

    def find_overlooked(self, rows: list[Row]) -> Counter[str]:
        """Return what the independent detectors still find in finished rows, by kind."""
        found: Counter[str] = Counter()
        for row in rows:
            for text in self._row_texts(row):
                secrets = self.second_look.find_secrets(text)
                if secrets:
                    found.update(secrets)
        return found

    def clean_names(self, names: list[str]) -> list[str]:
        """Redact kinds, tags and sources, which go into the manifest and the card."""
        return [self.redactor.clean(name) for name in names]

    def replacement_totals(self) -> Counter[str]:
        """Return the replacements so far by kind, and under `_ROWS` and `_CALLS` the rows and calls that had some."""
        return self.redactor.counts + Counter({_ROWS: self.rows, _CALLS: self.stripped_calls})

    def _clean_messages(self, messages: list[Chat]) -> int | None:
        """Redact messages in place and return the place of the first that changed."""
        first = None
        for place, message in enumerate(messages):
            cleaned = self._clean_message(message)
            if cleaned is not message:
                messages[place] = cleaned
                first = place if first is None else first
        return first

    def _clean_message(self, message: Chat) -> Chat:
        changes: Chat = {}
        for key in ("content", "reasoning_content", "name"):
            value = message.get(key)
            if value:
                cleaned = self.redactor.clean_value(value)
                if cleaned is not value and cleaned != value:
                    changes[key] = cleaned
        calls = message.get("tool_calls")
        if calls:
            cleaned_calls = [self._clean_call(call) for call in calls]
            if any(new is not old for new, old in zip(cleaned_calls, calls, strict=True)):
                changes["tool_calls"] = cleaned_calls
        return {**message, **changes} if changes else message

    def _clean_call(self, call: Chat) -> Chat:
        arguments = call["function"]["arguments"]
        cleaned = self.redactor.clean_arguments(arguments)
        if cleaned == arguments:
            return call
        return {**call, "function": {**call["function"], "arguments": cleaned}}

    def _clean_tools(self, tools: list[Any]) -> list[Any]:
        """Redact tool schemas; rows repeat them, so each list is read once."""
        key = stable_json(tools)
        known = self._tools.get(key)
        if known is None:
            if len(self._tools) > _KEPT_TOOLS:
                self._tools.clear()
            cleaned = self.redactor.clean_value(tools)
            known = self._tools[key] = cleaned
        return tools if known == tools else known

    def _without_ids(self, call: dict[str, Any], first: int) -> dict[str, Any]:
        if call["message"] < first or not any(name in call for name in _IDS):
            return call
        self.stripped_calls += 1
        return {key: value for key, value in call.items() if key not in _IDS}

    def _row_texts(self, row: Row) -> Iterator[str]:
        """Yield every text of a row."""
        yield from (row.task_id or "", row.user or "", *row.kind_tags)
        for message in row.messages:
            content = message["content"]
            yield content if isinstance(content, str) else stable_json(content).decode()
            yield message.get("reasoning_content") or ""
            for call in message.get("tool_calls") or ():
                yield call["function"]["arguments"]
        yield stable_json(row.tools).decode()

    def _decode_ids(self, row: Row) -> list[str]:
        if self._decoder is None:
            return []
        ids = [call[name] for call in row.calls for name in _IDS[:2] if call.get(name)]
        return [self._decoder(found) for found in ids]


def redaction_report(totals: Counter[str], second_look: str) -> dict[str, Json]:
    """Report the replacements by kind and the second detectors, for the manifest."""
    replaced = {k: n for k, n in sorted(totals.items()) if k not in (_ROWS, _CALLS)}
    return {
        "replaced": replaced,
        "rows": totals[_ROWS],
        "calls_without_ids": totals[_CALLS],
        "second_look": second_look,
    }


def clean_manifest(manifest: DatasetManifest, redactor: Redactor) -> DatasetManifest:
    """Return a manifest whose names, counts by kind and sources hold no personal data.

    Raises:
        ExportError: If personal data other than pseudonyms is left.
    """
    names = ("slices", "extras", "sources", "funnel", "verifiers")
    changes = {name: _each_string(getattr(manifest, name), redactor.clean) for name in names}
    left: Counter[str] = Counter()
    for text in _all_strings(changes):
        left.update(f"{finding.kind} in the manifest" for finding in redactor.leaks(text))
    if left:
        raise leak_error(left)
    return msgspec.structs.replace(manifest, **changes)


def _each_string(value: Any, change: Callable[[str], str]) -> Any:
    """Return plain data with every string changed, keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _each_string(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_each_string(item, change) for item in value]
    return value


def _all_strings(value: Any) -> Iterator[str]:
    """Yield every string of plain data, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from (*_all_strings(key), *_all_strings(item))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _all_strings(item)


def leak_error(left: Counter[str]) -> ExportError:
    """Return the error that stops a build whose rows still hold personal data."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(left.items()))
    return ExportError(
        f"the finished rows still hold {kinds}",
        "none after redaction",
        "report this as a bug, and build with a recipe step that drops these rows",
    )
