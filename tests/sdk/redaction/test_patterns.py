"""Patterns that are found fast find what the plain ones find."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.redaction import SECRETS, STRUCTURED, Detector, Redactor, find, personal
from burnish.redaction.patterns import GuardedPattern, join_words
from burnish.redaction.secret_detection import secret_shapes
from burnish.redaction.secret_detection.secret_rules import TOKEN_RULES
from burnish.redaction.secret_detection.tokens import _BEGINNING, Token, draw_token

WORDS = st.lists(st.text("ab.", min_size=1, max_size=4), min_size=1, max_size=8)
NUMBERS = st.text("0123456789+(). -/aZ", max_size=60)
PHONE_BEHIND = r"(?<![A-Za-z0-9+.])(?<!\d[-/ ])(?<!\d-\()"


@given(words=WORDS, text=st.text("ab.", max_size=30))
def test_joined_words_take_the_longest_at_each_place(words, text):
    plain = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))

    found = [m.span() for m in re.finditer(join_words(words), text)]

    assert found == [m.span() for m in re.finditer(plain, text)]


@given(text=st.text("ab-", max_size=40))
def test_a_guarded_pattern_finds_what_the_pattern_behind_a_lookbehind_finds(text):
    guarded = GuardedPattern(re.compile("a(?<![ab]a)"), re.compile("a(?:b|-a){1,3}"))
    plain = re.compile("(?<![ab])a(?:b|-a){1,3}")

    assert [m.span() for m in guarded.finditer(text)] == [m.span() for m in plain.finditer(text)]
    assert guarded.occurs_in(text) == bool(plain.search(text))


@given(text=NUMBERS)
def test_guarded_phones_are_those_of_the_whole_pattern(text):
    whole = re.compile(PHONE_BEHIND + personal._PHONE_FORM.pattern, personal._PHONE_FORM.flags)

    found = [m.span() for m in personal._PHONE.finditer(text)]

    assert found == [m.span() for m in whole.finditer(text)]


@given(text=NUMBERS | st.text("0123456789 -.XYZABCDEFH", max_size=40))
def test_no_national_form_is_outside_the_guard_of_all(text):
    if any(pattern.search(text) for pattern, _ in personal._NATIONAL):
        assert personal._ANY_NATIONAL.occurs_in(text)


def test_each_published_form_is_long_enough_for_the_search():
    rng = random.Random(4)
    for _, template in TOKEN_RULES:
        token = draw_token(template, rng)
        assert _BEGINNING.search(f'"{token}"'), template


def test_hints_that_overlap_do_not_hide_each_other():
    """The text "echo -psecret" holds "echo " and, on its blank, " -p"."""
    for number, shape in enumerate(secret_shapes._SHAPES):
        for hint in shape.hints:
            for other in secret_shapes._HINTS:
                text = f"{other[:-1]}{hint}" if hint[0] == other[-1] else f"{other}{hint}"
                found = secret_shapes._HINT.findall(text)
                near = set().union(*map(secret_shapes._shapes_near, found))
                assert number in near, (other, hint)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("Sal\u0131tel: 55512345 678", []),  # Turkish, where "tel" ends a word
        ("\u017ftel 5551234 567", []),
        ("tel ok, \u1c84елефон: 55512345678", [(17, 28)]),  # noqa: RUF001
        ("Tel: 55512345 678", [(5, 17)]),
    ],
)
def test_words_before_a_phone_number_begin_behind_any_letter_that_lower_case_folds(text, places):
    found = [(f.start, f.end) for f in find(text, SECRETS + STRUCTURED)]

    assert found == places


def test_a_detector_of_ones_own_reads_every_text():
    zebra = Detector("zebra", lambda view: iter([Token("zebra", 2, 7)]))

    assert [f.text for f in find("a zebra runs", [zebra])] == ["zebra"]
    assert Redactor(b"k" * 32, [zebra]).clean("a zebra runs") != "a zebra runs"


def test_a_detector_that_is_made_again_is_the_same_one():
    again = Detector("shape", secret_shapes.find_shapes)

    cleaned = Redactor(b"k" * 32, [again]).clean_value({"password": "hunter2xyz"})

    assert "hunter2xyz" not in cleaned["password"]
