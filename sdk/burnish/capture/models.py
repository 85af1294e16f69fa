"""Calls of models: the exact request, the reply, and what is known about both.

Knows: what LangChain says about a call. Does not know: how callbacks arrive, how a trajectory ends.
"""

from __future__ import annotations

import time
from typing import Any

from burnish.capture import originals, wire_tap
from burnish.capture.content import Blobs
from burnish.capture.live import Run, partial_text, registry
from burnish.capture.messages import encode_for_storage, said
from burnish.capture.placing import (
    close_bare,
    closes,
    describe_run,
    fail,
    open_run,
    run_id_of,
)
from burnish.capture.plain import to_plain
from burnish.capture.replies import Reply, read_reply
from burnish.capture.spelled import without_spelling
from burnish.journal.events import ModelEnded, ModelStarted, Ref

TOKENS = ("prompt_token_ids", "token_ids", "logprobs")


def start_model(parent: Run, key: int, messages: list[Any], about: dict[str, Any]) -> None:
    """A chat model is asked."""
    content = parent.trajectory.content
    refs, blobs = content.messages(originals.as_sent(messages))
    _start_model(parent, key, refs, blobs, about)


def start_completion(parent: Run, key: int, prompt: str, about: dict[str, Any]) -> None:
    """A completion model is asked; its prompt is kept as one user message."""
    message = {"role": "user", "parts": [{"type": "text", "content": prompt}], "class": "prompt"}
    ref, blob = parent.trajectory.content.value(message)
    _start_model(parent, key, [ref], {ref: blob}, about)


def _start_model(
    parent: Run, key: int, refs: list[Ref], blobs: Blobs, about: dict[str, Any]
) -> None:
    wire_tap.install()
    metadata = about.get("metadata") or {}
    trajectory = parent.trajectory
    run = open_run(parent, key, "model", metadata)
    place = run.place
    tools, request, model = trajectory.content.request(about.get("invocation_params") or {})
    if tools is not None:
        blobs[tools[0]] = tools[1]
    if request is not None:
        blobs[request[0]] = request[1]
    extras = describe_run(run, about)
    if extras is not None:
        blobs[extras[0]] = extras[1]
    run.redacted = trajectory.content.redacted(blobs)
    run.retry_key = tuple(refs)
    run.attempt = parent.attempt + parent.tries(run.retry_key)
    registry.add(run)
    trajectory.send(
        ModelStarted(
            at=time.time_ns(),
            trajectory=trajectory.id,
            span=run.span,
            parent=parent.span,
            run_id=run_id_of(key),
            messages=refs,
            tools=tools and tools[0],
            request=request and request[0],
            model=model or metadata.get("ls_model_name"),
            provider=metadata.get("ls_provider"),
            node=place.node,
            step=place.step,
            namespace=place.namespace,
            speaker=run.speaker,
            attempt=run.attempt,
            extras=extras and extras[0],
            redacted=run.redacted,
        ),
        blobs,
    )


@closes
def end_model(run: Run, result: Any) -> None:
    """A model answered."""
    trajectory = run.trajectory
    content = trajectory.content
    reply = read_reply(result)
    blobs: Blobs = {}
    ref = extras = None
    if reply.message is not None:
        reply, ref, blob = _with_wire(run, reply)
        blobs[ref] = blob
        trajectory.last_reply = said(reply.message)
    elif reply.text is not None:
        ref, blob = content.value(
            {"role": "assistant", "parts": [{"type": "text", "content": reply.text}]}
        )
        blobs[ref] = blob
        trajectory.last_reply = reply.text
    facts = reply.facts
    redacted = run.redacted or content.redacted(blobs)
    if redacted:
        facts, reply = _without_tokens(reply)
    if reply.extras:
        extras, blob = content.value(reply.extras)
        blobs[extras] = blob
    trajectory.send(
        ModelEnded(
            at=time.time_ns(),
            trajectory=trajectory.id,
            span=run.span,
            reply=ref,
            first_token_at=run.first_token_at,
            extras=extras,
            redacted=redacted,
            **facts,
        ),
        blobs,
    )
    close_bare(run, "completed")


def _with_wire(run: Run, reply: Reply) -> tuple[Reply, Ref, bytes]:
    """The reply with what the server said and the chat model dropped, and its stored form."""
    content = run.trajectory.content
    wire = wire_tap.reply_of(reply.message, run.wire)
    if wire is None:
        return reply, *content.message(reply.message)
    content.message(reply.message)  # as the next call will send it
    ref, blob = content.sharing(wire.enrich(encode_for_storage(reply.message)))
    raw = wire.raw_arguments()
    door = content.door
    run.trajectory.raw_arguments |= (
        raw if door is None else {key: door.arguments(text) or "" for key, text in raw.items()}
    )
    usage = {**wire.facts.get("usage", {}), **reply.facts.get("usage", {})}
    facts = {**wire.facts, **reply.facts, **({"usage": usage} if usage else {})}
    extras = {**wire.extras, **reply.extras}
    for held, sent in ((facts, wire.facts), (extras, wire.extras)):  # of chunks, not the last one
        held |= {name: sent[name] for name in TOKENS if name in sent}
    facts["model"] = wire.facts.get("model") or facts.get("model")
    return reply._replace(facts=facts, extras=extras), ref, blob


def _without_tokens(reply: Reply) -> tuple[dict[str, Any], Reply]:
    """Token ids are the text in another spelling: they go with what was replaced in it."""
    facts = {name: value for name, value in reply.facts.items() if name not in TOKENS}
    return facts, reply._replace(extras=without_spelling(to_plain(reply.extras)))


@closes
def fail_model(run: Run, error: BaseException) -> None:
    """A model failed, or its stream was left."""
    fail(run, error)
    trajectory = run.trajectory
    name, words = run.trajectory.describe(error)
    blobs: Blobs = {}
    extras = None
    partial = partial_text(run.chunks)
    if partial:
        extras, blob = trajectory.content.value({"partial": partial})
        blobs[extras] = blob
    left = isinstance(error, GeneratorExit)
    trajectory.send(
        ModelEnded(
            at=time.time_ns(),
            trajectory=trajectory.id,
            span=run.span,
            error_type=None if left else name,
            error=None if left else words,
            cut=left,
            first_token_at=run.first_token_at,
            extras=extras,
            **getattr(error, "burnish_answered", {}),  # adapter and arm, where it was routed
        ),
        blobs,
    )
    close_bare(run, "failed")
