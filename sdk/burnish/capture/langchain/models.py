"""Convert LangChain's model callbacks to requests and replies of the recorder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.capture.content.message_codec import encode_for_storage, said
from burnish.capture.langchain.replies import LangChainReply, read_reply
from burnish.capture.langchain.run_lifecycle import (
    about_run,
    close_bare,
    closes,
    open_run,
    run_id_of,
)
from burnish.capture.patches import openai_tap, sent_messages
from burnish.capture.recorder.calls import fail_model_call, finish_model_call, start_model_call
from burnish.capture.recorder.requests import TOKENS, ModelReply, ModelRequest
from burnish.capture.recorder.runs import Run


def start_model(
    parent: Run,
    key: int,
    messages: list[Any],
    metadata: dict[str, Any] | None,
    parameters: Mapping[str, Any] | None,
    about: dict[str, Any],
) -> None:
    """Record a call of a chat model; `about` holds the tags and options of the call."""
    metadata = metadata or {}
    request = ModelRequest(
        messages=sent_messages.as_sent(messages),
        langchain=True,
        parameters=parameters or {},
        model=metadata.get("ls_model_name"),
        provider=metadata.get("ls_provider"),
        run_id=run_id_of(key),
        about=about_run(about.get("tags"), metadata, about.get("options")),
    )
    openai_tap.install()
    start_model_call(open_run(parent, key, "model", metadata), request)


def start_completion(
    parent: Run,
    key: int,
    prompt: str,
    metadata: dict[str, Any] | None,
    parameters: Mapping[str, Any] | None,
    about: dict[str, Any],
) -> None:
    """Record a call of a completion model; its prompt is recorded as one user message."""
    metadata = metadata or {}
    message = {"role": "user", "parts": [{"type": "text", "content": prompt}], "class": "prompt"}
    request = ModelRequest(
        messages=[message],
        parameters=parameters or {},
        model=metadata.get("ls_model_name"),
        provider=metadata.get("ls_provider"),
        run_id=run_id_of(key),
        about=about_run(about.get("tags"), metadata, about.get("options")),
    )
    start_model_call(open_run(parent, key, "model", metadata), request)


@closes
def end_model(run: Run, result: Any) -> None:
    """Record the answer of a model."""
    finish_model_call(run, _reply_of(run, read_reply(result)))
    close_bare(run, "completed")


def _reply_of(run: Run, reply: LangChainReply) -> ModelReply:
    """Build the reply, including facts from the server that the chat model dropped."""
    message = reply.message
    if message is None:
        bare = reply.text is not None
        parts = [{"type": "text", "content": reply.text}]
        return ModelReply(
            message={"role": "assistant", "parts": parts} if bare else None,
            text=reply.text,
            facts=reply.facts,
            extras=reply.extras,
        )
    wire = openai_tap.reply_of(message, run.wire)
    text = said(message)
    if wire is None:
        return ModelReply(original=message, text=text, facts=reply.facts, extras=reply.extras)
    run.trajectory.raw_arguments |= wire.raw_arguments()
    # LangChain adds up the counts of chunks; a server that repeats its counts means the last ones.
    usage = {**reply.facts.get("usage", {}), **wire.facts.get("usage", {})}
    facts = {**wire.facts, **reply.facts, **({"usage": usage} if usage else {})}
    extras = {**wire.extras, **reply.extras}
    # of chunks, except the last one
    for held, sent in ((facts, wire.facts), (extras, wire.extras)):
        held |= {name: sent[name] for name in TOKENS if name in sent}
    facts["model"] = wire.facts.get("model") or facts.get("model")
    stored = wire.enrich(encode_for_storage(message))
    return ModelReply(message=stored, original=message, text=text, facts=facts, extras=extras)


@closes
def fail_model(run: Run, error: BaseException) -> None:
    """Record that a model failed, or that its stream was left."""
    answered = getattr(error, "burnish_answered", {})  # adapter and arm, if it was routed
    fail_model_call(run, error, **answered)
    close_bare(run, "failed")
