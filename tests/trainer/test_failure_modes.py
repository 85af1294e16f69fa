"""Failed runs are named by how they failed, and harmless ways are not named."""

from collections import Counter
from pathlib import Path

import pytest
from failed_runs import DOMAINS, labelled_runs, make_run, make_success

from burnish.records import Failure
from burnish_trainer.report import FAILURE_MODES, name_failure_modes
from burnish_trainer.report.call_accuracy import measure_calls
from burnish_trainer.report.failure_modes import count_failure_modes

LABELLED = list(labelled_runs())


def test_the_classes_agree_with_what_a_reader_says_in_95_percent_of_200_runs():
    assert len(LABELLED) == 200
    assert Counter(label for label, _, _ in LABELLED) == dict.fromkeys(FAILURE_MODES, 20)
    wrong = [
        (label, name_failure_modes(run, successes))
        for label, run, successes in LABELLED
        if name_failure_modes(run, successes)[0] != label
    ]
    assert len(wrong) <= 10, wrong


@pytest.mark.parametrize("domain", DOMAINS[:3], ids=lambda domain: domain.tool)
def test_a_retry_that_succeeds_is_not_a_repeated_broken_call(domain):
    busy = (domain.tool, domain.arguments, Failure(type="TimeoutError", message="busy"))
    found = (domain.tool, domain.arguments, domain.result)
    run = make_run(domain, [busy, busy, found], "I could not find it.")
    assert name_failure_modes(run, [make_success(domain)]) == ["ignores_result"]


def test_one_apology_is_no_loop_and_a_computed_sum_is_not_fabricated():
    domain = DOMAINS[0]
    polite = make_run(domain, [], "Sorry, I cannot see orders.", replies=("A moment.",))
    assert name_failure_modes(polite) == ["other"]
    prices = (domain.tool, domain.arguments, '{"prices": [10, 32]}')
    assert name_failure_modes(make_run(domain, [prices], "It costs 42.")) == ["other"]


def test_all_classes_that_fit_are_given_and_the_first_is_counted():
    domain = DOMAINS[0]
    broken = (domain.tool, domain.arguments, "Error: busy")
    run = make_run(domain, [broken, broken], domain.invented)
    assert name_failure_modes(run, [make_success(domain)]) == [
        "repeats_broken_call",
        "fabricated_answer",
    ]
    successes = {domain.tool: [make_success(domain)]}
    assert count_failure_modes([run, run], successes) == {"repeats_broken_call": 2}


def test_calls_are_compared_with_other_successes_of_the_task():
    domain = DOMAINS[0]
    success = make_success(domain)
    right, wrong, idle = (
        (domain.tool, domain.arguments, domain.result),
        (domain.tool, domain.wrong, "Error: none"),
        (domain.other, {}, "done"),
    )
    runs = [make_run(domain, [wrong, right], "x"), make_run(domain, [right, idle], "y"), success]
    assert measure_calls(runs, {domain.tool: [success]}) == {
        "tool_selection": {"part": 1, "whole": 2},
        "arguments": {"part": 2, "whole": 3},
        "unneeded_calls": {"part": 1, "whole": 4},
        "failed_calls": {"part": 1, "whole": 5},
    }


def test_the_page_of_the_report_has_each_class_with_its_meaning():
    page = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
    for name, meaning in FAILURE_MODES.items():
        assert f"| `{name}` | {meaning} |" in page
