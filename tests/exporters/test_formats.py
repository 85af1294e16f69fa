"""Rendered rows have the form that their consumers read, checked by the consumers themselves."""

import json

import msgspec
import pytest

from burnish.errors import ExportError, VersionConflict
from burnish_exporters import build_dataset
from burnish_exporters.formats import FORMATS, find_format


@pytest.fixture
def version(make_run):
    runs = [make_run(n, calls=3) for n in range(3)]
    return build_dataset(runs, agent="support", verify=["outcome"])


def test_trl_gets_messages_and_tools(version):
    data = version.to("trl-sft")

    assert data.column_names == ["messages", "tools"]
    assert len(data) == 3
    assert all("loss" not in message for message in data[0]["messages"])


def test_different_arguments_survive_arrow_without_invented_nulls(make_run):
    def with_arguments(n, arguments):
        text = msgspec.json.encode(make_run(n)).decode()
        return msgspec.json.decode(
            text.replace(f'"arguments":{{"order":{n}}}', f'"arguments":{json.dumps(arguments)}'),
            type=type(make_run()),
        )

    given = [{"x": 1}, {"y": [1, 2], "z": None}]
    runs = [with_arguments(n, arguments) for n, arguments in enumerate(given, 1)]
    version = build_dataset(runs, agent="support", verify=["outcome"])

    strings, objects = version.to("trl-sft-strings"), version.to("trl-sft")

    for data, read in ((strings, json.loads), (objects, lambda value: value)):
        found = [row["messages"][2]["tool_calls"][0]["function"]["arguments"] for row in data]
        assert [read(value) for value in found] == given


@pytest.mark.parametrize("name", ["trl-sft", "trl-prompt-completion", "openai", "atif"])
def test_a_tool_schema_keeps_the_order_in_which_clients_send_it(version, name):
    """Chat templates print schemas as they come: sorted keys would be another prompt than the model saw."""
    row = version.to(name)[0]
    tools = row["agent"]["tool_definitions"] if name == "atif" else row["tools"]

    assert [list(tool) for tool in tools] == [["type", "function"]]
    assert list(tools[0]["function"]) == ["name", "description", "parameters"]


def contrasted(make_run):
    """Tasks 0 to 2, each with a success and a failure that calls the tool for another order, ids captured."""
    runs = []
    for task in range(3):
        for side, success in enumerate((True, False)):
            run = make_run(10 * task + side, calls=3, success=success, task_id=f"t{task}",
                           request=f"Where is {task}?")  # fmt: skip
            calls = [
                msgspec.structs.replace(
                    call, prompt_token_ids=[1, 2, step], token_ids=[3, 4], logprobs=[-0.1, -0.2]
                )
                for step, call in enumerate(run.model_calls)
            ]
            runs.append(msgspec.structs.replace(run, model_calls=calls))
    return build_dataset(runs, agent="support", verify=["outcome"], recipe={"contrast": True})


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_passes_its_own_check_and_loads_as_a_dataset(make_run, name):
    version = contrasted(make_run)
    form = find_format(name)

    data = version.to(name)

    assert len(data) > 0
    assert set(data.column_names) == set(form.columns)
    for row in data:
        form.check(row)


def test_prompt_and_completion_are_cut_at_each_learned_reply_only(make_run):
    version = build_dataset([make_run(calls=3, failed=[0])], agent="support", verify=["outcome"])

    rows = list(version.to("trl-prompt-completion"))

    assert [len(row["prompt"]) for row in rows] == [4, 6]
    assert all(len(row["completion"]) == 1 for row in rows)


def test_each_reply_has_exactly_the_prompt_and_the_tools_that_its_call_had(make_run):
    """The middle call saw a trimmed history, the last one another list of tools."""
    from burnish_exporters.rows.chat import to_chat
    from burnish_exporters.rows.row import chat_tool

    run = make_run(calls=4)
    calls = list(run.model_calls)
    calls[2] = msgspec.structs.replace(
        calls[2], messages=[calls[2].messages[0], *calls[2].messages[-2:]]
    )
    other = {**calls[3].tools[0], "name": "give_up"}
    calls[3] = msgspec.structs.replace(calls[3], tools=[*calls[3].tools, other])
    run = msgspec.structs.replace(run, model_calls=calls)
    version = build_dataset([run], agent="support", verify=["outcome"])

    rows = list(version.to("trl-prompt-completion-strings"))

    def seen(call):
        prompt = [chat for message in call.messages for chat in to_chat(message)]
        return json.dumps([prompt, [chat_tool(tool) for tool in call.tools]], sort_keys=True)

    taught = sorted(json.dumps([row["prompt"], row["tools"]], sort_keys=True) for row in rows)
    assert taught == sorted(map(seen, calls))


def test_a_pair_shares_its_prompt_and_parts_at_a_reply_of_the_same_task(make_run):
    pairs = list(contrasted(make_run).to("trl-dpo"))

    assert len(pairs) == 3
    for task, pair in enumerate(sorted(pairs, key=lambda p: p["prompt"][1]["content"])):
        assert [m["role"] for m in pair["prompt"]] == ["system", "user"]
        assert pair["prompt"][1]["content"] == f"Where is {task}?"
        assert len(pair["chosen"]) == len(pair["rejected"]) == 5
        asked = [side[0]["tool_calls"][0]["function"]["arguments"]["order"]
                 for side in (pair["chosen"], pair["rejected"])]  # fmt: skip
        assert asked == [10 * task, 10 * task + 1]


def test_a_step_pair_is_one_reply_against_another(make_run):
    pairs = list(contrasted(make_run).to("trl-dpo-step"))

    assert [(len(pair["chosen"]), len(pair["rejected"])) for pair in pairs] == [(1, 1)] * 3


def test_a_failed_call_and_its_retry_make_a_step_pair(make_run):
    version = build_dataset(
        [make_run(calls=3, failed=[0])],
        agent="support",
        verify=["outcome"],
        recipe={"contrast": True},
    )

    (pair,) = version.to("trl-dpo-step")

    orders = [side[0]["tool_calls"][0]["function"]["arguments"]["order"]
              for side in (pair["chosen"], pair["rejected"])]  # fmt: skip
    assert orders == [1, 0]
    assert len(pair["prompt"]) == 2


def test_a_version_without_failures_says_how_to_get_them(version):
    with pytest.raises(ExportError, match="contrast"):
        version.to("trl-dpo")


def test_steps_for_rl_carry_ids_reward_and_a_state_that_siblings_share(make_run):
    steps = list(contrasted(make_run).to("rl-steps"))

    assert len(steps) == 6 * 3
    assert {step["reward"] for step in steps} == {0.0, 1.0}
    first = [step for step in steps if step["step"] == 0 and step["group"] == "t0"]
    assert len({step["state_key"] for step in first}) == 1
    assert (
        len({step["state_key"] for step in steps if step["group"] == "t0" and step["step"] == 1})
        == 2
    )
    assert all(len(step["logprobs"]) == len(step["response_ids"]) == 2 for step in steps)


def test_sharegpt_writes_thought_and_call_in_one_turn(version):
    row = version.to("sharegpt")[0]

    turns = [turn["from"] for turn in row["conversations"]]
    assert turns == ["human", "function_call", "observation", "function_call", "observation", "gpt"]
    said = row["conversations"][1]["value"]
    thought, call = said.removesuffix("</tool_call>").split("\n<tool_call>")
    assert thought == "Let me see."
    assert json.loads(call)["name"] == "look_up"


def test_openai_rows_mark_what_is_not_learned_by_weight_zero(make_run):
    run = make_run(calls=3, failed=[0])
    version = build_dataset([run], agent="support", verify=["outcome"])

    (row,) = version.to("openai")

    said = [message for message in row["messages"] if message["role"] == "assistant"]
    assert [message.get("weight") for message in said] == [0, None, None]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda row: row["messages"].append({"role": "robot", "content": "x"}),
        lambda row: row["messages"][2]["tool_calls"][0]["function"].update(arguments={"a": 1}),
        lambda row: row["messages"][3].pop("tool_call_id"),
        lambda row: row["tools"][0].pop("function"),
    ],
)
def test_openais_own_types_refuse_a_spoiled_row(version, spoil):
    form = find_format("openai")
    row = msgspec.json.decode(msgspec.json.encode(next(form.render(version.rows()))))
    form.check(row)
    spoil(row)

    with pytest.raises(ExportError, match="OpenAI's form"):
        form.check(row)


def test_a_written_file_has_a_line_a_row_and_is_never_written_over(version, tmp_path):
    path = version.write("openai", tmp_path / "out" / "rows.jsonl")

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 3
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(VersionConflict):
        version.write("openai", path)


def test_an_unknown_format_names_the_nearest(version):
    with pytest.raises(
        ExportError,
        match="unknown format 'trl_sft'; expected 'trl-sft', or another one of adp, atif",
    ):
        version.to("trl_sft")


def test_the_card_loads_as_a_dataset_with_its_splits(version):
    import datasets

    loaded = datasets.load_dataset("parquet", data_dir=str(version.path / "rows"), split="train")

    assert len(loaded) == 3
    card = (version.path / "card.md").read_text()
    assert card.startswith("---\npretty_name: support@")
    assert "  - split: train\n    path: rows/train.parquet" in card
