"""Texts that people type in different ways are equal, and texts that only look alike are not."""

import unicodedata

import pytest

from burnish.trajectories.normal_form import comparable_text, comparable_words, normal_text

HELD = "Wo ist die Bestellung 4411 von Café Müller?"


@pytest.mark.parametrize(
    "typed",
    [
        unicodedata.normalize("NFD", HELD),
        HELD.replace("4411", "\uff14\uff14\uff11\uff11"),
        HELD.replace("4411", "٤٤١١"),
        HELD.replace("Bestell", "Be\u00adstell"),
        HELD.replace("ist", "i\u200bst"),
        HELD.replace("ist", "i\u2060s\ufe0ft"),
        HELD.replace("ist", "i\u034fst\u3164"),
        HELD.replace("ist", "i\x00st"),
        HELD.replace(" ", "\u00a0").replace("?", "\uff1f"),
        HELD.upper(),
        "\ufeff" + HELD.replace("ie", "i\u0323e"),
        "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in HELD),
        HELD.replace("é", "e").replace("ü", "u"),
    ],
)
def test_the_same_request_has_the_same_words_however_it_is_typed(typed):
    assert comparable_words(typed) == (
        "wo",
        "ist",
        "die",
        "bestellung",
        "4411",
        "von",
        "cafe",
        "muller",
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("कि", "की"),  # vowel signs
        ("มา", "มี"),
        ("か", "が"),  # sound marks
        ("order 17", "order 18"),
        ("한", "하"),
    ],
)
def test_signs_that_are_letters_of_their_own_are_kept(one, other):
    assert comparable_words(one) != comparable_words(other)


def test_optional_signs_of_hebrew_arabic_and_cyrillic_make_no_other_request():
    assert comparable_text("שָׁלוֹם") == comparable_text("שלום")
    assert comparable_text("كِتَاب") == comparable_text("كتاب")
    assert comparable_text("ещё") == comparable_text("еще")


def test_the_normal_form_keeps_case_and_accents():
    assert normal_text("Cafe\u0301  Mu\u0308ller\u200b\n") == "Café Müller"
    assert normal_text("plain  text") == "plain text"
    assert normal_text("a\ud800b") == "a\ud800b"
