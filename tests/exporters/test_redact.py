"""Rows leave without personal data, and token ids of replaced text leave with it."""

import json
import sys

import msgspec
import pytest

from burnish.errors import ExportError
from burnish_exporters import BuildOptions, build_dataset

MAIL = "anna.smith@firm.com"


def build(runs, recipe=None, **options):
    return build_dataset(
        runs, agent="support", verify=["outcome"], recipe=recipe, options=BuildOptions(**options)
    )


def with_ids(run):
    calls = [
        msgspec.structs.replace(call, prompt_token_ids=[1, 2], token_ids=[3], logprobs=[-0.1])
        for call in run.model_calls
    ]
    return msgspec.structs.replace(run, model_calls=calls)


def test_an_address_is_the_same_stand_in_in_request_arguments_result_and_answer(make_run):
    text = msgspec.json.encode(make_run(1, request=f"Order 1 of {MAIL}?", answer=f"Ask {MAIL}."))
    text = text.replace(
        b'"arguments":{"order":1}', f'"arguments":{{"order":1,"to":"{MAIL}"}}'.encode()
    )
    text = text.replace(b'{"city":"city 0"}', f'{{"city":"city 0","owner":"{MAIL}"}}'.encode())
    run = msgspec.json.decode(text, type=type(make_run()))

    (row,) = build([run]).rows()

    found = json.dumps(row["messages"])
    assert MAIL not in found
    assert found.count("@example.invalid") == 4
    assert len({part.split("@")[0][-13:] for part in found.split("@example.invalid")[:-1]}) == 1


def test_ids_of_a_run_without_personal_data_are_kept_and_of_one_with_it_are_gone(make_run):
    runs = [with_ids(make_run(1)), with_ids(make_run(2, request=f"I am {MAIL}"))]

    version = build(runs)

    kept, stripped = sorted(version.rows(), key=lambda row: row["task_id"])
    assert all("token_ids" in call for call in kept["calls"])
    assert not any(
        name in call
        for call in stripped["calls"]
        for name in ("prompt_token_ids", "token_ids", "logprobs")
    )
    assert version.manifest.extras["redaction"]["calls_without_ids"] == 2


def test_ids_before_the_replaced_text_are_kept(make_run):
    (row,) = build([with_ids(make_run(1, calls=3, answer=f"Write to {MAIL}."))]).rows()

    assert ["token_ids" in call for call in row["calls"]] == [True, True, False]


def test_the_report_counts_by_type(make_run):
    version = build([make_run(1, request=f"{MAIL} or +49 30 1234567, card 4111 1111 1111 1111")])

    assert version.manifest.extras["redaction"] == {
        "replaced": {"card": 1, "email": 1, "phone": 1}, "rows": 1, "calls_without_ids": 0
    }  # fmt: skip


def test_users_are_stand_ins_and_the_same_ones(make_run):
    rows = list(build([make_run(n, user="anna") for n in range(2)]).rows())

    assert rows[0]["user"] == rows[1]["user"] != "anna"


def test_patterns_of_ones_own_are_replaced(make_run):
    (row,) = build(
        [make_run(1, request="badge B-7712-X please")], {"redact_patterns": {"badge": r"B-\d{4}-X"}}
    ).rows()

    assert row["messages"][1]["content"].startswith("badge REDACTED-BADGE-")


def test_a_leak_in_token_ids_stops_the_build(make_run):
    """The decoder reads an address where the messages have none."""
    with pytest.raises(ExportError, match="2 email in token ids"):
        build([with_ids(make_run(1, calls=1))], decoder=lambda ids: f"{MAIL} {ids}")


def test_nothing_is_replaced_where_that_was_asked_for(make_run):
    (row,) = build([make_run(1, request=f"I am {MAIL}")], {"redact": "none"}).rows()

    assert MAIL in row["messages"][1]["content"]


def test_a_wrong_pattern_is_refused(make_run):
    with pytest.raises(ExportError, match="redaction pattern badge"):
        build([make_run()], {"redact_patterns": {"badge": "("}})


@pytest.mark.parametrize("package", ["presidio_analyzer", "detect_secrets.core.scan"])
def test_missing_engines_say_what_to_install(make_run, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ExportError, match=r"burnish\[redact\]"):
        build([make_run()], {"redact": "full"})
