"""Values that many runs send are encoded once, and each run records the same bytes as a new encoding."""

from langchain.agents import create_agent

import burnish
from burnish.capture.content import shared_content
from burnish.capture.content.prompt_cache import Recurring
from burnish.capture.content.shared_content import Content
from burnish.journal.events import ModelStarted
from burnish.testing import ScriptedChatModel, capturing

MAIL = "anna.gruber@firma-huber.at"


def answering(prompt):
    return create_agent(ScriptedChatModel(script=["yes"]), [], system_prompt=prompt)


def run(prompt):
    burnish.wrap(answering(prompt), agent="helper").invoke({"messages": [("user", "help")]})


def test_a_system_message_is_encoded_once_and_stands_in_every_journal(monkeypatch):
    prompt = "You help, once and again."
    encoded = []

    def watched(message):
        encoded.append(message.content)
        return encode(message)

    encode = shared_content.encode_for_storage
    monkeypatch.setattr(shared_content, "encode_for_storage", watched)
    for _ in range(3):
        with capturing() as journal:
            run(prompt)
        (call,) = journal.of(ModelStarted)
        assert journal.value(call.messages[0])["parts"][0]["content"] == prompt

    assert encoded.count(prompt) == 1


def test_what_was_encoded_before_redaction_was_asked_for_is_redacted_after(
    journal, redacting, everything
):
    prompt = f"Write to {MAIL} if in doubt."
    run(prompt)
    kept = everything(journal)
    redacting("structured")
    with capturing() as later:
        run(prompt)

    assert MAIL in kept
    assert MAIL not in everything(later)
    assert later.of(ModelStarted)[0].redacted


def test_a_loss_is_counted_by_every_run_that_has_it():
    deep = {(1, 2): "a key that JSON has no word for, so that the value is rewritten"}
    for _ in range(130):
        deep = {"within": deep}
    given = {"tools": [{"type": "function", "function": {"name": "f", "parameters": deep}}]}

    first, second = Content({}), Content({})
    asked = [one.request(given) for one in (first, first, second)]

    assert asked[0] == asked[1] == asked[2]
    assert first.losses == second.losses == {"too_deep": 1}


def test_what_is_held_has_a_bound():
    held = Recurring(most_bytes=30)
    held.keep(b"12345", "first")
    held.keep(("123", b"45"), "second")
    assert (held.get(b"12345"), held.get(("123", b"45"))) == ("first", "second")

    held.keep(b"6", "third")
    held.keep(b"much too long", "fourth")

    assert held.get(b"12345") is held.get(("123", b"45")) is None
    assert held.get(b"much too long") is None
