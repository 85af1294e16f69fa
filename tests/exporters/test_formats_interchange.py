"""PRM labels, ADP and ATIF hold the content of a run, checked by readers of these forms."""

import copy
import json

import msgspec
import pytest

from burnish.errors import ExportError
from burnish_exporters import build_dataset
from burnish_exporters.formats import find_format


def rows_of(run):
    version = build_dataset([run], agent="support", verify=["outcome"], recipe={"contrast": True})
    return [*version.rows(), *version.rows("train-contrast")]


def attempts(make_run, *, answer, success, orders=2, n=1, failed=()):
    """An attempt at one task; all look the same orders up."""
    run = make_run(5, calls=orders + 1, task_id="t", request="Where?", answer=answer,
                   success=success, failed=failed)  # fmt: skip
    return msgspec.structs.replace(run, id=f"{n:032x}")


def test_a_step_is_good_where_some_attempt_that_took_it_succeeded(make_run):
    """Two attempts look the same up and part at the answer: only the last step of the failure is bad."""
    runs = [
        attempts(make_run, n=1, answer="In Oslo.", success=True),
        attempts(make_run, n=2, answer="In Rome.", success=False),
        attempts(make_run, n=3, orders=1, answer="No idea.", success=False),
    ]
    version = build_dataset(runs, agent="support", verify=["outcome"], recipe={"contrast": True})

    rows = {row["completions"][-1].splitlines()[-1]: row["labels"] for row in version.to("trl-prm")}

    assert rows == {
        "In Oslo.": [True, True, True],
        "In Rome.": [True, True, False],
        "No idea.": [True, False],
    }


def test_a_failed_call_is_a_bad_step_whatever_came_of_the_run(make_run):
    (row,) = rows_of(attempts(make_run, answer="In Oslo.", success=True, failed=[0]))

    (rendered,) = find_format("trl-prm").render([row])

    assert rendered["labels"] == [False, True, True]


def test_the_steps_of_a_run_are_all_of_it_as_text(make_run):
    (row,) = rows_of(attempts(make_run, answer="In Oslo.", success=True))

    (rendered,) = find_format("trl-prm").render([row])

    assert rendered["prompt"] == "system: You help.\nuser: Where?"
    assert rendered["completions"] == [
        'Let me see.\n{"name": "look_up", "arguments": {"order": 5}}',
        'tool: {"city": "city 0"}\nLet me see.\n{"name": "look_up", "arguments": {"order": 6}}',
        'tool: {"city": "city 1"}\nIn Oslo.',
    ]


def test_labels_reach_arrow_as_the_types_that_prm_trainers_read(make_run):
    import datasets

    runs = [attempts(make_run, answer="In Oslo.", success=True)]
    version = build_dataset(runs, agent="support", verify=["outcome"], recipe={"contrast": True})

    assert version.to("trl-prm").features == datasets.Features(
        prompt=datasets.Value("string"),
        completions=datasets.List(datasets.Value("string")),
        labels=datasets.List(datasets.Value("bool")),
    )


@pytest.fixture
def recovered(make_run):
    """A run whose first call failed and whose calls have their token ids; its row."""
    run = make_run(7, calls=3, failed=[0])
    calls = [
        msgspec.structs.replace(
            call, prompt_token_ids=[1, step], token_ids=[2, 3], logprobs=[-0.5, -0.25]
        )
        for step, call in enumerate(run.model_calls)
    ]
    (row,) = rows_of(msgspec.structs.replace(run, model_calls=calls))
    return row


def test_nvidias_reader_of_atif_accepts_our_trajectories(recovered):
    """The models of NeMo Agent Toolkit, which keep Harbor's rules."""
    from nat.atif import Trajectory

    (rendered,) = find_format("atif").render([recovered])

    read = Trajectory.model_validate(rendered)

    assert [step.source for step in read.steps] == ["system", "user", "agent", "agent", "agent"]
    assert [len(step.tool_calls or ()) for step in read.steps] == [0, 0, 1, 1, 0]
    assert read.steps[2].observation.results[0].content == "no such order"
    assert read.steps[2].metrics.completion_token_ids == [2, 3]
    assert [step.extra for step in read.steps[2:]] == [{"loss": False}, None, None]
    assert read.agent.tool_definitions[0]["function"]["name"] == "look_up"
    assert read.to_json_dict() == rendered  # nothing lost, nothing invented


def test_a_reply_out_of_the_history_is_copied_context(recovered):
    row = copy.deepcopy(recovered)
    row["calls"] = row["calls"][1:]

    (rendered,) = find_format("atif").render([row])

    assert [step.get("is_copied_context") for step in rendered["steps"][2:]] == [True, None, None]


SPOILED = {
    "a number out of order": lambda row: row["steps"][1].update(step_id=5),
    "a result of another step's call": lambda row: row["steps"][2]["observation"]["results"][0].update(source_call_id="x"),
    "metrics of a user": lambda row: row["steps"][1].update(metrics={"prompt_tokens": 1}),
    "an unknown field": lambda row: row["steps"][0].update(role="system"),
    "a step without source": lambda row: row["steps"][0].pop("source"),
    "arguments as text": lambda row: row["steps"][2]["tool_calls"][0].update(arguments="{}"),
    "an agent without version": lambda row: row["agent"].pop("version"),
}  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_our_check_refuses_what_nvidias_reader_refuses(recovered, spoil):
    from nat.atif import Trajectory
    from pydantic import ValidationError

    form = find_format("atif")
    (rendered,) = form.render([recovered])
    spoil(rendered)

    with pytest.raises(ValidationError):
        Trajectory.model_validate(rendered)
    with pytest.raises(ExportError):
        form.check(rendered)


def test_pictures_and_arguments_that_are_no_object_have_their_place_in_atif(recovered):
    from nat.atif import Trajectory

    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    row = copy.deepcopy(recovered)
    row["messages"][1]["content"] = [{"type": "text", "text": "This?"}, picture]
    row["messages"][2]["tool_calls"][0]["function"]["arguments"] = "{oops"

    (rendered,) = find_format("atif").render([row])

    read = Trajectory.model_validate(rendered)
    assert read.steps[1].message[1].source.media_type == "image/png"
    assert read.steps[2].tool_calls[0].extra == {"raw_arguments": "{oops"}


def test_adp_writes_thought_call_and_result_linked_by_id(recovered):
    (rendered,) = find_format("adp").render([recovered])

    assert rendered["content"] == [
        {"class_": "text_observation", "content": "Where is order 7?", "source": "user"},
        {"class_": "api_action", "function": "look_up", "kwargs": {"order": 7},
         "description": "Let me see.", "tool_call_id": "call-7-0"},
        {"class_": "text_observation", "content": "no such order", "source": "environment",
         "tool_call_id": "call-7-0"},
        {"class_": "api_action", "function": "look_up", "kwargs": {"order": 8},
         "description": "Let me see.", "tool_call_id": "call-7-1"},
        {"class_": "text_observation", "content": '{"city": "city 1"}', "source": "environment",
         "tool_call_id": "call-7-1"},
        {"class_": "message_action", "content": "Order 7 is in town."},
    ]  # fmt: skip
    assert rendered["details"]["system"] == "You help."
    assert rendered["details"]["learned"] == [3, 5]


def test_adp_links_stay_right_where_ids_repeat_calls_are_parallel_or_nobody_answered(recovered):
    row = copy.deepcopy(recovered)
    first, answer, second, other = row["messages"][2:6]
    for message in (first, second):
        message["tool_calls"][0]["id"] = "same"
    answer["tool_call_id"] = other["tool_call_id"] = "same"
    parallel = copy.deepcopy(first["tool_calls"][0]) | {"id": "two"}
    first["tool_calls"].append(parallel)
    row["messages"].insert(4, {**answer, "tool_call_id": "two"})
    row["messages"][-1]["tool_calls"] = [copy.deepcopy(parallel) | {"id": "open"}]
    form = find_format("adp")

    (rendered,) = form.render([row])

    form.check(rendered)
    ids = [item.get("tool_call_id") for item in rendered["content"]]
    assert ids == [None, "same", "two", "same", "two", "same-2", "same-2", None]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda row: row["content"][1].update(class_="call"),
        lambda row: row["content"][1].update(extra=1),
        lambda row: row["content"][2].pop("tool_call_id"),
        lambda row: row["content"][2].update(tool_call_id="call-7-1"),
        lambda row: row["content"][0].update(source="system"),
        lambda row: row.update(schema_version="0.9"),
    ],
    ids=["class", "field", "unanswered", "answered twice", "source", "version"],
)
def test_adp_is_refused_where_its_rules_are_broken(recovered, spoil):
    form = find_format("adp")
    (rendered,) = form.render([recovered])
    form.check(rendered)
    spoil(rendered)

    with pytest.raises(ExportError):
        form.check(rendered)


@pytest.mark.parametrize("name", ["adp", "atif"])
def test_what_a_form_has_no_place_for_is_left_out_and_counted(make_run, name):
    version = build_dataset([make_run(1), make_run(2)], agent="support", verify=["outcome"])
    export = version.export(name)
    rows = list(version.rows())
    sound = {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}
    rows[0]["messages"][1]["content"] = [sound]
    export._rows = lambda: rows

    assert len(list(export)) == 1
    (reason,) = export.report().refused
    assert reason.endswith("has no place for input_audio")


def test_interchange_forms_say_where_a_row_comes_from(recovered):
    adp, atif = (next(iter(find_format(name).render([recovered]))) for name in ("adp", "atif"))

    assert adp["details"]["trajectory_id"] == atif["session_id"] == recovered["trajectory_id"]
    assert adp["id"] == atif["trajectory_id"] == recovered["row_id"]
    assert adp["details"]["verdict"]["label"] == atif["extra"]["verdict"]["label"] == "success"
    assert json.loads(json.dumps(adp)) == adp
