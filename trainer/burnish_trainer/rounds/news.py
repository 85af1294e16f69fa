"""Find what was recorded since the last round: a round without new verified runs would repeat the last one.

`find_news` is the entry. A round writes down where the journal ended before its dataset was built; the runs with later
events are verified, and those that the dataset already holds are not new.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import burnish
from burnish.files.artefacts import read_columns
from burnish.files.storage import make_private_folder
from burnish.journal.index.trajectory_index import IndexEntry, JournalChanges, Query
from burnish.protocols import traits_of
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.rounds.history import continues_from, describe_round, read_report
from burnish_trainer.rounds.stages import read_receipt
from burnish_trainer.run.storage import write_json

_POSITIONS = "positions.json"
_ENDED = ("completed", "failed", "cancelled", "abandoned")


@dataclass(frozen=True, slots=True)
class News:
    """Runs with new facts since a round.

    Attributes:
        successes: Verified successes that the round's dataset does not hold.
        failures: Verified failures with new facts.
        undecided: Runs that no verifier decided.
    """

    successes: int = 0
    failures: int = 0
    undecided: int = 0


def describe_unchanged(subject: AgentProject, last: Path, current: str | None) -> str | None:
    """Return why a round would only repeat the last one; None if a round is due.

    Args:
        subject: The agent.
        last: Folder of the last round with the same settings that has ended.
        current: The version in service.
    """
    from burnish_exporters.dataset.recipe import as_recipe
    from burnish_trainer.rows.examples import NEEDS_FAILURES

    report = read_report(last)
    if report is None or not continues_from(report, current):
        return None
    news = find_news(subject, last, report.dataset)
    if news is None or news.successes:
        return None
    compares = subject.config.train.objective in NEEDS_FAILURES
    if news.failures and (compares or as_recipe(subject.config.dataset).needs_failures()):
        return None
    seen = f" ({news.failures + news.undecided} new runs did not succeed)" if news != News() else ""
    return (
        f"nothing new since {describe_round(last, report)}: no new verified success{seen}; "
        f"burnish retrain {subject.name} --again repeats it"
    )


def write_positions(folder: Path, workspace: burnish.Workspace) -> None:
    """Write where the journal ends now into the folder of a round."""
    make_private_folder(folder)
    write_json(folder / _POSITIONS, {"positions": workspace.positions()})


def find_news(subject: AgentProject, folder: Path | None, dataset: str | None) -> News | None:
    """Verify the runs with new facts since a round, record the verdicts, and count the runs by result.

    Args:
        subject: The agent.
        folder: Folder of the round; None counts all runs.
        dataset: Its dataset version; None if it had none.

    Returns:
        The counts; None if the round did not write where the journal ended.
    """
    reader = open_news(subject, folder, dataset)
    return None if reader is None else reader.look()


def open_news(subject: AgentProject, folder: Path | None, dataset: str | None) -> NewsReader | None:
    """Return a reader of what comes after a round; None if the round did not write where the journal ended.

    Args:
        subject: The agent.
        folder: Folder of the round; None reads from the beginning.
        dataset: Its dataset version; None if it had none.
    """
    positions = {} if folder is None else read_receipt(folder / _POSITIONS).get("positions")
    if positions is None:
        return None
    return NewsReader(subject, positions, _runs_of(subject.workspace.home, dataset))


class NewsReader:
    """Counts runs with new facts by result; each look reads only what came since the one before.

    Args:
        subject: The agent.
        positions: Where the journal ended.
        known: Runs that are not new.
    """

    def __init__(self, subject: AgentProject, positions: dict[str, int], known: set[str]) -> None:
        self._subject, self._positions, self._known = subject, positions, known
        self._labels: dict[str, str] = {}

    def look(self) -> News:
        """Verify what came since the last look, record the verdicts, and return the counts of all looks."""
        burnish.flush()
        changes = self._subject.workspace.changes_since(self._positions)
        entries = [one for one in self._ended_entries(changes) if one.id not in self._known]
        if entries:
            self._verify(entries)
        self._positions = changes.positions
        counts = Counter(self._labels.values())
        return News(counts["success"], counts["fail"], counts["unknown"])

    def _ended_entries(self, changes: JournalChanges) -> list[IndexEntry]:
        """Return the ended runs among the changes, those of threads with a new outcome included."""
        from burnish_exporters.dataset.recipe import as_recipe

        workspace, name = self._subject.workspace, self._subject.name
        found = {entry.id: entry for entry in changes.entries}
        for thread in changes.threads:
            of_thread = workspace.entries(Query(agent=name, thread_id=thread))
            found.update((entry.id, entry) for entry in of_thread)
        sources = as_recipe(self._subject.config.dataset).sources
        return [
            entry
            for entry in found.values()
            if entry.agent == name and entry.source in sources and entry.status in _ENDED
        ]

    def _verify(self, entries: list[IndexEntry]) -> None:
        from burnish_exporters.verify import PoolSettings, combine, judge_all
        from burnish_exporters.verify.verdicts import earlier

        workspace, verifiers = self._subject.workspace, self._subject.verifiers
        trusted = tuple(self._subject.config.trust_received)
        kinds = [traits_of(verifier).kind for verifier in verifiers]
        pool = PoolSettings(trust_received=trusted)
        for run, verdicts in judge_all(verifiers, workspace.read(entries), pool):
            for verifier, verdict in zip(verifiers, verdicts, strict=True):
                if earlier(verifier, run, trusted) is None:
                    workspace.append_verdict(run.id, verdict)
            self._labels[run.id] = combine(verdicts, kinds).label


def _runs_of(home: Path, dataset: str | None) -> set[str]:
    """Return the runs whose rows a dataset version holds."""
    if dataset is None:
        return set()
    rows = (home / "datasets" / dataset / "rows").glob("*.parquet")
    found = [read_columns(path, ["trajectory_id"]) or [] for path in rows]
    return {row["trajectory_id"] for some in found for row in some}
