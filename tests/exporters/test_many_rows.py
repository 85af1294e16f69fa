"""Formats that must see all rows before the first one comes need no more memory for many rows than for few."""

import tracemalloc

import pytest

from burnish_exporters.formats import find_format

TEXT = 20_000  # characters of each result
MOST = 10_000_000  # bytes that may be in memory at a time: of some 30 million


def message(role, content, **more):
    return {"role": role, "content": content, "loss": role == "assistant", **more}


def run(number):
    """Every fourth run fails; every fifth has a call that failed and was made again."""
    began = message("user", f"Where is order {number // 4}?")
    messages = [began]
    for step in range(2):
        arguments = f'{{"order": {number // 4}, "try": "{number}-{step}"}}'
        function = {"name": "look_up", "arguments": arguments}
        call = {"id": f"c{step}", "type": "function", "function": function}
        result = f"{number} {step} ".ljust(TEXT // 2, "x")
        messages += [
            message("assistant", "", tool_calls=[call], loss=step > 0 or number % 5 > 0),
            message("tool", result, tool_call_id=call["id"]),
        ]
    messages.append(message("assistant", f"In town {number}."))
    return {
        "task_id": f"t{number // 4}" if number % 7 else None,
        "trajectory_id": f"{number}",
        "messages": messages,
        "tools": [],
        "calls": [{"message": place} for place in (1, 3, 5)],
        "verdict": {"label": "success" if number % 4 < 3 else "fail"},
    }


def peak_of(make):
    """Return the result of a call, and the most bytes that Python held during it."""
    tracemalloc.start()
    try:
        return make(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["trl-dpo", "trl-dpo-step", "trl-prm"])
def test_the_rows_of_other_tasks_wait_on_disk(name):
    form = find_format(name)

    count, most = peak_of(lambda: sum(1 for _ in form.render(map(run, range(1500)))))

    assert count > 500
    assert most < MOST


def test_rows_that_wait_in_memory_would_be_noticed():
    _, most = peak_of(lambda: [run(number) for number in range(1500)])

    assert most > 2 * MOST
