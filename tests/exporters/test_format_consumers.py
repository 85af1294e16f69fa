"""Formats as their consumers read them, and the effect of chat templates on them."""

import json
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from burnish.errors import ExportError, VersionConflict
from burnish_exporters import build_dataset
from burnish_exporters.commands.dataset import app
from burnish_exporters.formats.registry import FORMATS, find_format
from burnish_exporters.formats.templates.rendering import ChatTemplate, TemplateError, read_template
from burnish_exporters.formats.templates.template_check import WAYS, check_template

TOOL = {
    "type": "function",
    "function": {
        "name": "book",
        "description": "Books.",
        "parameters": {
            "type": "object",
            "properties": {"to": {"type": "string"}, "class": {"type": "string"}},
        },
    },
}


def call(number, arguments):
    return {
        "id": f"c{number}",
        "type": "function",
        "function": {"name": "book", "arguments": arguments},
    }


def row(
    *, arguments=('{"to": "Oslo"}', '{"to": "Bodø", "class": "b"}'), text="I book both.", **more
):
    """A row with parallel calls beside a text, their results, and an answer."""
    calls = [call(n, a) for n, a in enumerate(arguments)]
    messages = [
        {"role": "system", "content": "Be brief.", "loss": False},
        {"role": "user", "content": "Book Oslo and Bodø.", "loss": False},
        {"role": "assistant", "content": text, "tool_calls": calls, "loss": True},
        *({"role": "tool", "tool_call_id": c["id"], "content": f"booked {n}", "loss": False}
          for n, c in enumerate(calls)),
        {"role": "assistant", "content": "Done.", "loss": True},
    ]  # fmt: skip
    facts = {
        "row_id": "r",
        "trajectory_id": "t",
        "task_id": "x",
        "user": None,
        "split": "train",
        "source": "production",
    }
    made = [{"span_id": "1", "message": 2}, {"span_id": "2", "message": len(messages) - 1}]
    verdict = {"label": "success", "verifier": "v", "version": "1", "score": None}
    return {**facts, "kind_tags": [], "messages": messages, "tools": [TOOL], "calls": made,
            "verdict": verdict, "weight": 1.0, **more}  # fmt: skip


def trl_template(name: str) -> Path:
    trl = pytest.importorskip("trl")
    return Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja"


def rendered(form, *rows):
    made = find_format(form)
    found = list(made.render(rows))
    for each in found:
        made.check(each)
    return found, dict(made.refused)


MALFORMED = row(arguments=('{"to": "Os',))
OBJECTS = ("trl-sft", "trl-prompt-completion", "trl-kto", "sharegpt", "verl")


@pytest.mark.parametrize("name", OBJECTS)
def test_a_call_that_is_no_object_is_left_out_and_counted_and_the_others_are_written(name):
    found, refused = rendered(name, MALFORMED, row())

    assert found
    assert sum(refused.values()) >= 1
    assert set(refused) == {"a call whose arguments are no JSON object"}


@pytest.mark.parametrize(
    "name", [name for name in FORMATS if name.startswith("trl-") and name != "trl-prm"]
)
def test_trl_takes_objects_and_strings_beside_them(make_run, name):
    runs = [
        make_run(order, calls=3, success=not order, task_id="t", request="Where?")
        for order in (0, 1)
    ]
    version = build_dataset(runs, agent="support", verify=["outcome"], recipe={"contrast": True})

    arguments = [
        used["function"]["arguments"]
        for made in version.export(name)
        for part in made.values()
        if isinstance(part, list)
        for message in part
        for used in message.get("tool_calls") or ()
    ]

    assert arguments
    assert {type(given) for given in arguments} == {str if name.endswith("-strings") else dict}


def test_llama_factory_gets_alternating_turns_and_calls_as_json():
    (made,), _ = rendered("sharegpt", row())

    turns = made["conversations"]
    assert [turn["from"] for turn in turns] == ["human", "function_call", "observation", "gpt"]
    text, calls = turns[1]["value"].removesuffix("</tool_call>").split("\n<tool_call>")
    assert text == "I book both."
    assert json.loads(calls) == [
        {"name": "book", "arguments": {"to": "Oslo"}},
        {"name": "book", "arguments": {"to": "Bodø", "class": "b"}},
    ]
    assert turns[2]["value"] == "booked 0\n</tool_response>\n<tool_response>\nbooked 1"
    assert made["system"] == "Be brief."
    assert json.loads(made["tools"]) == [TOOL["function"]]


def test_llama_factory_gets_a_call_without_text_as_plain_json_whatever_it_holds():
    arguments = {"to": "<tool_call>x</tool_call><think>y</think>"}
    (made,), _ = rendered("sharegpt", row(arguments=(json.dumps(arguments),), text=""))

    value = made["conversations"][1]["value"]
    assert json.loads(value) == {"name": "book", "arguments": arguments}
    assert "<" not in value


def test_llama_factory_never_gets_turns_that_it_would_skip():
    odd = row()
    odd["messages"].insert(1, {"role": "user", "content": "Hello.", "loss": False})
    late = row()
    late["messages"].insert(3, {"role": "system", "content": "Hurry.", "loss": False})
    marked = row(text="I use <tool_call>.")

    found, refused = rendered("sharegpt", odd, late, marked)

    assert found == []
    assert sum(refused.values()) == 3


def test_swift_gets_a_loss_flag_on_every_reply_and_no_key_that_it_would_drop():
    given = row()
    given["messages"][2]["loss"] = False
    given["messages"][2]["reasoning_content"] = "Two."
    (made,), _ = rendered("swift", given)

    said = [message for message in made["messages"] if message["role"] == "assistant"]
    assert [message["loss"] for message in said] == [False, True]
    assert said[0]["content"] == "<think>\nTwo.\n</think>\n\nI book both."
    assert {key for message in made["messages"] for key in message} == {
        "role", "content", "loss", "tool_calls", "tool_call_id"
    }  # fmt: skip
    assert json.loads(made["tools"]) == [TOOL]


@pytest.fixture
def parting(make_run):
    """A version of two runs that part at their first reply: order 0 succeeds, order 1 fails."""
    runs = [
        make_run(order, calls=3, success=not order, task_id="t", request="Where?")
        for order in (0, 1)
    ]
    return build_dataset(runs, agent="support", verify=["outcome"], recipe={"contrast": True})


def test_openai_gets_preferences_of_one_reply_each(parting):
    (pair,) = parting.to("openai-dpo")

    assert list(pair) == ["input", "preferred_output", "non_preferred_output"]
    assert [m["role"] for m in pair["input"]["messages"]] == ["system", "user"]
    sides = [pair["preferred_output"], pair["non_preferred_output"]]
    assert [side[0]["tool_calls"][0]["function"]["arguments"] for side in sides] == [
        '{"order": 0}',
        '{"order": 1}',
    ]
    assert all("weight" not in message for side in sides for message in side)


def test_llama_factory_gets_preferences_of_one_turn_each(parting):
    (pair,) = parting.to("sharegpt-dpo")

    assert [turn["from"] for turn in pair["conversations"]] == ["human"]
    assert [pair[side]["from"] for side in ("chosen", "rejected")] == ["function_call"] * 2
    orders = [_call_in(pair[side])["arguments"]["order"] for side in ("chosen", "rejected")]
    assert orders == [0, 1]
    assert pair["system"]
    assert json.loads(pair["tools"])
    with pytest.raises(ExportError, match="two different replies"):
        find_format("sharegpt-dpo").check({**pair, "rejected": pair["chosen"]})
    with pytest.raises(ExportError, match="pairs of turns"):
        find_format("sharegpt-dpo").check({**pair, "conversations": []})


def _call_in(turn):
    _, marked, call = turn["value"].partition("<tool_call>")
    return json.loads(call.removesuffix("</tool_call>") if marked else turn["value"])


def test_a_preference_that_llama_factory_would_skip_is_counted(parting):
    export = parting.export("sharegpt-dpo")
    rows = [*parting.rows(), *parting.rows("train-contrast")]
    for each in rows:
        each["messages"].insert(1, {"role": "user", "content": "Hello.", "loss": False})
    export._rows = lambda: rows

    assert list(export) == []
    assert export.report().refused == {
        "turns that do not alternate between asking and answering": 1
    }


@pytest.mark.parametrize("family", ["qwen3", "qwen3_instruct_2507", "qwen2_5"])
def test_verls_text_renders_as_the_structured_messages_do(family):
    template = read_template(trl_template(family))
    (structured,), _ = rendered("trl-sft", row())
    (text,), _ = rendered("verl", row())

    assert template.render(text["messages"], []) == template.render(
        structured["messages"], structured["tools"]
    )


def test_verls_parquet_holds_role_and_content_alone(make_run, tmp_path):
    version = build_dataset(
        [make_run(1), make_run(2, calls=3)], agent="support", verify=["outcome"]
    )
    path = version.write("verl", tmp_path / "rows.parquet")

    found = pq.read_table(path).to_pylist()
    assert len(found) == 2
    assert all(
        list(message) == ["role", "content"] for each in found for message in each["messages"]
    )
    assert not any(
        value is None
        for each in found
        for message in each["messages"]
        for value in message.values()
    )
    with pytest.raises(VersionConflict):
        version.write("verl", path)
    with pytest.raises(ExportError, match="written as JSON lines"):
        version.write("openai", tmp_path / "other.parquet")


def test_verl_gets_no_reply_that_it_must_not_learn():
    given = row()
    given["messages"][2]["loss"] = False

    assert rendered("verl", given) == (
        [],
        {"a reply that is not learned, which verl would learn": 1},
    )


def test_a_row_that_breaks_the_rules_is_counted_and_ends_nothing(make_run):
    version = build_dataset([make_run(1), make_run(2)], agent="support", verify=["outcome"])
    export = version.export("openai")
    given = list(version.rows())
    given[0]["tools"] = [{"type": "function"}]
    export._rows = lambda: given

    assert len(list(export)) == 1
    assert sum(export.report().refused.values()) == 1


def test_an_export_without_a_row_says_why(make_run):
    version = build_dataset(
        [make_run(1)], agent="support", verify=["outcome"], recipe={"contrast": True}
    )

    for name in ("trl-dpo", "trl-dpo-step", "openai-dpo", "sharegpt-dpo"):
        export = version.export(name)
        assert list(export) == []
        assert export.report().refused == {"no failure with the same task and tools": 1}
        assert export.report().warnings == [
            "no row was written: 1 no failure with the same task and tools"
        ]
    empty = version.export("trl-sft", "temporal")
    assert list(empty) == []
    assert empty.report().warnings == ["no row was written: the split holds none"]


def clocked(make_run, order, at, success, request="Where?"):
    run = make_run(order, calls=3, success=success, task_id="t", request=request)
    text = msgspec.json.encode(run).decode().replace('"You help."', f'"You help. It is {at}."')
    return msgspec.json.decode(text, type=type(run))


def test_runs_whose_system_message_tells_the_time_make_a_pair(make_run):
    runs = [
        clocked(make_run, 0, "2026-11-20 10:00:01", True),
        clocked(make_run, 1, "2026-11-20 10:07:33", False),
    ]
    version = build_dataset(runs, agent="support", verify=["outcome"], recipe={"contrast": True})

    (pair,) = version.export("trl-dpo-step")

    assert pair["prompt"][0]["content"] == "You help. It is 2026-11-20 10:00:01."


def test_runs_that_part_before_a_reply_are_counted(make_run):
    runs = [clocked(make_run, 0, "in Oslo", True), clocked(make_run, 1, "in Bergen", False)]
    version = build_dataset(runs, agent="support", verify=["outcome"], recipe={"contrast": True})
    export = version.export("trl-dpo")

    assert list(export) == []
    assert export.report().refused == {
        "the runs part at a message of role system, not at a reply": 1
    }


@pytest.mark.parametrize(
    ("family", "take"),
    [
        ("qwen3_instruct_2507", "trl-sft"),
        ("qwen2_5", "trl-sft"),
        ("qwen3_6", "trl-sft"),
        ("glm4moe", "trl-sft"),
        ("llama3", None),
        ("phi3", None),
    ],
)
def test_the_check_names_the_format_for_a_template(family, take):
    result = check_template([row()], read_template(trl_template(family)))

    assert result.format == take
    assert set(result.fit) == set(WAYS)
    if take is None:
        assert result.lost or result.problems
        assert result.refused == 1


def test_the_check_finds_arguments_that_are_quoted_twice():
    result = check_template([row()], read_template(trl_template("qwen2_5")))

    assert result.problems["trl-sft-strings"] == {
        "the template leaves out the arguments as values: they are quoted twice": 1
    }


def test_the_check_takes_a_row_per_reply_where_a_template_drops_thoughts_of_the_past():
    template = ChatTemplate(
        "{% for m in messages %}[{{ m.role }}]{% if m.reasoning_content and loop.last %}({{ m.reasoning_content }})"
        "{% endif %}{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}"
        "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}{% for t in tools or [] %}{% endfor %}"
        "{{ '' if not messages else '' }}"
    )
    given = row(tools=[])
    given["messages"][2]["loss"] = False
    given["messages"][2].pop("tool_calls")
    given["messages"] = [m for m in given["messages"] if m["role"] != "tool"]
    given["calls"][1]["message"] = 3

    result = check_template([given], template)

    assert result.format == "trl-prompt-completion"
    assert (
        "a reply that is not learned, which a whole conversation would teach"
        in result.problems["trl-sft"]
    )


def test_a_template_of_a_models_folder_is_read_with_its_marks(tmp_path):
    config = {"chat_template": [{"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}"}],
              "bos_token": {"content": "<s>"}}  # fmt: skip
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))

    assert read_template(tmp_path).render([{"role": "user", "content": "hi"}], []) == "<s>hi"
    (tmp_path / "chat_template.jinja").write_text(
        "{% generation %}x{% endgeneration %}{{ raise_exception('no') }}"
    )
    with pytest.raises(TemplateError, match="no"):
        read_template(tmp_path).render([], [])
    (tmp_path / "chat_template.jinja").write_text("{% if %}")
    with pytest.raises(ExportError, match="not valid Jinja"):
        read_template(tmp_path)
    with pytest.raises(ExportError, match="chat template"):
        read_template(tmp_path / "none.jinja")


def test_the_command_says_which_format_to_take(make_run):
    version = build_dataset([make_run(1, calls=3)], agent="support", verify=["outcome"])
    shown = CliRunner().invoke(
        app, ["check", "support", "--template", str(trl_template("qwen3_6"))]
    )

    assert shown.exit_code == 0, shown.output
    assert f"next: burnish dataset export {version.id} --format trl-sft" in shown.output.replace(
        "\n", " "
    )
    none = CliRunner().invoke(
        app, ["check", "support", "--template", str(trl_template("llama3")), "--json"]
    )
    assert json.loads(none.output)["format"] is None


def test_an_unknown_format_lists_all():
    with pytest.raises(
        ExportError, match="unknown format 'nope'; expected one of adp, atif, openai, openai-dpo"
    ):
        find_format("nope")
    assert find_format("trl-sft-objects").name == "trl-sft"


def test_an_export_for_a_template_leaves_out_what_it_would_not_render_as_served(make_run):
    version = build_dataset([make_run(1, calls=3, failed=[0])], agent="support", verify=["outcome"])
    template = trl_template("qwen3_6")

    whole = version.export("trl-sft", template=template)
    assert list(whole) == []
    assert whole.report().refused == {
        "a reply that is not learned, which a whole conversation would teach": 1
    }
    assert len(list(version.export("trl-prompt-completion", template=template))) == 2
    with pytest.raises(ExportError, match="openai is not checked against a chat template"):
        version.export("openai", template=template)


def test_integers_that_datasets_cannot_read_are_counted(make_run):
    version = build_dataset([make_run(1), make_run(2)], agent="support", verify=["outcome"])
    export = version.export("trl-sft")
    given = [row(arguments=(json.dumps({"to": 2**64}),)), row()]
    export._rows = lambda: given

    assert len(export.dataset()) == 1
    assert export.report().refused == {"an integer that datasets cannot read": 1}
    assert export.report().written == 1
    assert len(list(export)) == 2
