"""Recall and false alarms on texts of other authors."""

import pytest

from burnish.redaction import SECRETS, STRUCTURED, Redactor
from burnish.testing.redaction_kit import KINDS, draw_samples, is_still_shown, measure_redaction

PERSONAL = {"email", "phone", "phone, told by a word", "card", "iban", "ip"}


@pytest.fixture(scope="module")
def report():
    return measure_redaction(Redactor(b"key").clean, count=300, seed=20)


@pytest.mark.parametrize("kind", KINDS)
def test_at_least_99_percent_of_each_kind_are_gone(report, kind):
    missed = [sample.text for sample in report.missed if sample.kind == kind]

    assert report.recall[kind] >= 0.99, missed[:3]


def test_at_most_one_ordinary_text_in_a_hundred_is_changed(report):
    assert report.false_alarms <= 0.01, report.alarms[:3]


@pytest.mark.parametrize("detectors", [SECRETS, STRUCTURED], ids=["secrets", "structured"])
def test_each_half_of_the_detectors_finds_its_kinds_alone(detectors):
    found = measure_redaction(Redactor(b"key", detectors).clean, count=30).recall
    own = PERSONAL if detectors is STRUCTURED else KINDS.keys() - PERSONAL

    assert min(found[kind] for kind in own) >= 0.99
    if detectors is SECRETS:
        assert max(found[kind] for kind in PERSONAL) <= 0.05


def test_the_measure_notices_what_is_left():
    report = measure_redaction(lambda text: text, count=20)

    assert set(report.recall.values()) == {0}
    assert len(report.missed) == 20 * len(KINDS)
    assert measure_redaction(lambda text: "", count=20).false_alarms == 1


def test_a_good_part_of_a_value_counts_as_the_value():
    (sample,) = draw_samples("card", 1)

    assert is_still_shown(sample.value, sample.text)
    digits = "".join(filter(str.isdigit, sample.value))
    assert is_still_shown(sample.value, f"it ends in {digits[-8:]}")
    assert not is_still_shown(sample.value, "it is gone")


def test_stand_ins_of_all_kinds_are_left_as_they_are():
    redactor = Redactor(b"key")

    for kind in KINDS:
        for sample in draw_samples(kind, 20):
            once = redactor.clean(sample.text)
            assert redactor.clean(once) == once, sample
