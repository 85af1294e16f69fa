"""Online training: the real agent makes the attempts, verdicts are the rewards, credit is given a token."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
import torch

import burnish
from burnish.adapters.store import AdapterStore
from burnish.errors import TrainingError
from burnish.records import ModelCall, ToolRun, Trajectory
from burnish.serving.toolcalls.tool_syntax import SYNTAXES
from burnish_trainer.credit import CreditRun, CreditStep, grpo, toolpo
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.online import (
    OnlineOptions,
    estimate_pass_rates,
    last_message_key,
    narrowing,
    tool_success,
    train_online,
)
from burnish_trainer.online.agent_rollouts import RolledAttempt
from burnish_trainer.online.attempt_tokens import CreditRunReader, merge_attempt
from burnish_trainer.recipes.lora import ignore_future_warnings

SHORT = OnlineOptions(steps=2, tasks_per_step=2, group_size=8, k=0)


def model_call(prompt, sampled_ids, /, **facts):
    return ModelCall(
        span_id="1" * 16,
        parent_id=None,
        messages=facts.pop("messages", []),
        tools=[],
        prompt_token_ids=prompt,
        token_ids=sampled_ids,
        logprobs=[-0.5] * len(sampled_ids or []),
        **facts,
    )


def test_calls_that_continue_one_another_are_one_sequence_with_masked_tool_tokens():
    found = merge_attempt([model_call([1, 2], [3]), model_call([1, 2, 3, 9, 9], [4, 5])])
    assert found.prompt_ids == [1, 2]
    assert found.completion_ids == [3, 9, 9, 4, 5]
    assert found.sampled == [1, 0, 0, 1, 1]
    assert found.steps == [0, -1, -1, 1, 1]
    assert found.logprobs == [-0.5, 0.0, 0.0, -0.5, -0.5]
    assert found.calls_left_out == 0


def test_a_rewritten_context_keeps_the_longest_part_and_counts_the_rest():
    calls = [model_call([1], [2]), model_call([7], [8, 8]), model_call([7, 8, 8, 9], [8])]
    found = merge_attempt(calls)
    assert (found.prompt_ids, found.completion_ids) == ([7], [8, 8, 9, 8])
    assert (found.steps, found.calls_left_out) == ([1, 1, -1, 2], 1)


def test_calls_without_tokens_or_from_a_cache_are_counted():
    calls = [model_call([1], None), model_call([1], [2]), model_call([1, 2], [3], sampled=False)]
    assert merge_attempt(calls).calls_left_out == 2
    assert merge_attempt(calls[:1]) is None


def asked(tool_error):
    """A trajectory of one call of a tool, which may have failed, and an answer."""
    call = {"type": "tool_call", "id": "c1", "name": "get", "arguments": {"order": 7}}
    request = {"role": "user", "parts": [{"type": "text", "content": "order 7"}]}
    result = {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "id": "c1", "response": "7"}],
    }
    return Trajectory(
        id="t",
        agent="a",
        status="completed",
        model_calls=[
            model_call(
                [1], [2, 3], messages=[request], reply={"role": "assistant", "parts": [call]}
            ),
            model_call(
                [1, 2, 3, 4],
                [5],
                messages=[request, result],
                reply={"role": "assistant", "parts": [{"type": "text", "content": "Done"}]},
            ),
        ],
        tool_runs=[
            ToolRun(span_id="2" * 16, parent_id=None, name="get", call_id="c1", is_error=tool_error)
        ],
    )


def test_a_step_knows_its_tools_its_state_and_its_entropy(tokenizer):
    good, bad = asked(tool_error=False), asked(tool_error=True)
    assert [tool_success(good, place) for place in (0, 1)] == [1.0, 0.0]
    assert tool_success(bad, 0) == 0.0
    reader = CreditRunReader(tokenizer, step_reward=tool_success)
    first, second = reader.read_run("0.0", "task", good, 1.0).steps
    assert (first.call_ok, second.call_ok, first.reward, first.entropy) == (1.0, None, 1.0, 0.5)
    assert first.state == last_message_key(bad, 0) != second.state
    assert first.action == reader.read_run("0.1", "task", bad, 0.0).steps[0].action


def test_the_tokens_of_a_tool_call_are_marked(tokenizer):
    text, call = tokenizer.encode("Done: "), tokenizer.encode('<tool_call>{"name": "get_order"}')
    run = asked(tool_error=False)
    first = msgspec.structs.replace(
        run.model_calls[0], token_ids=[*text, *call], logprobs=[0.0] * (len(text) + len(call))
    )
    run = msgspec.structs.replace(run, model_calls=[first, run.model_calls[1]])
    read = CreditRunReader(tokenizer, SYNTAXES["hermes"]).read_run("0", "task", run, 1.0)
    assert read.steps[0].call_mask == [False] * len(text) + [True] * len(call)
    assert read.steps[1].call_mask == [False]
    other = CreditRunReader(tokenizer, SYNTAXES["hermes"]).read_run("1", "task", asked(True), 1.0)
    found = toolpo([read, other])
    assert found["0", 0].tolist() == [0.0] * len(text) + [0.5] * len(call)


def test_advantages_lie_on_the_sampled_tokens_of_their_call():
    from burnish_trainer.online.credit_trainer import token_table

    tokens = merge_attempt([model_call([1], [2, 3]), model_call([1, 2, 3, 9], [4])])
    run = CreditRun(
        id="a", task="t", reward=1.0, steps=[CreditStep(tokens=2), CreditStep(tokens=1)]
    )
    lost = RolledAttempt(CreditRun(id="b", task="t", reward=None), None)
    table = token_table(
        [RolledAttempt(run, tokens), lost], {("a", 0): 0.5, ("a", 1): -1.0}, width=5
    )
    assert table.tolist() == [[0.5, 0.5, 0.0, -1.0, 0.0], [0.0] * 5]


def graded(task, labels):
    return [
        AttemptResult(task_id=task, pool="heldout", kind="k", attempt=i, label=label)
        for i, label in enumerate(labels, 1)
    ]


def test_pass_rates_by_hand():
    results = [
        *graded("a", ["success", "fail", "fail"]),
        *graded("b", ["success", "success", "success"]),
        *graded("c", ["success", "unknown", "unknown"]),
    ]
    found = estimate_pass_rates(results, 2)
    assert (found.tasks, found.unscored) == (2, 2)
    assert found.pass_at_1 == pytest.approx((1 / 3 + 1) / 2)
    assert found.pass_at_k == pytest.approx((2 / 3 + 1) / 2)


def test_a_surer_but_narrower_agent_raises_the_alarm():
    wide = estimate_pass_rates(
        [*graded("a", ["success", "fail"]), *graded("b", ["success", "fail"])], 2
    )
    sharp = estimate_pass_rates([*graded("a", ["success"] * 3), *graded("b", ["fail"] * 3)], 2)
    better = estimate_pass_rates(
        [*graded("a", ["success"] * 3), *graded("b", ["success", "fail"])], 2
    )
    assert narrowing(wide, sharp) is None  # pass@1 did not rise
    grown = estimate_pass_rates(
        [*graded("a", ["success"] * 3), *graded("b", ["fail"] * 3), *graded("c", ["success"] * 3)],
        2,
    )
    assert "pass@2 fell from 100.0% to 66.7%" in narrowing(wide, grown)
    assert narrowing(wide, better) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (OnlineOptions(group_size=1), "an advantage is a comparison"),
        (OnlineOptions(micro_batch=5), "a micro-batch of 5 for 32 attempts"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_any_attempt(shop, options, message):
    with pytest.raises(TrainingError, match=message):
        train_online("shop", options=options)
    assert list(burnish.Workspace().trajectories()) == []


def recorded():
    """The attempts of the training: their task, tokens, reward and version."""
    for run in burnish.Workspace().trajectories(agent="shop", source="rollout"):
        rewarded = float(run.verdicts[-1].label == "success")
        yield run.task_id, merge_attempt(run.model_calls), rewarded, run.policies[0].adapter


def log_probability(model, tokens):
    ids = torch.tensor([[*tokens.prompt_ids, *tokens.completion_ids]])
    with torch.no_grad():
        logprobs = model(ids).logits[0, :-1].log_softmax(-1)
    return logprobs[torch.arange(ids.shape[1] - 1), ids[0, 1:]][len(tokens.prompt_ids) - 1 :]


def preference_for_reward(base, adapter):
    """Return by how much the adapter prefers the rewarded replies of a task, in nats a token."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with ignore_future_warnings():
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    by_task = {}
    for task, tokens, reward, _ in recorded():
        with model.disable_adapter():
            before = log_probability(model, tokens).mean()
        change = float(log_probability(model, tokens).mean() - before)
        by_task.setdefault(task, []).append((reward, change))
    total = 0.0
    for found in by_task.values():
        mean = sum(reward for reward, _ in found) / len(found)
        total += sum((reward - mean) * change for reward, change in found)
    return total


RECIPE = {"rank": 4, "learning_rate": 1e-2, "name": "shop", "warmup_steps": 0}


def test_rewarded_replies_of_the_real_agent_become_likelier(shop, engine, base):
    """The predicate rewards answers of an even length; about half of the base's answers have one."""
    report = train_online("shop", options=dataclasses.replace(SHORT, k=2), recipe=RECIPE)
    assert (report.before.tasks, report.after.tasks, report.after.k) == (8, 8, 2)
    assert preference_for_reward(base, report.adapter.path) > 0.05
    assert len(report.rewards) == 2
    assert report.counts == {
        "attempts": 32, "unscored": 0, "without_tokens": 0, "calls_left_out": 0,
    }  # fmt: skip
    runs = list(recorded())
    assert len(runs) == 32
    assert len({version for *_, version in runs}) == 2  # each step has its own weights
    assert report.adapter.manifest.plan["objective"] == "online/grpo"
    assert report.adapter.path.is_dir()


def test_the_sign_of_the_credit_decides_the_direction(shop, engine, base):
    def against(runs):
        return {key: -value for key, value in grpo(runs).items()}

    report = train_online("shop", credit=against, options=SHORT, recipe=RECIPE)
    assert preference_for_reward(base, report.adapter.path) < -0.05


def test_without_a_verdict_nothing_is_learned_and_nothing_published(shop, engine, made, base):
    (shop / "burnish.toml").write_text(made.TOML.format(base=base, predicate="unsure"))
    with pytest.raises(TrainingError, match="none of 16 attempts has a verdict"):
        train_online("shop", options=dataclasses.replace(SHORT, steps=1), recipe=RECIPE)
    assert AdapterStore(burnish.Workspace().home).list() == []


def test_sampled_log_probabilities_are_those_of_the_policy(shop, engine, base):
    """The trainer's model gives the recorded tokens the log-probabilities that the engine recorded."""
    from transformers import AutoModelForCausalLM

    from burnish_trainer import collect
    from burnish_trainer.evaluation.agent_project import load_agent

    collect("shop", load_agent("shop").tasks("train"))
    model = AutoModelForCausalLM.from_pretrained(base)
    runs = list(recorded())
    assert len(runs) == 8
    for _, tokens, _, _ in runs:
        own = log_probability(model, tokens)
        assert torch.allclose(own, torch.tensor(tokens.logprobs), atol=1e-4)


def test_a_killed_training_goes_on_from_its_newest_checkpoint_and_a_finished_one_is_not_repeated(
    shop, engine, base, monkeypatch
):
    import burnish_trainer.run.checkpoints as module

    options = dataclasses.replace(SHORT, steps=3)
    seal = module.seal_checkpoint

    def stop_after_the_second(staged, final):
        seal(staged, final)
        if final.name == "checkpoint-2":
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "seal_checkpoint", stop_after_the_second)
    with pytest.raises(KeyboardInterrupt):
        train_online("shop", options=options, recipe=RECIPE)
    assert len(list(recorded())) == 32
    assert AdapterStore(burnish.Workspace().home).list() == []
    monkeypatch.undo()
    report = train_online("shop", options=options, recipe=RECIPE)
    assert len(list(recorded())) == 48  # one more step, not three
    assert (len(report.rewards), report.counts["attempts"]) == (3, 48)
    again = train_online("shop", options=options, recipe=RECIPE)
    assert len(list(recorded())) == 48
    assert (again.adapter.id, again.rewards, again.counts) == (
        report.adapter.id, report.rewards, report.counts,
    )  # fmt: skip
    assert not (report.adapter.run / "checkpoints").exists()


def test_a_changed_credit_function_is_another_run():
    from burnish_trainer.online.training import describe_function

    def one(runs):
        return {}

    def other(runs):
        return dict(runs)

    other.__qualname__ = one.__qualname__
    assert describe_function(one) == describe_function(one) != describe_function(other)
    assert describe_function(None) == ""
