"""Rendered rows are what their consumers read, checked by the consumers themselves."""

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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_trl_renders_the_rows_with_a_chat_template(version):
    """TRL's own loader, with its Qwen3 template: every call once, each with its arguments as an object."""
    from pathlib import Path

    import trl
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl.data_utils import apply_chat_template, is_conversational

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"x": 0}, "x")))
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    tokenizer.chat_template = template.read_text()

    row = version.to("trl-sft")[0]
    text = apply_chat_template(row, tokenizer)["text"]

    assert is_conversational(row)
    assert text.count("<tool_call>\n{") == 2
    assert '"arguments": {"order":' in text


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

    strings, objects = version.to("trl-sft"), version.to("trl-sft-objects")

    for data, read in ((strings, json.loads), (objects, lambda value: value)):
        found = [row["messages"][2]["tool_calls"][0]["function"]["arguments"] for row in data]
        assert [read(value) for value in found] == given


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_passes_its_own_check(version, name):
    form = find_format(name)

    rows = list(form.render(version.rows()))

    assert rows
    for row in rows:
        form.check(row)
        assert set(form.columns) >= set(row)


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
    with pytest.raises(ExportError, match="unknown format 'trl_sft'; expected 'trl-sft'"):
        version.to("trl_sft")


def test_the_card_loads_as_a_dataset_with_its_splits(version):
    import datasets

    loaded = datasets.load_dataset("parquet", data_dir=str(version.path / "rows"), split="train")

    assert len(loaded) == 3
    card = (version.path / "card.md").read_text()
    assert card.startswith("---\npretty_name: support@")
    assert "  - split: train\n    path: rows/train.parquet" in card
