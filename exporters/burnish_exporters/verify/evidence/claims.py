"""Remove an agent's claims about its own success from its text.

Verifiers look at facts and never at claims. Two of them must read the agent's text: a judge, and a
comparison of numbers, for which a stated confidence is one number more. They read the result of
`without_claims()`, which knows English wordings.
"""

from __future__ import annotations

import re

# Spaces and rests of sentences are bounded, so that the time grows linearly with the text.
_B = r"\s{1,8}"
_REST = r"[^.!?\n]{0,400}[.!?]?"
_SURE = r"(?:sure|certain|confident|positive)"
_DONE = (
    rf"(?:succeeded|failed|completed?|accomplished|fulfilled|finished|solved|successful|met|satisfied|a{_B}success"
    rf"|a{_B}failure|done)"
)
_ALL = rf"(?:the|this|your|my|every|all)(?:{_B}of{_B}the)?{_B}(?:\w{{1,32}}{_B})?(?:task|goal|job|mission|run|attempt|requirement|criterion|test)s?"
_CLAIMS = (
    # "Confidence: 0.9", "(certainty of 90 %)"
    rf"\(?\b(?:my{_B})?(?:confidence|certainty|probability)(?:{_B}(?:level|score|of{_B}success))?\s{{0,8}}(?:is|:|=|of)?\s{{0,8}}"
    r"[\d.]{1,16}\s{0,8}%?\)?\.?",
    # "I am 90 % sure ...", "We are not confident that ..."
    rf"\b(?:I(?:{_B}am|'m)|we(?:{_B}are|'re)){_B}(?:not{_B})?(?:at{_B}all{_B})?(?:[\d.]{{1,16}}\s{{0,8}}%\s{{0,8}})?{_SURE}\b{_REST}",
    # "I have completed the task.", "I failed."
    rf"\b(?:I|we)(?:{_B}have|'ve)?{_B}(?:not{_B})?(?:successfully{_B})?{_DONE}{_B}{_ALL}\b{_REST}",
    rf"\b(?:I|we)(?:{_B}have|'ve)?{_B}(?:succeeded|failed)\b{_REST}",
    # "The task was completed successfully!", "This run is a failure.", "All requirements are met."
    rf"\b{_ALL}{_B}(?:(?:is|are|was|were|has{_B}been|have{_B}been|has|have){_B})?(?:now{_B})?(?:not{_B})?(?:successfully{_B})?{_DONE}\b{_REST}",
    # "I have successfully cancelled the order." keeps the action.
    r"\bsuccessfully\b",
)
_CLAIM = re.compile("|".join(_CLAIMS), re.IGNORECASE)


def without_claims(text: str) -> str:
    """Return a text without its writer's claims of success or confidence."""
    return _CLAIM.sub(" ", text)
