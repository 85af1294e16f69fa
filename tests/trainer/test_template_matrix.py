"""Every chat template that TRL ships, times every kind of conversation: exact, or dropped with its reason."""

from __future__ import annotations

import copy
import json
import re

import pytest
from pages import check_page, table
from shipped_templates import shipped_tokenizer, template_names, template_text

from burnish.serving.contract.template_form import find_template_form, messages_for_template
from burnish.serving.toolcalls.reply_parser import parse_reply
from burnish.serving.toolcalls.tool_syntax import detect_syntax
from burnish_trainer.rows import IGNORE, tokenise_rows

pytestmark = pytest.mark.xdist_group("templates")

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Looks an order up.",
            "parameters": {
                "type": "object",
                "properties": {
                    "order": {"type": "integer", "description": "Its number."},
                    "note": {"type": "string", "description": "Anything."},
                },
                "required": ["order"],
            },
        },
    }
]
SYSTEM = {"role": "system", "content": "You help with orders."}
ASKED = {"role": "user", "content": "Where is order 7?"}
ANSWER = {"role": "assistant", "content": "It is in Oslo."}


def calls(*arguments, content="", **more):
    made = [
        {
            "id": f"call{at:05d}",
            "type": "function",
            "function": {"name": "look_up", "arguments": json.dumps(one)},
        }
        for at, one in enumerate(arguments)
    ]
    return {"role": "assistant", "content": content, "tool_calls": made, **more}


def result(text, at=0):
    return {"role": "tool", "tool_call_id": f"call{at:05d}", "name": "look_up", "content": text}


CALL, OTHER = {"order": 7, "note": 'say "hi"'}, {"order": 8}
CONVERSATIONS = {
    "text": ([ASKED, ANSWER], []),
    "two turns": ([ASKED, ANSWER, {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes, sure."}], []),
    "system": ([SYSTEM, ASKED, ANSWER], []),
    "tools, not called": ([SYSTEM, ASKED, ANSWER], TOOLS),
    "thought": ([ASKED, {**ANSWER, "reasoning_content": "I know that order."}], []),
    "one call": ([SYSTEM, ASKED, calls(CALL), result("Oslo"), ANSWER], TOOLS),
    "no system": ([ASKED, calls(CALL), result("Oslo"), ANSWER], TOOLS),
    "parallel calls": ([SYSTEM, ASKED, calls(CALL, OTHER), result("Oslo"), result("Rome", 1), ANSWER], TOOLS),
    "call with text": ([SYSTEM, ASKED, calls(CALL, content="Let me look."), result("Oslo"), ANSWER], TOOLS),
    "thought and call": ([SYSTEM, ASKED, calls(CALL, reasoning_content="I must look."), result("Oslo"), ANSWER], TOOLS),
    "refusal": ([SYSTEM, ASKED, {"role": "assistant", "content": "I can't help with that."}], TOOLS),
    "empty result": ([SYSTEM, ASKED, calls(CALL), result(""), ANSWER], TOOLS),
}  # fmt: skip
# Ends of a generation by generation_config.json of the families, beside their tokenizers' own.
ENDS = {
    "gptoss": ("<|return|>", "<|call|>"),
    "gemma4": ("<turn|>", "<|tool_response>"),
    "gemma": ("<end_of_turn>",),
    "glm4moe": ("<|user|>", "<|observation|>"),
    "llama3": ("<|eot_id|>", "<|eom_id|>"),
    "phi3": ("<|end|>",),
}
TURN_ENDS = {"<|im_end|>", "<end_of_utterance>", "<|eot|>", "<|END_OF_TURN_TOKEN|>", "</s>"}
SHORT = {
    "the chat template ": "",
    " between a context and its reply": "",
    "shows no border": "no border",
    "refuses the conversation": "refused",
    "the reply holds an end mark of the model": "holds an end mark",
    "that the model's reply parser reads otherwise": "that reads back otherwise",
}


def row_of(messages, tools):
    marked = [{**m, "loss": m["role"] == "assistant"} for m in copy.deepcopy(messages)]
    return {"messages": marked, "tools": tools, "calls": []}


def runs(row, tokenizer):
    """Each learned run of a sequence, with the context before it."""
    learned, start = [], None
    for at, label in enumerate([*row.labels, IGNORE]):
        if label != IGNORE and start is None:
            start = at
        if label == IGNORE and start is not None:
            decode = tokenizer.decode
            learned.append((decode(row.input_ids[:start]), decode(row.input_ids[start:at])))
            start = None
    return learned


def cell(name, messages, tools):
    """Return one cell of the matrix; a rendered conversation is compared with the original."""
    tokenizer = shipped_tokenizer(name)
    found, report = tokenise_rows([row_of(messages, tools)], tokenizer)
    listed = next((marks for key, marks in ENDS.items() if name.startswith(key)), ())
    if listed:
        known = {at for at in tokenizer.convert_tokens_to_ids(list(listed)) if at is not None}
        declared, _ = tokenise_rows([row_of(messages, tools)], tokenizer, end_ids=frozenset(known))
        assert declared == found  # the ends are found from the template alone
    if report.dropped:
        (reason,) = report.dropped
        for long, short in SHORT.items():
            reason = reason.replace(long, short)
        return re.sub(r"(: |, <).*", "", reason, flags=re.DOTALL)
    replies = [message for message in messages if message["role"] == "assistant"]
    learned = [one for row in found for one in runs(row, tokenizer)]
    assert len(learned) == len(replies)
    places = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    for (context, written), reply, at in zip(learned, replies, places, strict=True):
        assert context == served(name, messages[:at], tools)
        body = without_end(name, written)
        opened = context.rstrip().endswith("<think>")
        read = parse_reply(body, detect_syntax(template_text(name)), tools=tools, in_thought=opened)
        assert read.content.strip() == reply["content"]
        assert [json.dumps(call.arguments, sort_keys=True) for call in read.calls] == [
            json.dumps(json.loads(call["function"]["arguments"]), sort_keys=True)
            for call in reply.get("tool_calls") or []
        ]
        assert all(
            m["content"] in context
            for m in messages[: messages.index(reply)]
            if m["role"] != "assistant"
        )
    thoughts = " (no thought)" if report.thoughts_left_out else ""
    return f"exact{thoughts}"


def served(name, messages, tools):
    """Return the prompt that a server builds for the next reply."""
    tokenizer = shipped_tokenizer(name)

    def render(shown, offered, ask):
        return tokenizer.apply_chat_template(
            list(shown), tools=list(offered) or None, tokenize=False, add_generation_prompt=ask
        )

    form = find_template_form(render, template_text(name))
    return render(messages_for_template(messages, form), tools, True)


def without_end(name, written):
    """Return a reply without its end mark, which must be there once."""
    tokenizer = shipped_tokenizer(name)
    ids = tokenizer(written, add_special_tokens=False)["input_ids"]
    marks = {
        *(mark for key, more in ENDS.items() if name.startswith(key) for mark in more),
        *TURN_ENDS,
        tokenizer.eos_token,
    }
    found = [at for at, token in enumerate(ids) if tokenizer.decode([token]) in marks]
    assert found == [len(ids) - 1], written
    return tokenizer.decode(ids[:-1])


ROWS: dict[str, list[str]] = {}


@pytest.mark.parametrize("name", template_names())
def test_a_conversation_is_exact_or_dropped_with_its_reason(name):
    measure(name)
    assert all(ROWS[name])


def measure(name):
    if name not in ROWS:
        ROWS[name] = [cell(name, *given) for given in CONVERSATIONS.values()]


@pytest.mark.timeout(900)  # it measures every template that no test above has measured yet
def test_the_page_of_templates_says_what_was_measured():
    for name in template_names():
        measure(name)
    ordered = {f"`{name}`": ROWS[name] for name in template_names()}
    syntaxes = {
        f"`{name}`": [detect_syntax(template_text(name)) or "-"] for name in template_names()
    }
    rows = {name: [*syntaxes[name], *cells] for name, cells in ordered.items()}
    check_page(
        "templates.md", f"{INTRODUCTION}\n{table(['template', 'calls', *CONVERSATIONS], rows)}\n"
    )


INTRODUCTION = """# Chat templates

This page is generated by `tests/trainer/test_template_matrix.py` from the chat templates that TRL ships.

Training renders a conversation with the base model's own chat template and checks the result. Each context must equal
the prompt that a server builds; text, names and arguments of calls and results of tools must be printed once and in
order; the end of a turn must be the template's own; and the reply must read back as the message that it was made of, by
the parser that serving uses. A conversation that passes is `exact`. Any other is dropped, and the plan and the card of the
adapter count it under the reason in this table. `exact (no thought)`: the template prints no reasoning, or its prompt
leaves no room for it, so the reply is learned without its reasoning, which is counted too.

Three kinds of templates do not print a reply directly behind the prompt, and are exact all the same. A prompt that opens
a thought (DeepSeek, Nemotron): the reply begins with the row's thought, or closes an empty one. A prompt that closes an
empty thought (Qwen 3.5 without thinking): the reply begins behind it. A final answer that strips earlier thoughts
(gpt-oss): it is learned behind the prompt that still holds them.

The column *calls* names the syntax in which the template writes tool calls; serving reads them in the same one.
"""
