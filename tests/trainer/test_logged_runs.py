"""Policy gradient and rejection sampling on logged runs: what counts, what is refused, and where the adapter moves."""

from __future__ import annotations

import json
import math
import random
from collections import Counter

import msgspec
import pytest
import torch
from test_tree_training import QUICK, TwoSided, answer_logprobs, plan_of

from burnish.errors import EmptyDataset, TrainingError
from burnish_trainer import train
from burnish_trainer.objectives.step_losses import StepRows, step_loss
from burnish_trainer.recipes.lora import ignore_future_warnings
from burnish_trainer.recipes.train_recipe import TrainRecipe
from burnish_trainer.rows import tokenise_rows
from burnish_trainer.rows.attempts import ALIKE, SAME, score_attempts, select_successes
from burnish_trainer.rows.examples import make_examples

GRADIENT = msgspec.structs.replace(
    QUICK, objective="policy_gradient", batch_size=12, epochs=6, learning_rate=3e-3
)


def own_logprobs(model, ids, count):
    with torch.no_grad():
        logprobs = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    places = torch.arange(len(ids) - count, len(ids))
    return logprobs[places - 1, torch.tensor(ids)[places]].tolist()


def captured(row, tokenizer, model, shift=0.0):
    """The row with the tokens and log-probabilities that a server would have recorded."""
    messages, calls = json.loads(row["messages"]), []
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        (found,), _ = tokenise_rows(
            [{**row, "messages": [*({**m, "loss": False} for m in messages[:place]), message]}],
            tokenizer,
        )
        count = sum(label != -100 for label in found.labels)
        ids = found.input_ids
        calls.append(
            {
                "message": place,
                "prompt_token_ids": ids[:-count],
                "token_ids": ids[-count:],
                "logprobs": [value - shift for value in own_logprobs(model, ids, count)],
            }
        )
    return {**row, "calls": json.dumps(calls)}


def attempts_at(made, task, answers):
    """Rows of attempts at a task; each answer comes with its label."""
    rng = random.Random(task)
    order, total = rng.randint(1000, 9999), rng.randint(1000, 4999)
    found = TwoSided()
    for number, (answer, label) in enumerate(answers):
        messages = made.conversation(order, total)
        messages[-1] = {**messages[-1], "content": f"Done: {answer or total}"}
        row = made.row(messages, row_id=f"{task}/{number}")
        row |= {"task_id": task, "trajectory_id": f"{task}/{number}", "verdict": {"label": label}}
        (found.good if label == "success" else found.bad).append(row)
    return found


@pytest.fixture(scope="module")
def model(base):
    from transformers import AutoModelForCausalLM

    with ignore_future_warnings():
        return AutoModelForCausalLM.from_pretrained(base)


@pytest.fixture
def logged(made, tokenizer, model):
    """Attempts at six tasks, with what the base model itself gives their tokens."""

    def make(shift=0.0):
        whole = TwoSided()
        for number in range(6):
            some = attempts_at(made, f"t{number}", [("", "success"), ("77", "fail")])
            whole.good += [captured(row, tokenizer, model, shift) for row in some.good]
            whole.bad += [captured(row, tokenizer, model, shift) for row in some.bad]
        return whole

    return make


def test_policy_gradient_makes_rewarded_replies_likelier_and_reports_the_age_of_its_runs(
    home, base, logged
):
    runs = logged()
    version = train(runs, base_model=base, recipe=GRADIENT)
    good_before, good_after, bad_before, bad_after = answer_logprobs(version, base, runs)
    assert good_after - bad_after > good_before - bad_before + 1
    assert plan_of(version)["objective"] == "policy_gradient"
    assert version.metrics["effective_sample_share"] == pytest.approx(1, abs=1e-3)
    assert version.manifest.metrics["effective_sample_share"] == pytest.approx(1, abs=1e-3)


def with_one_that_outweighs(runs):
    """One run was very improbable for the policy that wrote it, and is probable for the model now."""
    calls = json.loads(runs.good[0]["calls"])
    for call in calls:
        call["logprobs"] = [value - 3 for value in call["logprobs"]]
    return TwoSided([{**runs.good[0], "calls": json.dumps(calls)}, *runs.good[1:]], runs.bad)


def test_runs_of_another_policy_are_refused_before_any_step_unless_asked_for(home, base, logged):
    runs = with_one_that_outweighs(logged())
    with pytest.raises(TrainingError, match=r"effective sample size .* 8\.\d%.*refuse_stale"):
        train(runs, base_model=base, recipe=GRADIENT)
    assert not list(home.glob("runs/*/metrics.jsonl"))
    allowed = msgspec.structs.replace(GRADIENT, refuse_stale=False)
    version = train(runs, base_model=base, recipe=allowed)
    assert version.metrics["effective_sample_share"] < 0.1


def test_runs_without_log_probabilities_are_refused_unless_asked_for(home, base, made):
    runs = attempts_at(made, "t", [("", "success"), ("77", "fail")])
    with pytest.raises(EmptyDataset, match="recorded no log-probabilities"):
        train(runs, base_model=base, recipe=GRADIENT)
    allowed = msgspec.structs.replace(GRADIENT, refuse_stale=False, epochs=20)
    version = train(runs, base_model=base, recipe=allowed)
    assert "effective_sample_share" not in version.metrics
    good_before, good_after, bad_before, bad_after = answer_logprobs(version, base, runs)
    assert good_after - bad_after > good_before - bad_before + 1


def test_tasks_whose_attempts_ended_alike_teach_nothing_and_are_counted(made, tokenizer):
    mixed = attempts_at(made, "a", [("", "success"), ("1", "fail"), ("2", "fail"), ("3", "fail")])
    alike = attempts_at(made, "b", [("", "success"), ("", "success")])
    rows = [
        {**row, "messages": json.loads(row["messages"]), "calls": []}
        for row in (*mixed.good, *mixed.bad, *alike.good)
    ]
    left_out: Counter[str] = Counter()
    scored = score_attempts(rows, left_out)
    assert [round(advantage, 2) for _, advantage in scored] == [1.5, -0.5, -0.5, -0.5]
    assert left_out == {ALIKE: 2}
    recipe = msgspec.convert({"objective": "policy_gradient", "refuse_stale": False}, TrainRecipe)
    dataset = TwoSided([*mixed.good, *alike.good], mixed.bad)
    examples, report = make_examples(dataset, recipe, lambda rows: tokenise_rows(rows, tokenizer))
    assert len(examples) == 4
    assert report.dropped == {ALIKE: 2}


def test_replies_that_the_agent_mended_count_too(made, tokenizer, model):
    """Imitation leaves a failed call out; its sampled tokens have an advantage like all others."""
    (row,) = attempts_at(made, "a", [("", "success")]).good
    messages = json.loads(row["messages"])
    messages[2]["loss"] = False
    whole = captured(row, tokenizer, model)
    decoded = {**whole, "messages": messages, "calls": json.loads(whole["calls"])}
    (bad,) = attempts_at(made, "a", [("9", "fail")]).bad
    other = {**bad, "messages": json.loads(bad["messages"]), "calls": []}
    (found, _), _ = score_attempts([decoded, other], Counter())
    assert [m["loss"] for m in found["messages"]] == [False, False, True, False, True]


def test_logged_log_probabilities_lie_on_their_tokens(made, tokenizer, model):
    (row,) = attempts_at(made, "a", [("", "success")]).good
    whole = captured(row, tokenizer, model)
    (found,), _ = tokenise_rows([whole], tokenizer)
    known = [not math.isnan(value) for value in found.logged]
    assert known == [label != -100 for label in found.labels]
    with torch.no_grad():
        logprobs = model(torch.tensor([found.input_ids])).logits[0].log_softmax(-1)
    for place, value in enumerate(found.logged):
        if known[place]:
            assert value == pytest.approx(
                float(logprobs[place - 1, found.input_ids[place]]), abs=1e-4
            )
    calls = json.loads(whole["calls"])
    calls[0]["logprobs"].append(-1.0)  # more numbers than tokens
    (found,), _ = tokenise_rows([{**whole, "calls": json.dumps(calls)}], tokenizer)
    assert len([v for v in found.logged if not math.isnan(v)]) == len(calls[1]["token_ids"])


def test_a_token_without_a_logged_value_has_the_gradient_of_reinforce():
    logprobs = torch.tensor([-1.0, -2.0], requires_grad=True)
    step = StepRows(
        rows=torch.tensor([0, 1]),
        weights=torch.ones(2),
        examples=torch.tensor([0, 1]),
        sides=torch.zeros(2, dtype=torch.long),
        reference=torch.zeros(2),
        wanted=torch.tensor([True, True]),
        advantages=torch.tensor([2.0, -1.0]),
        logged=torch.tensor([math.nan, -2.1]),
    )
    step_loss("policy_gradient", step, beta=0.1, clip=0.2)(logprobs).backward()
    assert logprobs.grad.tolist() == pytest.approx([-1.0, 0.5 * math.exp(0.1)])


def test_rejection_sampling_keeps_different_successes_and_lets_every_task_count_the_same(made):
    often = attempts_at(made, "often", [(str(n), "success") for n in (1, 2, 2, 3, 4)]).good
    seldom = attempts_at(made, "seldom", [("", "success")]).good
    rows = [{**row, "messages": json.loads(row["messages"])} for row in (*often, *seldom)]
    left_out: Counter[str] = Counter()
    kept = select_successes(rows, 3, left_out)
    assert [row["row_id"] for row in kept] == ["often/0", "often/1", "often/3", "seldom/0"]
    assert left_out == {SAME: 1, "over 3 successes of the task": 1}
    assert [row["weight"] for row in kept] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])


def test_rejection_sampling_trains_and_says_what_it_left_out(home, base, made):
    runs = attempts_at(made, "a", [(str(n), "success") for n in (1, 1, 2, 3)])
    recipe = msgspec.structs.replace(QUICK, objective="rejection", per_task=2, epochs=12)
    version = train(runs, base_model=base, recipe=recipe)
    assert plan_of(version)["rows"]["rows"] == 2
    assert plan_of(version)["rows"]["dropped"] == {SAME: 1, "over 2 successes of the task": 1}
