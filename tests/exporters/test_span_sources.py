"""Every source of spans keeps the same contract, and the same runs give the same version from each source."""

import random

import pytest

import burnish
from burnish.errors import ExportError, JournalError
from burnish.testing import SOURCE_CHECKS, SourceCase
from burnish.trajectories import assemble_many
from burnish.workspace import Workspace
from burnish_exporters import build_dataset
from burnish_exporters.sources import ArchiveSource, JournalSource, OtlpFiles

RUNS = 3


def record(first, last):
    """Captured runs with outcomes."""
    from langchain.agents import create_agent

    from burnish.testing import ScriptedChatModel

    model = ScriptedChatModel(script=["fine"], repeat=True)
    graph = burnish.wrap(create_agent(model, []), agent="support")
    for n in range(first, last):
        thread = {"configurable": {"thread_id": f"t{n}"}}
        graph.invoke({"messages": [("user", f"How is {n}?")]}, config=thread)
        burnish.outcome(thread_id=f"t{n}", success=True, source="crm")
    burnish.flush(5)


@pytest.fixture
def journal(home):
    record(0, RUNS)
    return JournalSource(home)


def journal_case(journal, home, folder):
    del folder
    (segment,) = (home / "journal").rglob("*.seg")

    def cut():
        segment.write_bytes(segment.read_bytes()[:-40])

    return SourceCase(source=JournalSource(home), trajectories=RUNS, damage=cut)


def files_case(journal, home, folder, ending=".binpb"):
    from burnish.telemetry.otlp.codec import encode_request

    spans = list(journal.spans())
    folder.mkdir()
    for part in (0, 1):
        (folder / f"{part}{ending}").write_bytes(encode_request(spans[part::2]))

    def spoil():
        (folder / f"1{ending}").write_bytes(b"\xff noise")

    return SourceCase(source=OtlpFiles(folder / f"*{ending}"), trajectories=RUNS, damage=spoil)


def archive_case(journal, home, folder):
    copy = folder / "home"
    workspace = _closed_copy(home, copy)
    workspace.archive(f"file://{folder}/archive")

    def spoil():
        next((folder / "archive").rglob("*.parquet")).write_bytes(b"noise")

    source = ArchiveSource(f"file://{folder}/archive")
    return SourceCase(source=source, trajectories=RUNS, damage=spoil)


def _closed_copy(home, copy):
    """The workspace as another process finds it after the writing process has ended."""
    import shutil

    shutil.copytree(home, copy, ignore=shutil.ignore_patterns("alive", "index.sqlite*"))
    return Workspace(copy)


CASES = {"journal": journal_case, "otlp": files_case, "archive": archive_case}


@pytest.mark.parametrize("check", SOURCE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", CASES)
def test_a_source_keeps_its_contract(journal, home, tmp_path, kind, check):
    check(CASES[kind](journal, home, tmp_path / "files"))


@pytest.mark.parametrize("kind", ["otlp", "archive"])
def test_what_is_damaged_is_counted(journal, home, tmp_path, kind):
    case = CASES[kind](journal, home, tmp_path / "files")
    case.damage()

    list(case.source.spans())

    assert case.source.skipped == 1


def test_the_kit_finds_a_source_that_is_none(journal):
    class Once:
        def __init__(self):
            self.left = list(journal.spans())

        def spans(self, since_ns=None):
            while self.left:
                yield self.left.pop()

    with pytest.raises(AssertionError, match="a second reading yields other spans"):
        SOURCE_CHECKS[1](SourceCase(source=Once(), trajectories=RUNS))
    with pytest.raises(AssertionError, match="3 runs, not 2"):
        SOURCE_CHECKS[2](SourceCase(source=journal, trajectories=RUNS - 1))


def test_the_same_runs_from_journal_and_archive_give_the_same_version(journal, home, tmp_path):
    case = archive_case(journal, home, tmp_path / "files")

    one, two = (
        build_dataset(source, agent="support", verify=["outcome"])
        for source in (Workspace(), case.source)
    )

    assert one.id == two.id
    assert one.manifest.rows == {"train": RUNS}


def test_many_spans_wait_in_files_and_make_the_same_runs(journal):
    """Outcomes name threads, and the end times of runs distinguish the runs of a thread."""
    record(0, 2)  # a second run in two of the threads
    spans = list(journal.spans())
    random.Random(5).shuffle(spans)

    few, many = (
        {run.id: run for run in assemble_many(iter(spans), held)} for held in (len(spans), 7)
    )

    assert len(few) == RUNS + 2
    assert few == many
    assert all(run.outcomes for run in many.values())


def test_an_archive_in_an_object_store_is_a_source(journal, home, tmp_path):
    workspace = _closed_copy(home, tmp_path / "copy")
    workspace.archive("memory://archive-of-spans")

    found = list(ArchiveSource("memory://archive-of-spans").trajectories("support"))

    assert len(found) == RUNS
    assert all(run.outcomes for run in found)


def test_an_archive_that_cannot_be_reached_is_an_error(tmp_path):
    with pytest.raises(JournalError):
        list(ArchiveSource("nosuchprotocol://x").spans())
    with pytest.raises(ExportError, match="no archived segment"):
        list(ArchiveSource(tmp_path).spans())
