"""A version is built again, compared, carried on, pushed and pulled."""

import json

import msgspec
import pytest

from burnish.errors import ExportError, VersionConflict
from burnish.records import Outcome
from burnish.workspace import Workspace
from burnish_exporters import BuildOptions, build_dataset
from burnish_exporters.dataset.store import DatasetStore, compare_versions


def build(runs, recipe=None, **options):
    return build_dataset(
        runs,
        agent="support",
        verify=["outcome"],
        recipe=recipe,
        options=BuildOptions(**{"key": b"key", **options}),
    )


def tasks(version, split="train"):
    return sorted(row["task_id"] for row in version.rows(split))


def run_id(n):
    return f"{n:032x}"


def test_runs_that_the_source_has_lost_are_carried_over_from_the_parent(make_run):
    old = build([make_run(n) for n in range(4)])

    new = build([make_run(n) for n in range(2, 6)], from_=old.id)

    assert tasks(new) == [f"task-{n}" for n in range(6)]
    assert new.manifest.parents == [old.id]
    stage = next(s for s in new.manifest.funnel if s["name"] == "carried over")
    assert (stage["in"], stage["kept"]) == (2, 2)
    before = {row["row_id"]: row for row in old.rows()}
    assert all(before[row["row_id"]] == row for row in new.rows() if row["row_id"] in before)
    new.verify()


def test_what_the_source_still_holds_is_judged_anew_and_never_carried_over(make_run):
    """Run 1 was a success, and has been found to be a failure since."""
    old = build([make_run(n) for n in range(3)])

    new = build([make_run(0), make_run(1, success=False)], from_=old.id)

    assert tasks(new) == ["task-0", "task-2"]


def test_carried_rows_pass_the_steps_of_the_new_recipe(make_run, tmp_path):
    old = build([make_run(n) for n in range(4)])
    (tmp_path / "bench.txt").write_text("Where is order 1?")

    new = build([make_run(9)], {"benchmarks": [str(tmp_path / "bench.txt")]}, from_=old.id)

    assert "task-1" not in tasks(new)
    assert len(tasks(new)) == 4


def test_without_from_a_list_of_runs_begins_anew(make_run):
    build([make_run(1)])

    version = build([make_run(2)])

    assert tasks(version) == ["task-2"]
    assert version.manifest.parents == []


def test_a_parent_of_another_agent_is_refused(make_run):
    other = build_dataset([make_run(1, agent="other")], agent="other", verify=["outcome"])

    with pytest.raises(ExportError, match="holds runs of 'other'"):
        build([make_run(1)], from_=other.id)


@pytest.fixture
def recorded():
    """Maker of captured runs with an outcome each, in the workspace."""
    import burnish

    def make(*numbers):
        for n in numbers:
            with (
                burnish.task(id=f"task-{n}"),
                burnish.trace(agent="support", thread_id=f"t{n}"),
                burnish.trace.model_call(
                    model="m", messages=[{"role": "user", "content": f"Number {n}?"}]
                ) as call,
            ):
                call.reply(f"It is {n}.")
            burnish.outcome(thread_id=f"t{n}", success=True, source="crm")
        burnish.flush(5)
        return Workspace()

    return make


def test_a_workspace_accumulates_and_forgets_what_it_was_asked_to(recorded):
    """Versions of a workspace continue the newest one; a forgotten run does not come back out of it."""
    workspace = recorded(1, 2, 3)
    old = build(workspace)
    workspace.forget(thread_id="t2")
    recorded(4)

    new = build(Workspace())

    assert tasks(new) == ["task-1", "task-3", "task-4"]
    assert new.manifest.parents == [old.id]
    assert build(Workspace(), from_=None).manifest.parents == [old.id], "the same rows, untouched"


def test_forgetting_removes_what_was_read_for_a_version_that_is_not_there_yet(recorded, home):
    """Files of a killed build, and data that a running build has read so far."""
    workspace = recorded(1, 2)
    left = home / "datasets" / ".pieces-left"
    left.mkdir(parents=True)
    (left / "piece").write_bytes(b"Number 2?")

    def forget(funnel):
        workspace.forget(thread_id="t2")

    version = build(Workspace(), progress=forget)

    assert tasks(version) == ["task-1"]
    assert [path.name for path in (home / "datasets").iterdir()] == [version.id]


def test_a_version_is_built_again_after_more_was_recorded(recorded):
    old = build(recorded(1, 2))
    moment = old.manifest.sources[0]["as_of_ns"]
    workspace = recorded(3)
    first = workspace.entries()[0]
    workspace.append_outcome(Outcome(source="later", success=False), trajectory_id=first.id)
    workspace.writer().flush(5)

    again = build(Workspace(), from_=None, as_of_ns=moment)

    assert again.id == old.id
    assert tasks(build(Workspace(), from_=None)) == ["task-2", "task-3"]


def test_a_comparison_tells_of_each_run_why_it_came_went_or_changed(make_run):
    old = build(
        [make_run(0), make_run(1), make_run(2, success=False), make_run(3), make_run(4)],
        {"max_per_task": 1},
    )
    renamed = msgspec.structs.replace(make_run(3), model_calls=make_run(7, calls=1).model_calls)
    new = build(
        [make_run(0), make_run(1, success=False), make_run(2), renamed, make_run(5)],
        {"max_per_task": 2},
    )

    found = compare_versions(old, new)

    assert found.added["train"] == [run_id(2), run_id(5)]
    assert found.removed["train"] == [run_id(1), run_id(4)]
    assert found.changed["train"] == [run_id(3)]
    assert found.why == {
        run_id(1): "failed",
        run_id(2): "was left out: failed",
        run_id(3): "other messages",
        run_id(4): "is not there any more",
        run_id(5): "was not there",
    }
    assert found.recipe == {"max_per_task": [1, 2]}


def test_every_run_that_left_is_written_down_with_stage_and_reason(make_run):
    twins = [make_run(n, request="Where?", task_id="t", answer="There.") for n in (3, 3)]
    twins[1] = msgspec.structs.replace(twins[1], id=run_id(9), started_ns=10**6)
    version = build([make_run(1), make_run(2, success=False), *twins])

    assert version.dropped() == {
        run_id(2): ("verify", "failed"),
        run_id(9): ("duplicates", "duplicate: exact"),
    }


def test_a_version_goes_to_an_object_store_and_back_whole(make_run, tmp_path):
    version = build([make_run(n) for n in range(3)])
    shelf, elsewhere = DatasetStore(version.path.parent), DatasetStore(tmp_path / "elsewhere")

    url = shelf.push(version, "memory://team/datasets")
    pulled = elsewhere.pull(url)

    assert pulled.id == version.id
    assert list(pulled.rows()) == list(version.rows())
    assert pulled.dropped() == version.dropped()
    assert json.loads((pulled.path / "manifest.json").read_bytes()) == json.loads(
        (version.path / "manifest.json").read_bytes()
    )
    with pytest.raises(VersionConflict, match="exists"):
        shelf.push(version, "memory://team/datasets")


def test_a_version_that_was_spoiled_on_the_way_is_not_put_on_the_shelf(make_run, tmp_path):
    import fsspec

    version = build([make_run(1)])
    url = DatasetStore(version.path.parent).push(version, "memory://spoiled")
    other = build([make_run(2)])
    files, place = fsspec.url_to_fs(f"{url}/rows/train.parquet")
    files.put_file(str(other.path / "rows" / "train.parquet"), place)

    with pytest.raises(VersionConflict, match="was altered"):
        DatasetStore(tmp_path / "elsewhere").pull(url)
    assert DatasetStore(tmp_path / "elsewhere").versions() == []


def test_only_parents_whose_rows_were_carried_over_are_kept_by_garbage_collection(make_run):
    first = build([make_run(1)])
    second = build([make_run(1), make_run(2)], from_=first.id)
    third = build([make_run(3)], from_=second.id)
    shelf = DatasetStore(third.path.parent)

    assert third.manifest.parents == [second.id]
    assert [version.id for version in shelf.unneeded_versions(1)] == [first.id]
