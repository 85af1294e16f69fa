"""Each published form of a token is found in every context, and other text stays."""

import random
import re

import pytest

from burnish.redaction import SECRETS, Redactor
from burnish.redaction.secret_detection.secret_rules import INNER_RULES, TOKEN_RULES
from burnish.redaction.secret_detection.tokens import draw_token, token_pattern
from burnish.testing.redaction_kit import draw_ordinary_texts
from burnish.testing.secret_corpus import TOKEN_CONTEXTS, is_shown, measure_secrets

TEMPLATES = sorted(
    {template for _, template in TOKEN_RULES} | {template for _, _, template in INNER_RULES}
)


@pytest.fixture(scope="module")
def redactor():
    return Redactor(b"key", SECRETS)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_token_of_each_form_is_gone_from_each_context(template, redactor):
    rng = random.Random(template)
    kept = []
    for context, frame in TOKEN_CONTEXTS.items():
        token = draw_token(template, rng)
        cleaned = redactor.clean(frame.replace("{}", token))
        if is_shown(token, cleaned):
            kept.append(context)
        assert redactor.clean(cleaned) == cleaned
        assert redactor.leaks(cleaned) == []

    assert not kept


def test_the_hint_of_each_form_stands_in_its_template():
    assert all(hint in template for _, hint, template in INNER_RULES)


def test_each_pattern_bounds_its_length():
    for template in TEMPLATES:
        longest = draw_token(template, random.Random(1)) + "a" * 20_000
        match = re.match(token_pattern(template), longest)
        assert match is None or match.end() < 10_000


def test_at_least_98_percent_of_the_corpus_are_gone():
    report = measure_secrets(Redactor(b"key", SECRETS).clean_value, seed=7)

    assert report.forms >= 140
    assert len(TOKEN_CONTEXTS) >= 12
    assert report.samples >= 12 * report.forms
    assert report.recall >= 0.98, [sample.value for sample in report.missed[:5]]


def test_the_measure_notices_secrets_that_are_left():
    report = measure_secrets(lambda value: value)

    assert report.recall <= 0.01


def test_at_most_one_ordinary_text_in_two_hundred_is_changed():
    redactor = Redactor(b"key")
    texts = list(draw_ordinary_texts(4_000, seed=11))

    changed = [text for text in texts if redactor.clean_value(text) != text]

    assert len(changed) / len(texts) <= 0.005, changed[:5]
