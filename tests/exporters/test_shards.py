"""A large build is made in shards: in parallel, in little memory, and resumed after a kill."""

import importlib
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.errors import EmptyDataset, ExportError, ImportPathError
from burnish.records import Outcome
from burnish.workspace import Workspace
from burnish_exporters import BuildOptions, Recipe, build_dataset
from burnish_exporters.shards import Plan, ShardCache
from burnish_exporters.shards.job import SIZE, cut_workspace

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "export" / "throughput.py"
RUNS = 2 * SIZE + 40
AGENT = "throughput"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A journal of three shards."""
    spec = importlib.util.spec_from_file_location("throughput_journal", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    home = tmp_path_factory.mktemp("journal")
    module.write_runs(home, RUNS, 2)
    return home


def build(home, versions, **options):
    verify = options.pop("verify", ["outcome"])
    return build_dataset(
        Workspace(home),
        agent=AGENT,
        verify=verify,
        recipe=options.pop("recipe", None),
        options=BuildOptions(home=versions, key=b"key", **options),
    )


def test_several_processes_make_the_same_version_as_one(written, tmp_path):
    seen = []

    one = build(written, tmp_path / "one")
    two = build(
        written,
        tmp_path / "two",
        workers=2,
        progress=lambda funnel: seen.append(funnel.count_entered()),
    )

    assert two.id == one.id
    assert one.manifest.rows == {"train": RUNS}
    assert two.manifest.funnel == one.manifest.funnel
    assert two.manifest.extras == one.manifest.extras
    assert seen[-1] == RUNS
    assert [path.name for path in (tmp_path / "two").iterdir()] == [two.id]


KILLED = """
import os, signal, sys
from pathlib import Path
from counting import Counting
from burnish.workspace import Workspace
from burnish_exporters import BuildOptions, build_dataset

def progress(funnel):
    if any(Path(sys.argv[2]).glob(".pieces-*/[!.]*")):
        os.kill(os.getpid(), signal.SIGKILL)

build_dataset(
    Workspace(Path(sys.argv[1])), agent="throughput", verify=[Counting()],
    options=BuildOptions(home=Path(sys.argv[2]), key=b"key", workers=int(sys.argv[3]), progress=progress),
)
"""
COUNTING = """
import os
from burnish.records import Verdict

class Counting:
    name, version = "counting", "1"

    def verify(self, trajectory):
        with open(os.environ["COUNTED"], "a") as file:
            file.write(trajectory.id + "\\n")
        return Verdict(label="success", verifier=self.name)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_build_that_was_killed_goes_on_where_it_stopped(written, tmp_path, monkeypatch, workers):
    (tmp_path / "counting.py").write_text(COUNTING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "counting", raising=False)
    monkeypatch.setenv("COUNTED", str(tmp_path / "first"))
    command = [sys.executable, "-c", KILLED, str(written), str(tmp_path / "versions"), str(workers)]

    ended = subprocess.run(command, cwd=tmp_path, check=False, timeout=100)

    assert ended.returncode == -signal.SIGKILL
    (pieces,) = (tmp_path / "versions").glob(".pieces-*")
    finished = [path for path in pieces.iterdir() if not path.name.startswith(".")]
    assert len(finished) >= 1
    monkeypatch.setenv("COUNTED", str(tmp_path / "second"))
    verify = [importlib.import_module("counting").Counting()]
    cuts = {cut.name: cut.entries for cut in cut_workspace(Workspace(written), AGENT)}
    done = {entry.id for path in finished for entry in cuts[path.name]}

    version = build(written, tmp_path / "versions", verify=verify)

    judged = (tmp_path / "second").read_text().split() if (tmp_path / "second").exists() else []
    assert done
    assert done.isdisjoint(judged)
    monkeypatch.setenv("COUNTED", os.devnull)
    assert version.id == build(written, tmp_path / "undisturbed", verify=verify).id
    assert not pieces.exists()


def test_a_run_of_which_something_new_was_recorded_is_judged_anew(make_workspace, tmp_path):
    """The second outcome contradicts the first, so a shard from before it must not be used."""
    workspace = make_workspace(3)
    before = cut_workspace(workspace, AGENT)
    told = before[0].entries[1]

    workspace.append_outcome(Outcome(source="other", success=False), trajectory_id=told.id)
    workspace.writer().flush(5)

    after = cut_workspace(Workspace(workspace.home), AGENT)
    assert [cut.name for cut in after] != [cut.name for cut in before]
    version = build(workspace.home, tmp_path / "versions")
    assert told.id not in {row["trajectory_id"] for row in version.rows()}
    assert version.manifest.rows == {"train": 2}


@pytest.fixture
def make_workspace(tmp_path):
    """Maker of a workspace with so many runs of its own."""

    def make(runs):
        spec = importlib.util.spec_from_file_location("throughput_small", SCRIPT)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.write_runs(tmp_path / "own", runs, 2)
        return Workspace(tmp_path / "own")

    return make


def test_an_error_of_a_process_is_the_error_of_the_build(written, tmp_path):
    with pytest.raises(ImportPathError, match="no_such_module"):
        build(written, tmp_path, workers=2, recipe={"replay": "no_such_module:replay"})


def test_a_build_that_fails_leaves_no_pieces(make_workspace, tmp_path):
    workspace = make_workspace(2)

    with pytest.raises(EmptyDataset):
        build(workspace.home, tmp_path / "versions", recipe={"min_rows": 5})

    assert list((tmp_path / "versions").iterdir()) == []


def test_pieces_of_another_code_are_not_used_again(tmp_path, monkeypatch):
    """The function that replays runs has changed between two builds."""
    monkeypatch.syspath_prepend(tmp_path)
    plan = Plan(
        agent="a", verifiers=[], recipe=Recipe(replay="replaying:replay"), key=b"k", folder=tmp_path
    )
    prints = []
    for text in ("def replay(run): return [True]", "def replay(run): return [False]"):
        (tmp_path / "replaying.py").write_text(text)
        prints.append(plan.fingerprint())

    assert prints[0] != prints[1]
    assert prints[1] == plan.fingerprint()


def test_a_torn_piece_is_made_again(tmp_path):
    store = ShardCache(tmp_path)
    (tmp_path / "name").write_bytes(b"\x85torn")

    assert store.read_shard("name") is None


def test_pieces_that_a_build_left_a_week_ago_are_removed(tmp_path):
    for name, age in (("old", 8), ("new", 1)):
        folder = tmp_path / f".pieces-{name}"
        folder.mkdir()
        then = folder.stat().st_mtime - age * 86_400
        os.utime(folder, (then, then))

    with ShardCache.open_for(tmp_path, "new"):
        assert [path.name for path in tmp_path.iterdir()] == [".pieces-new"]


def test_two_builds_of_the_same_plan_do_not_disturb_each_other(written, tmp_path):
    """The first one is in the middle of its work: its folder stays, and the second one has another."""
    seen = []

    def second(funnel):
        if not seen and any(tmp_path.glob(".pieces-*/[!.]*")):
            seen.append(build(written, tmp_path))
            assert any(tmp_path.glob(".pieces-*/[!.]*"))

    first = build(written, tmp_path, progress=second)

    assert first.id == seen[0].id
    assert [path.name for path in tmp_path.iterdir()] == [first.id]


def test_a_process_that_is_killed_ends_the_build_with_what_to_do(written, tmp_path, module):
    name = module("import os, signal\ndef replay(run):\n    os.kill(os.getpid(), signal.SIGKILL)\n")

    with pytest.raises(ExportError, match="a process of the build ended with -9"):
        build(written, tmp_path, workers=2, recipe={"replay": f"{name}:replay"})


def test_what_cannot_be_sent_to_other_processes_is_refused_with_the_remedy(written, tmp_path):
    with pytest.raises(ExportError, match=r"workers=1"):
        build(written, tmp_path, workers=2, decoder=lambda ids: "")


def test_a_stream_of_more_runs_than_a_piece_holds_is_one_version(make_run, tmp_path):
    runs = (make_run(n) for n in range(SIZE + 3))

    version = build_dataset(runs, agent="support", verify=["outcome"])

    assert version.manifest.rows == {"train": SIZE + 3}
    assert version.manifest.funnel[0]["in"] == SIZE + 3
