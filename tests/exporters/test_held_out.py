"""Evaluation requests never enter training, in any spelling and from any source."""

import html
import json
import unicodedata
import urllib.parse

import pytest

from burnish_exporters import build_dataset
from burnish_exporters.curate.steps.contamination import OverlapIndex
from burnish_exporters.curate.steps.pools import (
    Refusals,
    RefusedSketches,
    request_hash,
    request_sketch,
)
from burnish_exporters.pipeline import BuildOptions
from burnish_exporters.rows.keys import action_key, content_key

HELD = "Where is the order 4411 of Café Müller?"


def build(runs, **recipe):
    return build_dataset(runs, agent="support", verify=["outcome"], recipe=recipe)


def dropped(version):
    return {r: n for stage in version.manifest.funnel for r, n in stage["dropped"].items()}


@pytest.mark.parametrize(
    "typed",
    [
        unicodedata.normalize("NFD", HELD),
        HELD.replace("4411", "\uff14\uff14\uff11\uff11"),
        HELD.replace("order", "or\u00adder"),
        HELD.replace("is", "i\u200bs"),
        f"  {HELD.upper()} ",
    ],
)
def test_a_refused_request_is_refused_in_every_unicode_form(make_run, typed):
    runs = [make_run(1, request=typed), make_run(2)]

    assert dropped(build(runs, refuse_requests=[request_hash(HELD)])) == {"held out: request": 1}
    assert OverlapIndex([HELD]).find_overlap(typed) == "exact"


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        (f"{HELD} Please", True),
        ("Where is order 4411 of Café Müller?", True),
        ("the order 4411 of Café Müller, where is it?", True),
        ("Where is the order 4412 of Café Müller?", False),
        ("Where is the order 4411 of Café Meier?", False),
        ("Where is the order 4411 of Café Müller at 12?", False),
        ("Café Müller", False),
        ("", False),
    ],
)
def test_a_word_more_or_less_is_the_same_request_and_another_word_another(typed, near):
    assert RefusedSketches([request_sketch(HELD)]).is_near(typed) is near


def test_sketches_do_not_give_the_requests_away():
    assert "müller" not in request_sketch(HELD).casefold()
    assert "4411" not in request_sketch(HELD)


def test_nearly_refused_requests_are_counted(make_run):
    runs = [make_run(1, request=f"{HELD} Please."), make_run(2)]

    version = build(runs, refuse_similar=[request_sketch(HELD)])

    assert dropped(version) == {"held out: nearly the same request": 1}


def test_rows_of_the_parent_version_are_refused_too(make_run):
    parent = build([make_run(1, request=HELD), make_run(2)])
    assert parent.manifest.rows == {"train": 2}

    version = build_dataset(
        [make_run(3)],
        agent="support",
        verify=["outcome"],
        recipe={"refuse_requests": [request_hash(HELD)]},
        options=BuildOptions(from_=parent.id),
    )

    assert dropped(version) == {"held out: request": 1}
    assert version.manifest.rows == {"train": 2}


def test_general_conversations_are_refused_too(make_run, tmp_path):
    lines = [
        [{"role": "user", "content": text}, {"role": "assistant", "content": "Hm."}]
        for text in (HELD, "Hello")
    ]
    (tmp_path / "g.jsonl").write_text("\n".join(json.dumps({"messages": line}) for line in lines))

    version = build(
        [make_run(1)],
        general=[str(tmp_path / "g.jsonl")],
        general_share=0.5,
        refuse_requests=[request_hash(HELD)],
    )

    assert dropped(version) == {"held out: request": 1}
    assert version.manifest.rows == {"train": 2}


def test_a_refused_request_in_a_later_turn_is_refused(make_run):
    run = make_run(1)
    (*_, last) = run.model_calls
    last.messages.append({"role": "user", "parts": [{"type": "text", "content": HELD}]})

    assert dropped(build([run, make_run(2)], refuse_requests=[request_hash(HELD)])) == {
        "held out: request": 1
    }


def test_requests_typed_in_other_unicode_forms_have_the_same_keys():
    one, other = (
        [
            {"role": "user", "content": text, "loss": False},
            {"role": "assistant", "content": "Hm.", "loss": True},
        ]
        for text in (HELD, unicodedata.normalize("NFD", HELD))
    )

    assert action_key(one) == action_key(other)
    assert content_key(one) == content_key(other)


FORMS = {
    "entities": html.escape,
    "numeric entities": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "percent codes": urllib.parse.quote,
    "tags": lambda text: "<p><b>" + text.replace(" ", "</b> <b>") + "</b></p>",
    "escapes": lambda text: text.replace(" ", "\\n"),
    "courtesy": lambda text: f"Hello, could you please tell me: {text} Thank you!",
    "German courtesy": lambda text: f"Guten Tag, bitte sag mir: {text} Danke!",
    "selectors": lambda text: text + " \U0001f44d\ufe0f",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_request_in_another_wrapping_is_the_same_request(form):
    asked = "Which café is open at Piazza Navona on Sunday?"
    refusals = Refusals([], requests=[request_hash(asked)], similar=[request_sketch(asked)])

    assert refusals.of_requests([FORMS[form](asked)])
    assert OverlapIndex([asked]).find_overlap(FORMS[form](asked))
    assert not refusals.of_requests(["Hello, could you please tell me the time? Thank you!"])


@pytest.mark.parametrize("spaced", [str.split, list], ids=["no spaces", "spaced out"])
def test_spacing_makes_no_other_request(spaced):
    asked = "cancel my flight to Rome"
    joint = "" if spaced is str.split else " "

    assert OverlapIndex([asked]).find_overlap(joint.join(spaced(asked))) == "exact"
