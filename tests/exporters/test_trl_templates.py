"""TRL renders our rows with the templates of seven families as a server rendered the calls, or the row is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from shipped_templates import shipped_tokenizer

from burnish_exporters import build_dataset
from burnish_exporters.formats.templates.rendering import read_template
from burnish_exporters.formats.templates.template_check import check_template

pytestmark = [
    pytest.mark.xdist_group("trl"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # TRL asks transformers by old names
]
FAMILIES = ("qwen2_5", "qwen3", "qwen3_5_think", "glm4moe", "llama3_1", "gemma3", "gemma4_v5")
FORMS = ("trl-sft", "trl-prompt-completion", "trl-dpo", "trl-dpo-step", "trl-kto")

FAITHFUL = ("qwen2_5", "qwen3", "qwen3_5_think", "glm4moe")  # they print all that a row holds
CHECKED = FORMS[:2]  # forms whose export takes a template


@pytest.fixture(scope="module")
def trl():
    return pytest.importorskip("trl")


@pytest.fixture
def contrasted(make_run):
    runs = [
        make_run(10 * task + bad, calls=3, success=not bad, task_id=f"t{task}", request=f"Where is {task}?")
        for task in range(2) for bad in (0, 1)
    ]  # fmt: skip
    return build_dataset(runs, agent="support", verify=["outcome"], recipe={"contrast": True})


def served(tokenizer, messages, tools):
    """The prompt that a server builds for the next reply."""
    return tokenizer.apply_chat_template(
        messages, tools=tools or None, add_generation_prompt=True, tokenize=False
    )


def sides(row):
    """Prompt and replies of a row, in each of TRL's forms."""
    if "messages" in row:
        last = max(n for n, m in enumerate(row["messages"]) if m["role"] == "assistant")
        return row["messages"][:last], {"text": row["messages"][last:]}
    names = [name for name in ("completion", "chosen", "rejected") if name in row]
    return row["prompt"], {name: row[name] for name in names}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_trl_renders_what_was_served(trl, contrasted, family, form):
    from trl.data_utils import apply_chat_template

    path = Path(trl.__file__).parent / "chat_templates" / f"{family}.jinja"
    tokenizer = shipped_tokenizer(family)
    if form in CHECKED:
        export = contrasted.export(form, template=path)
        rows = list(export)
        assert rows or export.report().refused
    else:
        found = check_template(list(contrasted.rows()), read_template(path))
        if found.format is None:  # `burnish dataset check` says why
            assert found.problems or found.lost
            assert family not in FAITHFUL
            return
        rows = list(contrasted.export(form))
        assert rows
    assert rows or family not in FAITHFUL
    for row in rows:
        made = apply_chat_template(dict(row), tokenizer, tools=row.get("tools"))
        prompt, replies = sides(row)
        for name, reply in replies.items():
            whole = made["text"] if name == "text" else made["prompt"] + made[name]
            assert whole.startswith(served(tokenizer, prompt, row.get("tools")))
            said = [m["content"] for m in reply if m["content"]]
            arguments = [
                str(value) for m in reply for call in m.get("tool_calls") or ()
                for value in call["function"]["arguments"].values()
            ]  # fmt: skip
            tail = whole[len(served(tokenizer, prompt, row.get("tools"))) :]
            assert all(part in tail for part in [*said, *arguments])
