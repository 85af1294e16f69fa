"""Rows leave without personal data, and token ids of replaced text leave with it."""

import json
import sys

import msgspec
import pytest

from burnish.errors import EmptyDataset, ExportError
from burnish_exporters import BuildOptions, build_dataset
from burnish_exporters.redact import second_look_name

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
        "replaced": {"card": 1, "email": 1, "phone": 1}, "rows": 1, "calls_without_ids": 0,
        "second_look": second_look_name(),
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


def of_kind(run, kind, source="production"):
    return msgspec.structs.replace(run, tags=[f"kind:{kind}"], source=source)


def test_kinds_tags_and_sources_are_clean_in_the_card_the_manifest_and_the_rows(make_run):
    runs = [of_kind(make_run(n), f"refund {MAIL}") for n in range(2)]
    runs.append(of_kind(make_run(2), f"refund {MAIL}", source=f"crm {MAIL}"))

    version = build(runs)

    files = [path for path in version.path.rglob("*") if path.is_file()]
    assert not [path.name for path in files if MAIL.encode() in path.read_bytes()]
    assert not any(MAIL in str(row) for row in version.rows())
    (kind,) = version.manifest.extras["coverage"]
    assert kind.startswith("refund u")


def test_the_second_look_keeps_out_what_the_first_detectors_do_not_know(make_run):
    drawn = "Zk9" + "qT4vX8mB2nR7wL5c"
    runs = [
        make_run(1),
        make_run(2, answer=f"The secret of the door, by the way, {drawn} opens it."),
    ]

    version = build(runs)

    assert len(list(version.rows())) == 1
    dropped = {reason for stage in version.manifest.funnel for reason in stage["dropped"]}
    assert "second look: high entropy beside a telling word" in dropped
    assert version.manifest.extras["redaction"]["second_look"] == second_look_name()


def test_the_second_look_knows_nothing_of_the_first_rules(make_run, monkeypatch):
    """With the first detectors blind, an address and a token still never reach the rows."""
    from burnish.redaction import redactor

    monkeypatch.setattr(redactor, "find", lambda text, detectors: [])
    token = "AKIA" + "Z7QF3N2KD9WL5R8T"
    runs = [make_run(1), make_run(2, answer=f"Ask {MAIL}."), make_run(3, answer=f"Use {token}.")]

    version = build(runs)

    assert not any(MAIL in str(row) for row in version.rows())
    if "detect-secrets" in second_look_name():
        assert not any(token in str(row) for row in version.rows())


def test_stand_ins_and_ordinary_words_pass_the_second_look(make_run):
    text = f"Write to {MAIL}. The token budget is 4096; the password policy asks for 12 characters."
    version = build([make_run(1, request=text)])

    assert len(list(version.rows())) == 1


def test_an_empty_dataset_names_no_one_in_its_reasons(make_run):
    runs = [of_kind(make_run(0), "refund", source=f"crm {MAIL}")]

    with pytest.raises(EmptyDataset) as raised:
        build(runs)

    assert "held out: source crm" in str(raised.value)
    assert MAIL not in str(raised.value)


def test_a_text_that_an_own_pattern_takes_too_long_for_is_withheld_and_counted(make_run):
    slow = "b" + "a" * 60 + "! anna has badge B-1"
    version = build([make_run(1, request=slow)], {"redact_patterns": {"badge": r"(a|aa)+$|B-\d"}})

    (row,) = version.rows("train")
    text = str(row["messages"])
    assert "anna" not in text
    assert "B-1" not in text
    assert version.manifest.extras["redaction"]["replaced"]["withheld"] > 0
