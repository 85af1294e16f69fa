"""TRL renders our rows under Mistral's own template to the text of Mistral's own tokens, or the row is refused."""

from __future__ import annotations

import re

import msgspec
import pytest
from consuming import read_with
from runs_by_hand import build_run
from shipped_templates import byte_tokenizer
from trl.data_utils import apply_chat_template

from burnish import settings
from burnish.records import Trajectory
from burnish_exporters import build_dataset
from burnish_exporters.formats.templates.rendering import read_template
from burnish_exporters.formats.templates.template_check import check_template

FORMS = ("trl-sft", "trl-prompt-completion", "trl-dpo", "trl-dpo-step", "trl-kto")
pytestmark = [
    pytest.mark.xdist_group("trl"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # TRL asks transformers by old names
]

BESIDE = '{"type":"text","content":"Let me see."},'


def run_of(number, *, text=False, long_ids=False, **more):
    """A run as Mistral's models speak: ids of nine characters, no text beside a call."""
    coded = msgspec.json.encode(build_run(number, calls=3, **more)).decode()
    # The tokens hold a result that is JSON as an object, Mistral's own template as a text: texts agree.
    coded = re.sub(r'\{"city":"(city \d)"\}', r'"\1"', coded)
    form = "call_of_run_{:03}{:02}" if long_ids else "call{:03}{:02}"
    coded = re.sub(r"call-(\d+)-(\d+)", lambda m: form.format(int(m[1]), int(m[2])), coded)
    return msgspec.json.decode(coded if text else coded.replace(BESIDE, ""), type=Trajectory)


def built(tmp_path, **spoken):
    settings.configure(home=tmp_path / "home")
    runs = [
        run_of(
            10 * task + bad, success=not bad, task_id=f"t{task}", request=f"Where is {task}?", **spoken
        )
        for task in range(2) for bad in (0, 1)
    ]  # fmt: skip
    return build_dataset(runs, agent="support", verify=["outcome"], recipe={"contrast": True})


@pytest.fixture(autouse=True)
def _own_settings():
    yield
    settings.reset()


@pytest.fixture
def template(tmp_path):
    path = tmp_path / "mistral.jinja"
    path.write_text(read_with("mistral", [], tmp_path)["template"])
    return path


def conversations(row):
    """The whole conversations of a row, one for each of its sides."""
    if "messages" in row:
        return {"text": row["messages"]}
    names = [name for name in ("completion", "chosen", "rejected") if name in row]
    return {name: [*row["prompt"], *row[name]] for name in names}


def as_asked(row, messages):
    """A conversation as a client would send it: arguments as text, results with the name of their tool."""
    return {"messages": [{k: v for k, v in m.items() if v is not None} for m in messages],
            "tools": row["tools"]}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_trl_renders_the_text_of_mistrals_tokens(tmp_path, template, form):
    tokenizer = byte_tokenizer(template.read_text(), end="</s>", begin="<s>")
    version = built(tmp_path)
    assert check_template(list(version.rows()), read_template(template)).format is not None
    rows = list(version.export(form))
    assert rows
    texts, expected = [], []
    for row in rows:
        made = apply_chat_template(dict(row), tokenizer, tools=row.get("tools"))
        for name, messages in conversations(row).items():
            texts.append(made["text"] if name == "text" else made["prompt"] + made[name])
            expected.append(as_asked(row, messages))
    assert read_with("mistral", expected, tmp_path)["texts"] == texts


@pytest.mark.parametrize(
    ("spoken", "reason"),
    [
        ({"text": True}, "cannot have both content and tool calls"),
        ({"long_ids": True}, "id of 9 characters"),
    ],
)
def test_rows_that_mistrals_template_refuses_are_refused_with_its_reason(
    tmp_path, template, spoken, reason
):
    version = built(tmp_path, **spoken)
    found = check_template(list(version.rows()), read_template(template))
    assert found.format is None
    assert reason in str(found.problems)
    for form in FORMS[:2]:
        export = version.export(form, template=template)
        assert list(export) == []
        assert reason in str(export.report().refused)
