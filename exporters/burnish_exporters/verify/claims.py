"""What an agent says of its own success, taken out of its words.

Knows: how such claims are worded in English. Does not know: whether they are true; that is what verifiers are for.

Verifiers look at facts and never at claims. Two of them have to read the agent's text: a judge, and a comparison of
numbers, for which a stated confidence is one number more. They read it without the claims.
"""

from __future__ import annotations

import re

_SURE = r"(?:sure|certain|confident|positive)"
_DONE = r"(?:succeeded|failed|completed?|accomplished|fulfilled|finished|solved|successful|a\s+success|a\s+failure|done)"
_ALL = r"(?:the|this|your|my|every|all)\s+(?:\w+\s+)?(?:task|goal|job|mission|run|attempt)"
_CLAIMS = (
    # "Confidence: 0.9", "(certainty of 90 %)"
    r"\(?\b(?:my\s+)?(?:confidence|certainty|probability)(?:\s+(?:level|score|of\s+success))?\s*(?:is|:|=|of)?\s*"
    r"[\d.]+\s*%?\)?\.?",
    # "I am 90 % sure ...", "We are not confident that ..."
    rf"\b(?:I(?:\s+am|'m)|we(?:\s+are|'re))\s+(?:not\s+)?(?:at\s+all\s+)?(?:[\d.]+\s*%\s*)?{_SURE}\b[^.!?\n]*[.!?]?",
    # "I have completed the task.", "I failed."
    rf"\b(?:I|we)(?:\s+have|'ve)?\s+(?:not\s+)?(?:successfully\s+)?{_DONE}\s+{_ALL}\b[^.!?\n]*[.!?]?",
    r"\b(?:I|we)(?:\s+have|'ve)?\s+(?:succeeded|failed)\b[^.!?\n]*[.!?]?",
    # "The task was completed successfully!", "This run is a failure."
    rf"\b{_ALL}\s+(?:is|was|has|has\s+been)?\s*(?:now\s+)?(?:not\s+)?(?:successfully\s+)?{_DONE}\b[^.!?\n]*[.!?]?",
    # "I have successfully cancelled the order." keeps what was done
    r"\bsuccessfully\b",
)
_CLAIM = re.compile("|".join(_CLAIMS), re.IGNORECASE)


def without_claims(text: str) -> str:
    """A text without what its writer says of the own success or confidence."""
    return _CLAIM.sub(" ", text)
