"""Render chat templates as transformers does, without transformers.

`read_template` reads a Jinja file or a model's folder; `ChatTemplate.render` returns the text of a
conversation. Templates are untrusted: they run in Jinja's sandbox.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from burnish.errors import ExportError

_FIX = "a file chat_template.jinja, or a folder with chat_template.jinja or tokenizer_config.json"


class TemplateError(ValueError):
    """A conversation that a template refuses; the text is the template's reason."""


class ChatTemplate:
    """A compiled template with the special tokens of its tokenizer.

    Args:
        source: The template.
        marks: Special tokens by name, such as `bos_token`.

    Raises:
        ExportError: If the template is not valid Jinja, or Jinja is not installed.
    """

    def __init__(self, source: str, marks: dict[str, str] | None = None) -> None:
        self._template, self._marks = (
            _compile_template(source),
            {"bos_token": "", "eos_token": "", **(marks or {})},
        )

    def render(self, messages: list[Any], tools: list[Any], *, reply_next: bool = False) -> str:
        """Return the text of a conversation.

        Args:
            messages: Messages in chat form.
            tools: Schemas in the nested form.
            reply_next: Whether the text ends where the model's next reply begins.

        Raises:
            TemplateError: If the template refuses the conversation.
        """
        try:
            return self._template.render(
                messages=messages,
                tools=tools or None,
                add_generation_prompt=reply_next,
                **self._marks,
            )
        except (
            Exception
        ) as problem:  # any exception of a template means that it has no text for this conversation
            raise TemplateError(f"{type(problem).__name__}: {problem}"[:200]) from problem


def read_template(path: Path) -> ChatTemplate:
    """Read the chat template of a file or of a model's folder.

    Raises:
        ExportError: If there is no chat template.
    """
    if path.is_dir():
        config = _json_of(path / "tokenizer_config.json")
        marks = {
            name: _read_mark(config[name])
            for name in ("bos_token", "eos_token")
            if config.get(name)
        }
        file = path / "chat_template.jinja"
        source = (
            file.read_text("utf-8")
            if file.is_file()
            else _choose_template(config.get("chat_template"))
        )
        if source is None:
            raise ExportError(f"{path} has no chat template", _FIX)
        return ChatTemplate(source, marks)
    try:
        return ChatTemplate(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise ExportError(f"chat template {path}: {problem}", _FIX) from problem


def _json_of(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _choose_template(given: Any) -> str | None:
    """Return the template for tools where several are named, else the default one."""
    if isinstance(given, list):
        by_name = {entry.get("name"): entry.get("template") for entry in given}
        return by_name.get("tool_use") or by_name.get("default")
    return given


def _read_mark(given: Any) -> str:
    return given["content"] if isinstance(given, dict) else str(given)


def _compile_template(source: str) -> Any:
    try:
        import jinja2
        from jinja2.ext import Extension, loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as problem:
        raise ExportError(
            "the package jinja2 is not installed", "jinja2", "pip install jinja2"
        ) from problem

    class GenerationTag(Extension):
        """Reads `{% generation %}`, which marks the assistant's text, as its plain content."""

        tags = {"generation"}  # noqa: RUF012 - Jinja's shape

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, GenerationTag]
    )
    environment.filters["tojson"] = _to_json
    own: dict[str, Any] = {"raise_exception": refuse, "strftime_now": _format_now}
    environment.globals.update(own)
    try:
        return environment.from_string(source)
    except jinja2.TemplateError as problem:
        raise ExportError(f"the chat template is not valid Jinja: {problem}", _FIX) from problem


def _format_now(form: str) -> str:
    """Return the present time in a form, as templates ask for it."""
    return dt.datetime.now().strftime(form)  # noqa: DTZ005 - templates mean local time


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
