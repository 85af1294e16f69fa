"""Credit functions: hand-computed values, properties that hold for all inputs, and parity with TRL."""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.errors import TrainingError
from burnish_trainer.credit import (
    CreditRun,
    CreditStep,
    TaskBelief,
    choose_by_failures,
    curriculum,
    empg,
    fork_relative,
    gigpo,
    grpo,
    mc_step_advantages,
    mc_step_values,
    outcome,
    rloo,
    runs_from_rows,
    spread_over_tokens,
    state_hit_ratio,
    step_gae,
    step_wise,
    toolpo,
    turn_level,
)


def attempt(name, score, /, steps=1, task="t", **facts):
    """An attempt; `facts` are lists with one value a step."""
    count = max([steps, *map(len, facts.values())])
    made = [
        CreditStep(**{key: values[i] for key, values in facts.items()}, tokens=2)
        for i in range(count)
    ]
    return CreditRun(id=name, task=task, reward=score, steps=made)


def values(advantages, run, steps):
    return [pytest.approx(advantages[run, step]) for step in range(steps)]


# Two attempts at one task: the first succeeds in two steps, the second fails in three.
PAIR = [attempt("a", 1.0, 2), attempt("b", 0.0, 3)]


def test_the_outcome_of_a_run_is_the_advantage_of_its_steps():
    assert outcome(PAIR) == {("a", 0): 1, ("a", 1): 1, ("b", 0): 0, ("b", 1): 0, ("b", 2): 0}


def test_grpo_by_hand_counts_an_attempt_once_whatever_its_length():
    runs = [attempt("a", 1.0, 2), attempt("b", 0.0, 10)]
    # mean 0.5 (by steps it would be 2/12), standard deviation of 1 and 0: sqrt(0.5)
    expected = 0.5 / (math.sqrt(0.5) + 1e-4)
    found = grpo(runs)
    assert found["a", 0] == found["a", 1] == pytest.approx(expected)
    assert found["b", 9] == pytest.approx(-expected)
    assert grpo(runs, scale="none")["a", 0] == 0.5


def test_rewards_of_plus_and_minus_one_have_the_advantages_of_one_and_zero():
    """Both are a shift and a factor of each other; only the 1e-4 beside the deviation is left of the difference."""
    solved = [True, True, False, True, False]
    names = "abcde"
    plain = grpo([attempt(n, float(x)) for n, x in zip(names, solved, strict=True)])
    signed = grpo([attempt(n, 2.0 * x - 1.0) for n, x in zip(names, solved, strict=True)])
    assert [signed[n, 0] for n in names] == pytest.approx([plain[n, 0] for n in names], rel=2e-4)
    assert signed["a", 0] > 0 > signed["c", 0]


def test_grpo_scales_by_the_batch():
    runs = [*PAIR, attempt("c", 1.0, task="u"), attempt("d", 1.0, task="u")]
    deviation = np.std([1, 0, 1, 1], ddof=1) + 1e-4
    found = grpo(runs, scale="batch")
    assert found["a", 0] == pytest.approx(0.5 / deviation)
    assert found["c", 0] == 0


def test_rloo_compares_with_the_other_attempts():
    runs = [attempt("a", 1.0), attempt("b", 0.0), attempt("c", 0.5)]
    found = rloo(runs)
    assert [found[name, 0] for name in "abc"] == pytest.approx([0.75, -0.75, 0.0])


def test_step_wise_divides_by_the_steps_and_drops_flat_groups():
    found = step_wise(PAIR, scale="none", per_step=True)
    assert found["a", 0] == 0.25
    assert found["b", 0] == pytest.approx(-0.5 / 3)
    assert set(step_wise(PAIR, least_deviation=0.8).values()) == {0.0}


def test_turns_add_their_own_advantage_and_the_last_turn_has_none():
    runs = [
        attempt("a", 1.0, reward=[1.0, 0.0, 0.0]),
        attempt("b", 0.0, reward=[0.0, 0.0, 5.0]),
    ]
    found = turn_level(runs, coef=0.5, scale="none", limit=None)
    # turns before the last: 1, 0 and 0, 0 with mean 0.25; the reward of a last turn is not read
    assert [found["a", t] for t in range(3)] == pytest.approx([0.5 + 0.375, 0.5 - 0.125, 0.5])
    assert [found["b", t] for t in range(3)] == pytest.approx([-0.625, -0.625, -0.5])


def test_many_small_successes_are_not_worth_more_than_the_outcome():
    farmed = attempt("a", 0.0, reward=[1.0] * 9 + [0.0])
    direct = attempt("b", 1.0, reward=[1.0, 0.0])
    found = turn_level([farmed, direct], scale="none")
    assert found["a", 0] < found["b", 0]
    # nine turns of 1/9 and one of 1: mean 0.2
    assert found["a", 0] == pytest.approx(-0.5 + 1 / 9 - 0.2)


def test_step_gae_by_hand():
    run = attempt("a", 1.0, reward=[0.0, 0.5])
    found = step_gae([run], values={("a", 0): 0.4, ("a", 1): 0.6}, gamma=0.9, lam=0.5)
    last = 1.5 - 0.6
    assert values(found, "a", 2) == [0.9 * 0.6 - 0.4 + 0.45 * last, last]
    with pytest.raises(TrainingError, match="no value for step 1"):
        step_gae([run], values={("a", 0): 0.4})


def test_whitened_step_gae_has_mean_0_and_deviation_1():
    found = step_gae(PAIR, values=dict.fromkeys([(r.id, t) for r in PAIR for t in range(3)], 0.1))
    white = step_gae(
        PAIR,
        values=dict.fromkeys([(r.id, t) for r in PAIR for t in range(3)], 0.1),
        whiten=True,
    )
    assert np.mean(list(white.values())) == pytest.approx(0)
    assert np.std(list(white.values()), ddof=1) == pytest.approx(1)
    assert set(white) == set(found)


def test_gigpo_by_hand():
    runs = [
        attempt("a", 1.0, state=["s", "u"]),
        attempt("b", 0.0, state=["s", "v", "s"]),
    ]
    found = gigpo(runs, scale="none", gamma=0.5)
    # returns in s: 0.5 (a, step 0), 0 and 0 (b, steps 0 and 2); u and v occur once
    assert values(found, "a", 2) == [0.5 + 0.5 - 0.5 / 3, 0.5]
    assert values(found, "b", 3) == [-0.5 - 0.5 / 3, -0.5, -0.5 - 0.5 / 3]


def test_equal_states_of_different_tasks_are_never_pooled():
    runs = [
        attempt("a", 1.0, state=["s"]),
        attempt("b", 1.0, state=["s"]),
        attempt("c", 0.0, state=["s"], task="u"),
        attempt("d", 0.0, state=["s"], task="u"),
    ]
    assert set(gigpo(runs).values()) == {0.0}


def test_gigpo_is_grpo_where_states_do_not_repeat_and_says_so():
    runs = [attempt("a", 1.0, state=["s", "u"]), attempt("b", 0.0, state=["v", "w"])]
    with pytest.warns(UserWarning, match="0% of the steps share their state"):
        found = gigpo(runs)
    assert found == grpo(runs, eps=1e-6)
    assert state_hit_ratio(runs) == 0
    assert state_hit_ratio(runs, state_key=lambda step: "all") == 1


def test_a_state_key_of_the_user_is_used():
    runs = [attempt("a", 1.0, state=["s1"]), attempt("b", 0.0, state=["s2"])]
    found = gigpo(runs, state_key=lambda step: step.state[0], scale="none")
    assert found == {("a", 0): 1.0, ("b", 0): -1.0}


def test_step_values_by_hand():
    runs = [
        attempt("a", 1.0, state=["s", "x"], action=["go", "stop"]),
        attempt("b", 0.0, state=["s", "x"], action=["go", "wait"]),
        attempt("c", 0.0, state=["s", "s"], action=["break", "break"]),
    ]
    found = mc_step_values(runs)
    assert values(found, "a", 2) == [0.5, 1.0]
    assert values(found, "b", 2) == [0.5, 0.0]
    assert values(found, "c", 2) == [0.0, 0.0]
    gains = mc_step_advantages(runs)
    # three attempts were in s, one of them twice: V(s) = 1/3
    assert gains["a", 0] == pytest.approx(0.5 - 1 / 3)
    assert gains["c", 1] == pytest.approx(-1 / 3)
    assert gains["b", 1] == pytest.approx(-0.5)


def test_a_fork_compares_branches_and_shared_steps_share_their_credit():
    runs = [
        attempt("a", 1.0, action=["x", "y"]),
        attempt("b", 0.0, action=["x", "z"]),
        attempt("c", 0.0, action=["w", "y"]),
    ]
    found = fork_relative(runs, scale="none")
    # branches at the root: x with 0.5, w with 0; after x: y with 1, z with 0; after w: y alone
    whole = {"a": 2 / 3, "b": -1 / 3, "c": -1 / 3}
    assert values(found, "a", 2) == [whole["a"] + 0.25, whole["a"] + 0.5]
    assert values(found, "b", 2) == [whole["b"] + 0.25, whole["b"] - 0.5]
    assert values(found, "c", 2) == [whole["c"] - 0.25, whole["c"]]


def test_empg_by_hand():
    runs = [attempt("a", 1.0, entropy=[0.0, 1.0]), attempt("b", 0.0, entropy=[2.0, 1.0])]
    found = empg(runs, base=lambda r: grpo(r, scale="none"), zeta=0.1)
    normal = np.array([0.0, 0.5, 1.0, 0.5])
    scaling = np.exp(-normal) / np.exp(-normal).mean()
    raw = np.array([0.5, 0.5, -0.5, -0.5]) * scaling
    raw += 0.1 * np.array([np.exp(-0.5), 0, np.exp(-0.5), 0])
    assert [found[key] for key in (("a", 0), ("a", 1), ("b", 0), ("b", 1))] == pytest.approx(
        raw - raw.mean()
    )


def test_empg_amplifies_confident_steps_not_uncertain_ones():
    found = empg(
        [attempt("a", 1.0, entropy=[0.1, 2.0]), attempt("b", 0.0, entropy=[0.1, 2.0])], zeta=0
    )
    assert found["a", 0] > found["a", 1] > 0 > found["b", 1] > found["b", 0]


def test_empg_leaves_a_solved_task_alone():
    solved = [attempt(name, 1.0, entropy=[0.3, 1.0], task="solved") for name in "cd"]
    assert set(empg(solved).values()) == {0.0}
    mixed = [attempt("a", 1.0, entropy=[0.1, 2.0]), attempt("b", 0.0, entropy=[0.1, 2.0])]
    found = empg([*mixed, *solved])
    assert {found[name, t] for name in "cd" for t in (0, 1)} == {0.0}
    assert found["a", 0] == empg(mixed)["a", 0]


def test_empg_refuses_a_step_without_entropy():
    with pytest.raises(TrainingError, match="step 0 of run 'a' has no entropy"):
        empg(PAIR)


def test_toolpo_changes_the_tokens_of_calls_only():
    runs = [
        attempt("a", 1.0, call_ok=[1.0, None], call_mask=[[False, True], [False, False]]),
        attempt("b", 1.0, call_ok=[0.0, None], call_mask=[[True, True], [True, False]]),
    ]
    found = toolpo(runs)
    # equal outcomes, but one correct call against none: the group still teaches
    assert found["a", 0].tolist() == [0.0, 0.5]
    assert found["b", 0].tolist() == [-0.5, -0.5]
    assert found["a", 1].tolist() == found["b", 1].tolist() == [0.0, 0.0]
    assert set(grpo(runs).values()) == {0.0}


def test_toolpo_refuses_a_judged_call_without_its_tokens():
    runs = [attempt("a", 1.0, call_ok=[1.0]), attempt("b", 1.0, call_ok=[0.0])]
    with pytest.raises(TrainingError, match="no call_mask"):
        toolpo(runs)


def test_one_number_a_step_is_the_number_of_each_of_its_tokens():
    run = attempt("a", 1.0, 2)
    found = spread_over_tokens(run, {("a", 0): 0.5, ("a", 1): np.array([1.0, 2.0])})
    assert [one.tolist() for one in found] == [[0.5, 0.5], [1.0, 2.0]]
    unscored = spread_over_tokens(run, {})
    assert [one.tolist() for one in unscored] == [[0.0, 0.0], [0.0, 0.0]]
    with pytest.raises(TrainingError, match="3 advantages and 2 tokens"):
        spread_over_tokens(run, {("a", 0): np.zeros(3)})


def test_rows_of_rl_steps_become_runs():
    rows = [
        {"run": "a", "step": 3, "group": "t", "reward": 1.0, "state_key": "s1", "response_ids": [7]},
        {"run": "a", "step": 0, "group": "t", "reward": 1.0, "state_key": "s0", "response_ids": [1, 2]},
        {"run": "b", "step": 0, "group": "t", "reward": None, "state_key": "s0", "response_ids": [1]},
    ]  # fmt: skip
    first, second = runs_from_rows(rows)
    assert [(s.state, s.action, s.tokens) for s in first.steps] == [
        ("s0", "s1", 2),
        ("s1", None, 1),
    ]
    assert (first.task, first.reward, second.scored) == ("t", 1.0, False)


def test_two_runs_of_one_id_and_an_infinite_reward_are_refused():
    with pytest.raises(TrainingError, match="two runs have the id"):
        grpo([attempt("a", 1.0), attempt("a", 0.0)])
    with pytest.raises(TrainingError, match="the reward inf"):
        grpo([attempt("a", math.inf)])


few = settings(max_examples=40, deadline=None)
STEPS = st.builds(
    CreditStep,
    reward=st.sampled_from([0.0, 0.1]),
    state=st.sampled_from(["s", "u", None]),
    action=st.sampled_from(["x", "y", None]),
    entropy=st.floats(0, 5),
    call_ok=st.just(1.0),
    call_mask=st.just([True, False]),
    tokens=st.just(2),
)
REWARDS = st.sampled_from([0.0, 0.1, 0.3, 1.0, None, math.nan])


@st.composite
def batches(draw, rewards=REWARDS):
    count = draw(st.integers(0, 8))
    return [
        CreditRun(
            id=str(i),
            task=draw(st.sampled_from("tu")),
            reward=draw(rewards),
            steps=draw(st.lists(STEPS, min_size=1, max_size=4)),
        )
        for i in range(count)
    ]


GROUP_RELATIVE = {
    "grpo": grpo,
    "grpo by batch": lambda runs: grpo(runs, scale="batch"),
    "rloo": rloo,
    "step_wise": step_wise,
    "turn_level": lambda runs: turn_level(runs, turn_reward=lambda step: 0.1),
    "gigpo": lambda runs: gigpo(runs, state_key=lambda step: "s", gamma=1.0, least_hits=0),
    "mc_step_advantages": mc_step_advantages,
    "fork_relative": fork_relative,
    "empg": empg,
    "toolpo": lambda runs: toolpo(runs, lam=0.0),
}


@pytest.mark.parametrize("name", GROUP_RELATIVE)
@few
@given(runs=batches())
def test_groups_of_one_or_of_equal_rewards_give_exactly_0(name, runs):
    flat = [
        CreditRun(
            id=run.id,
            task=run.task,
            reward=run.reward and {"t": 0.1, "u": 1.0}[run.task],
            steps=[CreditStep(entropy=s.entropy, tokens=2) for s in run.steps],
        )
        for run in runs
        if run.scored and run.reward
    ]
    found = GROUP_RELATIVE[name](flat)
    assert all(np.all(np.asarray(value) == 0.0) for value in found.values())


@pytest.mark.parametrize("name", GROUP_RELATIVE)
@few
@given(runs=batches())
def test_unscored_runs_are_no_zeros(name, runs):
    credit = GROUP_RELATIVE[name]
    found = credit(runs)
    scored = [run for run in runs if run.scored]
    assert set(found) == {(run.id, step) for run in scored for step in range(len(run.steps))}
    alone = credit(scored)
    assert all(np.array_equal(found[key], alone[key]) for key in found)
    assert all(np.isfinite(np.asarray(value)).all() for value in found.values())


@few
@given(runs=batches(), seed=st.integers(0, 9))
def test_the_order_of_attempts_does_not_matter(runs, seed):
    shuffled = [runs[i] for i in np.random.default_rng(seed).permutation(len(runs))]
    for credit in GROUP_RELATIVE.values():
        before, after = credit(runs), credit(shuffled)
        assert set(before) == set(after)
        for key, value in before.items():
            np.testing.assert_allclose(after[key], value, atol=1e-9)


@few
@given(st.lists(st.lists(REWARDS, min_size=3, max_size=3), min_size=1, max_size=4))
@pytest.mark.parametrize("scale", ["group", "none", "batch"])
def test_grpo_equals_the_advantages_of_trl(scale, rewards):
    found = trl_advantages(rewards, scale)
    runs = [
        attempt(f"{g}.{i}", reward, task=str(g))
        for g, group in enumerate(rewards)
        for i, reward in enumerate(group)
    ]
    mine = grpo(runs, scale=scale)
    for place, run in enumerate(runs):
        if run.scored:
            assert mine[run.id, 0] == pytest.approx(found[place], abs=1e-6)
        else:
            assert found[place] == 0


def trl_advantages(rewards, scale):
    """Run the installed GRPOTrainer's own scoring on these rewards, and return its advantages."""
    import torch
    from trl.trainer.utils import nanstd

    given_rewards = [math.nan if r is None else r for group in rewards for r in group]
    trainer = SimpleNamespace(
        multi_objective_aggregation="sum_then_normalize",
        reward_weights=torch.ones(1, dtype=torch.float64),
        scale_rewards=scale,
    )
    names = {
        "self": trainer,
        "torch": torch,
        "nanstd": nanstd,
        "device": "cpu",
        "num_generations": len(rewards[0]),
        "rewards_per_func": torch.tensor(given_rewards, dtype=torch.float64)[:, None],
    }
    exec(_trl_scoring(), names)
    return names["advantages"].tolist()


@functools.cache
def _trl_scoring():
    """The statements of the installed TRL between the rewards and the local slice of advantages."""
    import inspect
    import textwrap

    from trl import GRPOTrainer

    lines = inspect.getsource(GRPOTrainer._generate_and_score_completions).splitlines()
    first = next(i for i, line in enumerate(lines) if "unscorable_mask = " in line)
    last = next(i for i, line in enumerate(lines) if "advantages = torch.nan_to_num" in line)
    return compile(textwrap.dedent("\n".join(lines[first : last + 1])), "trl", "exec")


def test_the_curriculum_takes_tasks_near_the_target():
    history = {
        "solved": [(8, 8)] * 3,
        "hopeless": [(0, 8)] * 3,
        "even": [(4, 8)] * 3,
        "hard": [(2, 8)] * 3,
    }
    assert curriculum(history, 2, temperature=None) == ["even", "hard"]
    assert curriculum(history, 1, target=1.0, temperature=None) == ["solved"]
    assert sorted(curriculum(history, 9)) == sorted(history)
    drawn = [curriculum(history, 1, seed=seed)[0] for seed in range(200)]
    assert drawn.count("even") > drawn.count("hard") > drawn.count("solved")
    assert drawn.count("even") > 100


def test_the_belief_about_a_task_forgets_and_takes_a_guess_by_hand():
    belief = TaskBelief(3.0, 1.0).after_attempts(1, 4)
    assert (belief.alpha, belief.beta) == pytest.approx((0.8 * 3 + 0.2 + 1, 0.8 + 0.2 + 3))
    guided = TaskBelief(3.0, 1.0).after_attempts(1, 4, guess=0.5)
    assert (guided.alpha, guided.beta) == pytest.approx(
        (2.4 + 0.2 + 0.8 + 0.2 * 4 * 0.5, 0.8 + 0.2 + 0.8 * 3 + 0.2 * 4 * 0.5)
    )
    with pytest.raises(TrainingError, match="5 successes of 4 attempts"):
        TaskBelief().after_attempts(5, 4)


def test_tasks_are_chosen_by_the_failures_of_their_kind():
    kinds = ["strong", "weak", "new"] * 20
    solved = {"strong": (9, 10), "weak": (1, 10)}

    chosen = choose_by_failures(solved, kinds, 17)

    counts = {kind: sum(kinds[place] == kind for place in chosen) for kind in set(kinds)}
    # Expected failure rates 2/12, 10/12 and 1/2, so 17 tasks are 2, 9 and 6 of the kinds.
    assert counts == {"strong": 2, "weak": 9, "new": 6}
    assert chosen == sorted(chosen)
    assert [place for place in chosen if kinds[place] == "weak"] == list(range(1, 27, 3))


@given(
    st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 9), st.just(9))),
    st.lists(st.sampled_from("abcd"), max_size=30),
    st.integers(0, 40),
)
def test_as_many_tasks_are_chosen_as_there_are_and_none_twice(solved, kinds, count):
    chosen = choose_by_failures(solved, kinds, count)

    assert len(set(chosen)) == len(chosen) == min(count, len(kinds))
    assert all(0 <= place < len(kinds) for place in chosen)


def test_a_curriculum_out_of_range_is_refused():
    with pytest.raises(TrainingError, match=r"target 1\.5"):
        curriculum({}, 1, target=1.5)
