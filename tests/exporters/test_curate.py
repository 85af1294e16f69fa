"""Further steps: agreement of verifiers, repeated and needless calls, decisive steps, sources."""

import json
import math
import random
from dataclasses import dataclass

import msgspec
import pytest

from burnish.errors import ExportError
from burnish.records import ToolRun, Verdict
from burnish_exporters import BuildOptions, build_dataset
from burnish_exporters.curate import Drop, Item, keep_needed_calls, limit_repeated_calls
from burnish_exporters.curate.steps.critical import step_changes
from burnish_exporters.curate.steps.necessity import call_gain, weighted_loss
from burnish_exporters.curate.steps.values import Attempt, step_values
from burnish_exporters.verify import PoolSettings


@dataclass
class Says:
    """A verifier that says the same of every run, or something else of those with a tag."""

    name: str
    label: str
    kind: str = "check"
    of_tagged: str | None = None
    version: str = "1"

    def verify(self, trajectory):
        label = self.of_tagged if self.of_tagged and "odd" in trajectory.tags else self.label
        return Verdict(label=label, verifier=self.name)


def build(runs, recipe=None, verify=("outcome",), **options):
    options = BuildOptions(pool=PoolSettings(in_process=True), key=b"key", **options)
    return build_dataset(runs, agent="support", verify=list(verify), recipe=recipe, options=options)


def dropped(version):
    return {r: n for stage in version.manifest.funnel for r, n in stage["dropped"].items()}


@pytest.mark.parametrize(
    ("other", "reason"),
    [("fail", "ambiguous: verifiers disagree"), ("unknown", "ambiguous: a verifier cannot tell")],
)
def test_a_run_that_a_judge_doubts_is_left_out_unless_the_recipe_keeps_it(make_run, other, reason):
    verify = [Says("check", "success"), Says("judge", "success", "judge", of_tagged=other)]
    runs = [make_run(1), make_run(2, tags=["odd"])]

    assert dropped(build(runs, verify=verify)) == {reason: 1}
    assert build(runs, {"ambiguous": "keep"}, verify).manifest.rows == {"train": 2}


def with_tool_runs(run, *told):
    runs = [
        ToolRun(span_id=f"t{n}", parent_id=None, started_ns=n, **{"name": "look_up", **facts})
        for n, facts in enumerate(told)
    ]
    return msgspec.structs.replace(run, tool_runs=runs)


ONE = {"arguments": {"order": 1, "deep": True}, "result": "Oslo"}


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ([ONE, ONE], False),
        ([ONE, {**ONE, "arguments": {"deep": True, "order": 1}}], False),
        ([ONE, {**ONE, "arguments": {"order": 2}}], True),
        ([ONE, {**ONE, "name": "other"}], True),
        ([ONE, {**ONE, "result": "Rome"}], True),
        ([{**ONE, "is_error": True}, ONE], True),
        ([ONE, {**ONE, "result": "Rome"}, ONE], True),
    ],
)
def test_a_call_that_brings_nothing_new_is_redundant_a_retry_and_a_poll_are_not(
    make_run, told, kept
):
    found = limit_repeated_calls()(Item(trajectory=with_tool_runs(make_run(), *told)))

    assert (found == Drop("redundant: repeated call")) != kept


def test_redundant_calls_are_dropped_where_the_recipe_says_how_many_are_allowed(make_run):
    run = with_tool_runs(make_run(1), ONE, ONE)

    assert build([run]).manifest.rows == {"train": 1}
    assert build([run], {"max_repeated_calls": 1}).manifest.rows == {"train": 1}
    with pytest.raises(ExportError, match="1 redundant: repeated call"):
        build([run], {"max_repeated_calls": 0})


def test_the_loss_weighs_five_tokens_with_weights_that_sum_to_one():
    """Weights 5, 4, 3, 2, 1 of 15: (5*1 + 4*2) / 15 = 13/15; a sixth token counts nothing."""
    assert weighted_loss([-1, -2, 0, 0, 0, -99]) == pytest.approx(13 / 15)
    assert weighted_loss([-3]) == pytest.approx(3)
    assert weighted_loss([]) == 0.0


def table(losses):
    """A scorer that knows the loss after each beginning; one token."""

    def score(before, continuation):
        del continuation
        return [-next(loss for start, loss in losses.items() if before.startswith(start))]

    return score


def test_the_gain_is_measured_against_the_better_of_no_call_and_a_call_without_result():
    """With result 1.0, without result 1.2, nothing 4.0: gain 0.2; against nothing alone it would be 3.0."""
    losses = {"[f(1) -> Oslo]": 1.0, "[f(1) -> ]": 1.2, "Where?": 4.0}

    gain = call_gain(table(losses), "f(1)", "Oslo", "Where?", "In Oslo")

    assert gain == pytest.approx(0.2)


def copying(before, continuation):
    """A minimal language model: words that it has just read are likely, others are not."""
    known = set(before.replace("[", " ").replace("]", " ").split())
    return [math.log(0.8 if word in known else 0.02) for word in continuation.split()]


def test_needed_calls_are_kept_and_wrong_and_needless_ones_are_not(make_run):
    """Kept of 100 each: needed with the right result >= 85, with a wrong one <= 10, needless <= 2."""
    rng, step = random.Random(7), keep_needed_calls(copying, at_least=0.5)
    kept = dict.fromkeys(["needed", "wrong", "needless"], 0)
    for _ in range(100):
        for kind in kept:
            right, wrong = (f"{rng.choice(CITIES)}{rng.randint(10, 99)}" for _ in range(2))
            request = f"Is it {right} ?" if kind == "needless" else "Where is it ?"
            run = make_run(1, request=request, answer=f"{right} it is")
            run = answering(run, wrong if kind == "wrong" else right)
            kept[kind] += not isinstance(step(Item(trajectory=run)), Drop)

    assert kept["needed"] >= 85
    assert kept["wrong"] <= 10
    assert kept["needless"] <= 2


CITIES = ["Oslo", "Rome", "Lima", "Cairo", "Delhi", "Quito"]


def answering(run, result):
    (tool,) = run.tool_runs
    return msgspec.structs.replace(run, tool_runs=[msgspec.structs.replace(tool, result=result)])


def test_a_scorer_is_named_in_the_recipe_and_enters_the_version(make_run, module):
    name = module("def score(before, continuation):\n    return [-1.0 for _ in continuation]\n")

    with pytest.raises(ExportError, match="1 redundant: call without gain"):
        build([make_run(1)], {"scorer": f"{name}:score"})
    assert build([make_run(1, calls=1)], {"scorer": f"{name}:score"}).manifest.recipe["scorer"]


def test_what_mattered_is_where_the_share_of_successes_changes():
    """Task: 2 of 4 succeed. 'a' keeps 2 of 3 (change 1/6), 'a','b' 2 of 2 (1/3), 'a','b','c' 2 of 2 (0)."""
    attempts = [
        Attempt(task="t", actions=("a", "b", "c"), success=True),
        Attempt(task="t", actions=("a", "b", "c"), success=True),
        Attempt(task="t", actions=("a", "x"), success=False),
        Attempt(task="t", actions=("y",), success=False),
    ]

    changes = step_changes(step_values(attempts), attempts[0])

    assert changes == pytest.approx([1 / 6, 1 / 3, 0])


def test_only_the_critical_share_of_calls_carries_loss_and_the_answer_always_does(make_run):
    """Both succeed through order 1 and order 2, the failure turns off after order 1: the second call decided."""
    good = [make_run(1, calls=4, id=c * 32, task_id="t") for c in "ab"]
    bad = make_run(1, calls=2, id="c" * 32, task_id="t", success=False)

    version = build([*good, bad], {"critical_steps": 0.3})

    (row,) = version.rows()
    said = [m for m in row["messages"] if m["role"] == "assistant"]
    assert [m["loss"] for m in said] == [False, True, False, True]
    assert version.manifest.rows == {"train": 1}
    version.verify()


def test_a_run_without_siblings_keeps_all_its_loss(make_run):
    (row,) = build([make_run(1, calls=4)], {"critical_steps": 0.3}).rows()

    assert all(m["loss"] for m in row["messages"] if m["role"] == "assistant")


@pytest.fixture
def chats(tmp_path):
    """A file of 40 general conversations."""
    file = tmp_path / "general.jsonl"
    told = [
        [
            {"role": "user", "content": f"Tell me {n}"},
            {"role": "assistant", "content": f"Well, {n}."},
        ]
        for n in range(40)
    ]
    file.write_text("\n".join(json.dumps({"messages": messages}) for messages in told))
    return str(file)


def test_general_conversations_make_up_the_share_that_was_asked_for(make_run, chats):
    """20 % of the whole beside 12 runs are 3 rows."""
    runs = [make_run(n) for n in range(12)]

    version = build(runs, {"general": [chats], "general_share": 0.2})

    rows = list(version.rows())
    some = [row for row in rows if "general" in row["kind_tags"]]
    assert (len(rows), len(some)) == (15, 3)
    assert {row["source"] for row in some} == {"general"}
    assert [m["loss"] for m in some[0]["messages"]] == [False, True]
    assert version.manifest.slices["general"] == 3
    assert dropped(version) == {"general share": 37}
    assert version.id == build(runs, {"general": [chats], "general_share": 0.2}).id


def test_general_conversations_never_overlap_with_what_is_measured(make_run, chats, tmp_path):
    (tmp_path / "bench.txt").write_text("\n".join(f"tell me {n}" for n in range(39)))
    recipe = {"general": [chats], "general_share": 0.5, "benchmarks": [str(tmp_path / "bench.txt")]}

    version = build([make_run(n) for n in range(9)], recipe)

    assert version.manifest.rows == {"train": 10}
    assert dropped(version) == {"contamination: exact": 39}


@pytest.mark.parametrize("content", [None, "{}\n"])
def test_general_data_that_is_missing_or_empty_is_refused(make_run, tmp_path, content):
    file = tmp_path / "general.jsonl"
    if content:
        file.write_text(content)

    with pytest.raises(ExportError, match="general"):
        build([make_run(1)], {"general": [str(file)], "general_share": 0.5})


def test_the_share_of_data_from_outside_has_a_limit_and_a_floor(make_run):
    """8 own runs and 12 demonstrations: at most a third means 4 of them."""
    runs = [make_run(n, source="production" if n < 8 else "demonstration") for n in range(20)]

    version = build(runs, {"max_external": 1 / 3})

    assert version.manifest.rows == {"train": 12}
    assert dropped(version) == {"external share": 8}
    assert version.manifest.extras["external_share"] == pytest.approx(1 / 3, abs=1e-5)
    with pytest.raises(ExportError, match=r"0\.0% of the training runs come from outside"):
        build(runs[:8], {"min_external": 0.1})


def test_coverage_counts_by_kind_and_warns_of_what_is_missing(make_run):
    runs = [
        make_run(1, tags=["kind:update"]),
        make_run(2, metadata={"kind": "chain"}, success=False),
        make_run(3, calls=1),
    ]

    extras = build(runs, {"kinds": ["update", "refusal"]}).manifest.extras

    assert extras["coverage"] == {
        "chain": {"runs": 1, "successes": 0, "rows": 0},
        "no tool": {"runs": 1, "successes": 1, "rows": 1},
        "update": {"runs": 1, "successes": 1, "rows": 1},
    }
    assert extras["warnings"] == [
        "2 training runs, fewer than 500",
        "no row of kind 'chain' is left (1 runs, 0 verified successes)",
        "no run of kind 'refusal' was recorded",
    ]


def test_runs_of_a_kind_that_is_seldom_are_the_slice_rare(make_run):
    runs = [make_run(n, tags=["kind:rare" if n == 7 else "kind:often"]) for n in range(30)]

    version = build(runs)

    assert version.manifest.slices["rare"] == 1
    assert [row["task_id"] for row in version.rows() if "rare" in row["kind_tags"]] == ["task-7"]


def test_slices_by_lesson_environment_and_source_have_their_own_counts(make_run):
    runs = [
        make_run(1, calls=14, environment="desk"),
        make_run(2, calls=15, environment="desk"),
        make_run(3, answer="I do not know where it is.", environment="shop", source="rollout"),
        make_run(4, calls=1, answer="Sorry, I cannot do that.", source="teacher"),
        make_run(5, calls=3, failed=[1], source="demonstration"),
    ]

    slices = build(runs).manifest.slices

    assert {name: slices[name] for name in ("golden", "recovery", "refusal", "abstention")} == {
        "golden": 3, "recovery": 1, "refusal": 1, "abstention": 1
    }  # fmt: skip
    assert (slices["environment:desk"], slices["environment:shop"]) == (2, 1)
    assert (slices["recovery:tool result"], slices["tool-success"]) == (1, 4)
    assert [slices[f"source:{s}"] for s in ("production", "rollout", "teacher", "demonstration")] == [
        2, 1, 1, 1
    ]  # fmt: skip


@pytest.fixture
def docs(tmp_path):
    """A file with the documentation of the one tool."""
    file = tmp_path / "docs.json"
    file.write_text(json.dumps({"look_up": "Takes `order`, gives `city`.", "other": "unused"}))
    return str(file)


def test_documentation_of_the_offered_tools_is_in_the_prompt_of_the_share(make_run, docs):
    runs = [make_run(n) for n in range(60)]

    rows = list(build(runs, {"tool_docs": docs, "tool_docs_share": 0.5}).rows())

    told = [row for row in rows if "Takes `order`" in row["messages"][0]["content"]]
    assert 15 <= len(told) <= 45
    assert all(("tool-docs" in row["kind_tags"]) == (row in told) for row in rows)
    assert not any("unused" in row["messages"][0]["content"] for row in rows)
    assert all(row["messages"][0]["content"].startswith("You help.") for row in rows)


def test_ids_of_a_prompt_without_the_documentation_are_not_kept(make_run, docs):
    run = make_run(1)
    calls = [
        msgspec.structs.replace(
            call, prompt_token_ids=[1], token_ids=[2], messages=call.messages[1:]
        )
        for call in run.model_calls
    ]
    run = msgspec.structs.replace(run, model_calls=calls)

    (row,) = build([run], {"tool_docs": docs, "tool_docs_share": 1.0}).rows()

    assert row["messages"][0]["role"] == "system"
    assert not any("token_ids" in call for call in row["calls"])
    assert [row["messages"][call["message"]]["role"] for call in row["calls"]] == ["assistant"] * 2


@pytest.mark.parametrize("content", [None, '["no", "object"]'])
def test_documentation_that_cannot_be_read_is_refused(make_run, tmp_path, content):
    file = tmp_path / "docs.json"
    if content:
        file.write_text(content)

    with pytest.raises(ExportError, match="a text for each tool name"):
        build([make_run(1)], {"tool_docs": str(file)})


def test_rights_and_licences_are_written_into_manifest_and_card(make_run):
    runs = [make_run(1), make_run(2, tags=["license:mit", "rights:research"]), make_run(3)]

    version = build(runs, {"licenses": ["cc-by-4.0"], "rights": ["consent:2026-05"]})

    assert version.manifest.extras["licenses"] == ["cc-by-4.0", "mit"]
    assert version.manifest.extras["rights"] == ["consent:2026-05", "research"]
    card = (version.path / "card.md").read_text()
    assert "license:\n- cc-by-4.0\n- mit\n" in card
    assert "consent:2026-05, research" in card
    assert version.manifest.extras["models"] == {"tiny": 3}
    assert "replies were written by: tiny (3 rows)" in card
    assert "license: mit" in (build([runs[1]], {"max_per_task": 9}).path / "card.md").read_text()
