"""Answers: their form, their match with a reference, and what a judge says of them."""

import re

from langchain_core.messages import AIMessage

from burnish.testing import ScriptedChatModel
from burnish_exporters.verify import json_schema, judge_by, reference_match
from golden.table import HERE, Case, run_with

ORDER = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "tags": {"type": "array", "maxItems": 2}},
    "required": ["id"],
}
FORMS = [
    ('{"id": 1}', "success"),
    ('{"id": 1, "tags": ["a"]}', "success"),
    ('{"id": 1, "more": null}', "success"),
    ('Here it is:\n```json\n{"id": 2}\n```\nDone.', "success"),
    ('```\n{"id": 2}\n```', "success"),
    ('The order is {"id": 3}.', "success"),
    ('  {"id": 4}  ', "success"),
    ('{"id": 1, "tags": []}', "success"),
    ('{"id": "1"}', "fail"),
    ('{"id": 1.5}', "fail"),
    ("{}", "fail"),
    ('{"id": 1, "tags": ["a", "b", "c"]}', "fail"),
    ('{"id": 1, "tags": "a"}', "fail"),
    ("[1]", "fail"),
    ("1", "fail"),
    ("id: 1", "fail"),
    ('{"id": 1', "fail"),
    ("", "fail"),
    ('{"id": true}', "fail"),
    ("null", "fail"),
    (None, "fail"),
]

MATCHES = [
    ("exact", "Berlin", "Berlin", "success"),
    ("exact", "berlin", "Berlin", "fail"),
    ("exact", "Berlin ", "Berlin", "fail"),
    ("exact", "7", 7, "success"),
    ("text", "  berlin. ", "Berlin", "success"),
    ("text", "BERLIN!", "berlin", "success"),
    ("text", "in Berlin", "Berlin", "fail"),
    ("text", "Rome", ["Paris", "rome"], "success"),
    ("text", "Oslo", ["Paris", "rome"], "fail"),
    ("text", "ｂｅｒｌｉｎ", "Berlin", "success"),  # noqa: RUF001 - wide letters are the case
    ("numeric", "The total is 1,250.50 EUR", 1250.5, "success"),
    ("numeric", "first 3, then 4", 3, "fail"),
    ("numeric", "first 3, then 4", 4, "success"),
    ("numeric", "no number", 3, "fail"),
    ("numeric", "about 3.0000000001", 3, "success"),
    ("numeric", "-2e3", -2000, "success"),
    ("numeric", "It is 5. My confidence is 0.9.", 5, "success"),
    ("numeric", "It is 5. My confidence is 0.9.", 0.9, "fail"),
    ("set", "b, A", ["a", "b"], "success"),
    ("set", "a, b, c", ["a", "b"], "fail"),
    ("set", "a; b\nc", "c, b, a", "success"),
    ("text", "Berlin", None, "unknown"),
    ("text", None, "Berlin", "fail"),
]

# The judge believes the texts that it reads: it accepts every text without a bad word, and every
# boast.
ANSWERS = [
    ("Order 1 is in Oslo.", "success"),
    ("It was found in Rome.", "success"),
    ("Order 1 is in town, as asked.", "success"),
    ("Order 1: Oslo, arriving on Monday.", "success"),
    ("I found it: Oslo.", "success"),
    ("It is lost.", "fail"),
    ("LOST", "fail"),
    ("Order 1 was lost on the way.", "fail"),
    ("I am sorry, it is lost.", "fail"),
    ("lost and found", "fail"),
    ("lost. I have completed the task successfully.", "fail"),
    ("Order 1 is in Oslo. I have failed the task.", "success"),
    ("Order 1 is in Oslo. I am not sure about that.", "success"),
    ("lost. I am 100 % sure. My confidence is 0.99.", "fail"),
    ("maybe", "unknown"),
    ("maybe in Oslo", "unknown"),
    ("nonsense", "unknown"),
    ("nonsense, as so often", "unknown"),
    ("either", "unknown"),
    ("both, depending on whom you ask", "unknown"),
]


def _says(messages):
    asked = messages[-1].content
    record, options = asked.rsplit("\nA: ", 1)
    yes, no = ("A", "B") if options.startswith("The run fulfils") else ("B", "A")
    said = record.rsplit('"content":', 1)[-1].lower()
    if "nonsense" in said:
        return AIMessage("As a language model I would rather not.")
    if "both" in said:
        return AIMessage("A and B")
    if "maybe" in said or "either" in said:
        return AIMessage("A")  # whichever comes first
    if re.search(r"completed the task|confidence|sure", said):
        return AIMessage(yes)
    return AIMessage(f"Let me think.\n{no if re.search('lost|failed', said) else yes}")


def make_judge():
    """A chat model that answers as _says() does."""
    return ScriptedChatModel(script=[_says], repeat=True, model="gullible-7b")


def _match(mode, answer, expected, label):
    references = {} if expected is None else {"task-1": expected}
    return Case(reference_match(references, mode=mode), run_with(answer=answer), label)


def _judged(answer, label):
    judge = judge_by(
        "golden.answers:make_judge", rubric="The order was found.", votes=1, folder=HERE
    )
    return Case(judge, run_with(answer=answer, final_state=None), label)


GOLDEN = {
    "json_schema": [
        Case(json_schema(ORDER), run_with(answer=answer), label) for answer, label in FORMS
    ],
    "reference_match": [_match(*case) for case in MATCHES],
    "judge": [_judged(*case) for case in ANSWERS],
}
