"""Each run of a build leaves as a row or with a counted reason, in spite of every fault of a verifier."""

import pytest

from burnish.errors import EmptyDataset
from burnish_exporters import build_dataset
from burnish_exporters.pipeline import BuildOptions
from burnish_exporters.verify import PoolSettings, goal_state, judge_by

MISBEHAVES = """
import os, sys, time

def reached(run, state):
    n = state["order"]
    if n == 1: raise ValueError("broken")
    if n == 2: time.sleep(10_000)
    if n == 3: os._exit(3)
    if n == 4: return len(bytearray(2 * 1024**3)) > 0
    if n == 5:
        for _ in range(2_000): sys.stdout.write("x" * 1_000_000)  # two gigabytes
        os.write(2, b"y" * 1_000_000)
    if n == 6: return "maybe"
    if n == 7: sys.exit("enough")
    if n == 8: return None
    return True
"""
NONSENSE = """
from burnish.testing import ScriptedChatModel

def make():
    return ScriptedChatModel(script=["", "A or B?", "yes!", "{}"], repeat=True, model="babble-1b")
"""


def dropped(version):
    return {
        reason: n for stage in version.manifest.funnel for reason, n in stage["dropped"].items()
    }


@pytest.mark.slow
def test_hanging_crashing_flooding_and_greedy_verifiers_cost_their_run_and_are_counted(
    make_run, module
):
    verifier = goal_state(f"{module(MISBEHAVES)}:reached")
    pool = PoolSettings(time_limit_s=10, memory_bytes=1024**3)

    version = build_dataset(
        [make_run(n) for n in range(10)],
        agent="support",
        verify=[verifier],
        options=BuildOptions(pool=pool),
    )

    rows = {row["trajectory_id"] for row in version.rows()}
    assert rows == {make_run(n).id for n in (0, 5, 9)}
    assert dropped(version) == {
        "unverified: crash": 3,  # the exception, sys.exit, and the memory that was not there
        "unverified: time limit of 10 s": 1,
        "unverified: verifier process ended": 1,  # os._exit
        "unverified: no verdict": 1,
        "unverified: predicate could not tell": 1,
    }


def test_a_judge_that_answers_nonsense_admits_nothing_and_is_counted(make_run, module):
    """Beside a check it casts doubt; alone, or where the check cannot tell, nothing is left."""
    judge = judge_by(f"{module(NONSENSE)}:make", rubric="Found.", votes=3)
    check = goal_state(f"{module('def reached(run, state): return True')}:reached")
    runs = [make_run(1), make_run(2, final_state=None)]
    options = BuildOptions(pool=PoolSettings(in_process=True))

    with pytest.raises(EmptyDataset, match="2 unverified: judge has no majority"):
        build_dataset(runs, agent="support", verify=[judge], options=options)
    with pytest.raises(EmptyDataset, match="ambiguous: a verifier cannot tell"):
        build_dataset(runs, agent="support", verify=[check, judge], options=options)
    version = build_dataset(
        runs, agent="support", verify=[check, judge], recipe={"ambiguous": "keep"}, options=options
    )

    assert {row["trajectory_id"] for row in version.rows()} == {make_run(1).id}
    assert dropped(version) == {"unverified: state was not recorded": 1}
