"""Runs become an immutable version, and each run leaves by a row or by a counted reason."""

import random

import msgspec
import pytest

from burnish.errors import EmptyDataset, ExportError, NoVerifier, VersionConflict
from burnish.records import Outcome, Verdict
from burnish_exporters import DatasetVersion, Recipe, build_dataset
from burnish_exporters.curate import keep_verified
from burnish_exporters.curate.steps.pools import request_hash, task_hash


def build(runs, **kw):
    return build_dataset(runs, **{"agent": "support", "verify": ["outcome"], **kw})


def dropped(version):
    return {
        reason: n for stage in version.manifest.funnel for reason, n in stage["dropped"].items()
    }


def test_only_verified_successes_become_rows_and_every_drop_has_a_reason(make_run):
    runs = [
        make_run(1),
        make_run(2, success=False),
        make_run(3, success=None),
        make_run(4, status="running"),
        make_run(5, losses={"truncated": 1}),
        make_run(6, agent="other"),
        make_run(7, source="evaluation"),
        make_run(8, model_calls=[]),
    ]

    version = build(runs)

    assert [row["task_id"] for row in version.rows()] == ["task-1"]
    assert dropped(version) == {
        "failed": 1,
        "unverified: no outcome was reported": 1,
        "unfinished: running": 1,
        "losses: truncated": 1,
        "other agent": 1,
        "held out: source evaluation": 1,
        "malformed: no model call with a reply": 1,
    }
    for stage in version.manifest.funnel:
        assert stage["in"] == stage["kept"] + sum(stage["dropped"].values())


def test_the_agents_own_claim_changes_no_label(make_run):
    """The same runs with answers that claim the opposite of their outcome."""
    runs = [make_run(n, success=n % 2 == 0) for n in range(6)]
    boasting = [
        make_run(n, success=n % 2 == 0, answer="I am 100% sure: success!" if n % 2 else "I failed.")
        for n in range(6)
    ]

    ids = [{row["task_id"] for row in build(given).rows()} for given in (runs, boasting)]

    assert ids[0] == ids[1] == {"task-0", "task-2", "task-4"}


def test_unknown_can_never_be_asked_for():
    with pytest.raises(ValueError, match="unknown"):
        keep_verified(("success", "unknown"))


def test_repeated_runs_are_one_row_even_if_their_call_ids_differ(make_run):
    runs = [make_run(1), msgspec.structs.replace(make_run(1), id="f" * 32, started_ns=9999)]
    text = msgspec.json.encode(runs[1]).decode().replace("call-1-", "other-1-")
    runs[1] = msgspec.json.decode(text, type=type(runs[0]))

    version = build(runs)

    assert [row["trajectory_id"] for row in version.rows()] == [runs[0].id]
    assert dropped(version) == {"duplicate: exact": 1}


def test_a_task_has_at_most_so_many_rows_and_different_actions_come_first(make_run):
    """Three runs with 2 calls and the same actions, one with 3 calls: of two that are kept, one is the other way."""
    same = [
        make_run(n, calls=2, request="one", task_id="t", answer=f"answer {n}") for n in (1, 1, 1)
    ]
    same = [msgspec.structs.replace(run, id=f"{n:032x}") for n, run in enumerate(same, 10)]
    same = [with_answer(run, f"It is there {n}") for n, run in enumerate(same)]
    longer = make_run(1, calls=3, request="one", task_id="t", id="b" * 32)

    version = build([*same, longer], recipe={"max_per_task": 2})

    assert sorted(len(row["calls"]) for row in version.rows()) == [2, 3]
    assert dropped(version) == {"task cap": 2}


def with_answer(run, answer):
    last = run.model_calls[-1]
    reply = {"role": "assistant", "parts": [{"type": "text", "content": answer}]}
    calls = [*run.model_calls[:-1], msgspec.structs.replace(last, reply=reply)]
    return msgspec.structs.replace(run, model_calls=calls, answer=answer)


def test_weights_give_each_task_the_same_total(make_run):
    """Task a has 3 runs, task b 1: weights 4/2/3 and 4/2/1, mean 1."""
    runs = [make_run(n, task_id="a" if n < 3 else "b") for n in range(4)]

    rows = list(build(runs, recipe={"weigh": "task"}).rows())

    weights = {row["task_id"]: row["weight"] for row in rows}
    assert weights == {"a": pytest.approx(2 / 3), "b": pytest.approx(2.0)}
    assert sum(row["weight"] for row in rows) == pytest.approx(4)


def test_weights_give_each_kind_the_same_total_up_to_a_limit(make_run):
    """Kind rare has 1 run, kind common 3: weights 4/2/1 and 4/2/3. Of 20 runs one would weigh ten times, but counts four."""
    few = [make_run(n, tags=[f"kind:{'common' if n < 3 else 'rare'}"]) for n in range(4)]
    many = [make_run(n, tags=[f"kind:{'common' if n < 19 else 'rare'}"]) for n in range(20)]

    weights = [sorted(row["weight"] for row in build(few, recipe={"weigh": "kind"}).rows())]
    weights += [sorted(row["weight"] for row in build(many, recipe={"weigh": "kind"}).rows())]

    assert weights[0] == pytest.approx([2 / 3] * 3 + [2.0])
    assert weights[1][-1] / weights[1][0] == pytest.approx(4 / (20 / 2 / 19))
    assert sum(weights[1]) == pytest.approx(20)


def test_held_out_tasks_and_pools_never_enter(make_run):
    runs = [
        make_run(1),
        make_run(2),
        make_run(3, metadata={"pool": "standing"}),
        make_run(4, tags=["pool:heldout"]),
    ]

    version = build(runs, recipe={"refuse_tasks": [task_hash("task-2")]})

    assert [row["task_id"] for row in version.rows()] == ["task-1"]
    assert dropped(version) == {
        "held out: task": 1, "held out: pool standing": 1, "held out: pool heldout": 1
    }  # fmt: skip


def test_a_request_that_is_measured_on_never_enters_whatever_task_it_is_said_to_be(make_run):
    """As of production traffic, which knows no pools."""
    runs = [make_run(1), make_run(2, request="WHERE is\norder  1?"), make_run(3, task_id=None)]

    version = build(runs, recipe={"refuse_requests": [request_hash("Where is order 1?")]})

    assert dropped(version) == {"held out: request": 2}
    assert version.manifest.rows == {"train": 1}


def test_splits_are_by_group_and_stay_where_they_are_when_data_grows(make_run):
    runs = [make_run(n, task_id=f"task-{n % 40}", user="u") for n in range(120)]

    def tasks(given, split):
        return {row["task_id"] for row in build(given, recipe={"heldout": 0.3}).rows(split)}

    small, large = runs[:60], runs
    assert tasks(large, "train").isdisjoint(tasks(large, "heldout"))
    assert tasks(small, "heldout") == tasks(large, "heldout")
    assert 4 <= len(tasks(large, "heldout")) <= 20


def test_a_task_that_is_held_out_for_one_user_is_not_trained_on_for_another(make_run):
    runs = [make_run(n, task_id=f"task-{n % 5}", user=f"user-{n}") for n in range(60)]

    version = build(runs, recipe={"heldout": 0.2, "max_per_task": None})

    held = {row["task_id"] for row in version.rows("heldout")}
    assert held
    assert not held & {row["task_id"] for row in version.rows("train")}
    assert dropped(version)["contamination: task is held out"] > 0


def test_runs_from_a_date_on_form_the_temporal_hold_out(make_run):
    day = 86_400 * 10**9
    runs = [make_run(n, started_ns=n * day) for n in range(4)]

    version = build(runs, recipe={"heldout_since": "1970-01-03"})

    assert [row["task_id"] for row in version.rows("temporal")] == ["task-2", "task-3"]
    assert version.manifest.rows == {"train": 2, "temporal": 2}


def test_the_same_runs_in_any_order_give_the_same_version_and_the_same_bytes(make_run, tmp_path):
    from burnish_exporters import BuildOptions

    runs = [make_run(n, calls=3) for n in range(30)]
    shuffled = random.Random(1).sample(runs, len(runs))

    one, two = (
        build(given, options=BuildOptions(home=tmp_path / name))
        for name, given in (("a", runs), ("b", shuffled))
    )

    assert one.id == two.id
    files = [version.path / "rows" / "train.parquet" for version in (one, two)]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("recipe", [{"max_per_task": 3}, {"mask_errors": False}])
def test_another_recipe_is_another_version(make_run, recipe):
    assert build([make_run()]).id != build([make_run()], recipe=recipe).id


def test_building_again_gives_the_version_that_is_there_untouched(make_run):
    first = build([make_run()])
    before = (first.path / "manifest.json").read_bytes()

    second = build([make_run()])

    assert second.path == first.path
    assert (first.path / "manifest.json").read_bytes() == before
    assert [p.name for p in first.path.parent.iterdir()] == [first.id]


def test_a_version_knows_when_a_row_was_altered(make_run):
    import pyarrow as pa
    import pyarrow.parquet as pq

    version = build([make_run()])
    version.verify()
    file = version.path / "rows" / "train.parquet"
    table = pq.read_table(file)
    pq.write_table(table.set_column(2, "task_id", pa.array(["other"])), file)

    with pytest.raises(VersionConflict, match="was altered"):
        version.verify()


def test_a_version_is_read_again_as_it_was_written(make_run):
    run = make_run(calls=3)
    calls = [
        msgspec.structs.replace(call, prompt_token_ids=list(range(5 * (n + 1))), token_ids=[7, 8])
        for n, call in enumerate(run.model_calls)
    ]

    version = DatasetVersion.open(build([msgspec.structs.replace(run, model_calls=calls)]).path)

    (row,) = version.rows()
    assert [call["prompt_token_ids"] for call in row["calls"]] == [
        list(range(5)), list(range(10)), list(range(15))
    ]  # fmt: skip
    assert row["verdict"] == {
        "label": "success",
        "verifier": "outcome",
        "version": "1",
        "score": None,
    }


def test_nothing_left_is_an_error_that_shows_the_funnel(make_run):
    with pytest.raises(EmptyDataset, match=r"0 training rows are left\. 2 runs came in: 2 failed"):
        build([make_run(n, success=False) for n in range(2)])


def test_fewer_rows_than_asked_for_is_an_error(make_run):
    with pytest.raises(EmptyDataset, match=r"1 training rows .* at least 5"):
        build([make_run()], recipe=Recipe(min_rows=5))


def test_no_verifier_no_dataset(make_run):
    with pytest.raises(NoVerifier):
        build([make_run()], verify=[])


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"max_per_tusk": 3}, "unknown key 'max_per_tusk'; expected 'max_per_task'"),
        ({"heldout": 1.5}, "heldout"),
        ({"heldout_since": "yesterday", "heldout": 0.1}, "heldout_since is 'yesterday'"),
        ("fast", "recipe is 'fast'; expected a table"),
    ],
)
def test_a_wrong_recipe_is_refused(make_run, recipe, message):
    with pytest.raises(ExportError, match=message):
        build([make_run()], recipe=recipe)


def test_a_name_that_is_no_folder_name_is_refused(make_run):
    with pytest.raises(ExportError, match="dataset name 'a/b'"):
        build([make_run()], name="a/b")


@pytest.mark.parametrize("source", [42, "journal", [{"id": 1}]])
def test_a_source_that_is_none_is_refused(source):
    with pytest.raises(ExportError, match="as a source"):
        build(source)


def test_text_that_is_no_unicode_drops_the_run_and_not_the_build(make_run):
    version = build([make_run(1), make_run(2, request="half \ud800 a pair")])

    assert dropped(version) == {"malformed: text or numbers that JSON cannot hold": 1}


def test_a_conflict_between_outcomes_is_no_success(make_run):
    told = [Outcome(source="a", success=True), Outcome(source="b", success=False)]

    version = build([make_run(1), make_run(2, outcomes=told)])

    assert dropped(version) == {"unverified: conflicting outcomes": 1}


def test_failures_are_kept_apart_where_pairs_need_them(make_run):
    runs = [make_run(1), make_run(2, success=False)]

    version = build(runs, recipe={"contrast": True})

    assert [row["task_id"] for row in version.rows()] == ["task-1"]
    assert [row["verdict"]["label"] for row in version.rows("train-contrast")] == ["fail"]
    version.verify()


def test_slices_are_counted(make_run):
    runs = [
        make_run(1),
        make_run(2, calls=3, failed=[0]),
        make_run(3, calls=1, answer="Sorry, I cannot do that."),
    ]

    slices = build(runs).manifest.slices

    assert (slices["golden"], slices["recovery"], slices["refusal"]) == (2, 1, 1)


def test_a_step_of_ones_own_is_named_in_the_recipe(make_run, module):
    name = module(
        "from burnish_exporters.curate import Drop\n"
        "def only_short(samples):\n"
        "    for sample in samples:\n"
        "        yield sample if sample.steps < 3 else Drop('long', sample.trajectory_id)\n"
    )

    version = build([make_run(1), make_run(2, calls=4)], recipe={"steps": [f"{name}:only_short"]})

    assert dropped(version) == {"long": 1}


def test_a_step_that_changed_in_a_living_process_is_run_as_it_is_now(
    make_run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # the folder of burnish.toml, by default
    rows = []
    for most in (9, 2):
        (tmp_path / "changing_step.py").write_text(
            f"def keep(samples):\n    return (one for one in samples if one.steps <= {most})\n"
        )
        runs, recipe = [make_run(1), make_run(2, calls=4)], {"steps": ["changing_step:keep"]}
        rows.append(len(list(build(runs, recipe=recipe).rows())))
    assert rows == [2, 1]


def test_the_source_is_only_read(make_run):
    runs = [make_run(n) for n in range(3)]
    before = msgspec.json.encode(runs)

    build(runs)

    assert msgspec.json.encode(runs) == before


def test_a_verdict_given_before_is_enough(make_run):
    old = Verdict(label="success", verifier="outcome", version="1", decided_ns=10**18)

    assert build([make_run(success=None, verdicts=[old])]).manifest.rows == {"train": 1}
