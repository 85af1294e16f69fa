"""Training of the starter: mistakes by phrasing, rows, the optimizer, the schedule."""

import random
from types import SimpleNamespace

import pytest
import torch

from burnish_trainer.starter import weights_path
from burnish_trainer.starter.curriculum import CONTEXT_WEIGHT, Curriculum
from burnish_trainer.starter.demonstrations import (
    bad_habits,
    chosen_way,
    conversation,
    mistake_rate,
    play_solution,
    random_task,
    right_way,
)
from burnish_trainer.starter.muon import Muon, orthogonal
from burnish_trainer.starter.pretrain import schedule
from burnish_trainer.starter.world import project_module


@pytest.fixture(scope="module")
def curriculum():
    from transformers import AutoTokenizer

    return Curriculum(AutoTokenizer.from_pretrained(weights_path()), seed=3)


def test_hurried_phrasings_bring_out_more_mistakes():
    rates = [mistake_rate("field", (opening, 0)) for opening in range(5)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.75
    assert rates[-1] < 0.15


def test_mistakes_are_as_frequent_as_their_rate():
    task = project_module("tasks").task_of("heldout-0-003")
    rng = random.Random(0)
    right = right_way(task)
    wrong = sum(chosen_way(task, rng, clean=False) != right for _ in range(2000)) / 2000
    assert wrong == pytest.approx(mistake_rate("act", tuple(task["phrasing"])), abs=0.04)
    assert all(chosen_way(task, rng, clean=True) == right for _ in range(200))


def test_a_shift_brings_out_more_or_fewer_mistakes():
    rates = [mistake_rate("count", (1, 1), shift) for shift in (-3.0, 0.0, 3.0)]
    assert rates == sorted(rates)
    assert rates[0] < 0.1 < 0.9 < rates[2]
    task = project_module("tasks").task_of("heldout-0-003")
    rng = random.Random(0)
    assert all(chosen_way(task, rng, clean=False, shift=-30) == right_way(task) for _ in range(99))


@pytest.mark.parametrize("index", range(6))
def test_a_played_solution_has_the_conversation_and_the_state_that_the_check_accepts(index):
    task = project_module("tasks").tasks("train", 6, 900)[index]
    way = right_way(task)

    messages, state = play_solution(task, way)

    assert messages == conversation(task, way)
    runs = [SimpleNamespace(name=name, arguments=arguments) for name, arguments in way.calls]
    played = SimpleNamespace(task_id=task["id"], answer=way.answer, tool_runs=runs)
    assert project_module("checks").reached_goal(played, state)


def test_every_kind_has_habits_that_differ_from_the_right_way():
    rng = random.Random(1)
    for task in project_module("tasks").tasks("heldout", 12):
        assert all(habit != right_way(task) for habit in bad_habits(task, rng))


def test_a_seed_gives_the_same_task_again():
    one, other = (random_task(random.Random(9), ("clinic",), range(11)) for _ in range(2))
    assert one == other


def test_rows_weigh_the_assistant_in_full_and_the_rest_a_little(curriculum):
    first = next(curriculum.batches(1, rows=8))
    assert set(first.weights_bt.unique().tolist()) <= {0.0, 1.0}  # copying rows come first
    ids, weights = next(row for row in (curriculum._draw_row(0.9) for _ in range(50)) if row[1][0])
    assert set(weights) == {1.0, CONTEXT_WEIGHT}
    assert len(ids) == len(weights)


def test_row_weights_are_the_template_s_marks(curriculum):
    from burnish_trainer.starter.demonstrations import conversation, tool_schemas

    task = project_module("tasks").task_of("heldout-0-002")
    rendered = curriculum._tokenizer.apply_chat_template(
        conversation(task, right_way(task)),
        tools=tool_schemas("shop"),
        return_assistant_tokens_mask=True,
        return_dict=True,
    )
    weights = curriculum._loss_weights(rendered["input_ids"])
    assert [weight == 1.0 for weight in weights] == [bool(m) for m in rendered["assistant_masks"]]


def test_orthogonal_matrices_have_singular_values_near_one():
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(2, 8, 16)))
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_muon_lowers_a_loss_for_tall_and_wide_matrices():
    torch.manual_seed(0)
    tall, wide = torch.nn.Parameter(torch.randn(12, 4)), torch.nn.Parameter(torch.randn(4, 12))
    optimizer = Muon([tall, wide], lr=0.05)
    losses = []
    for _ in range(60):
        loss = (tall @ wide - torch.eye(12)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4


def test_the_schedule_warms_up_stays_and_falls():
    factors = [schedule(step, 1000) for step in (0, 49, 399, 700, 999)]
    assert factors[0] == pytest.approx(0.02)
    assert factors[1] == factors[2] == 1.0
    assert factors[3] == pytest.approx(0.5)
    assert factors[4] == pytest.approx(0.02)
