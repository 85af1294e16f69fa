"""Open the folder of one deployment: its trajectories, datasets, adapters and canary.

`Workspace` is the entry; each part of burnish stores its own files under home.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish import settings
from burnish.capture.content.redaction_door import door
from burnish.capture.content.shared_content import Content
from burnish.capture.recorder.facts import outcome_event, state_event, verdict_event
from burnish.errors import WorkspaceError
from burnish.forgetting import ForgetReport, forget
from burnish.journal.lifecycle.archiving import ArchiveReport, archive
from burnish.journal.writer import JournalWriter, writer_for
from burnish.records import Json, Outcome, Verdict
from burnish.trajectories.run_reader import RunReader

if TYPE_CHECKING:
    from burnish.adapters.store import AdapterStore
    from burnish.canary.rollout import Rollout


class Workspace(RunReader):
    """One deployment's folder, default `BURNISH_HOME`, else `.burnish/`.

    Reading never locks and never waits for a process that writes; the first write creates the folder.
    """

    @property
    def datasets(self) -> Path:
        """Folder of the dataset versions."""
        return self.home / "datasets"

    # Adapters and canary are imported where they are used: recording and reading do without them.

    @property
    def adapters(self) -> AdapterStore:
        """The adapter versions."""
        from burnish.adapters.store import AdapterStore

        return AdapterStore(self.home)

    def canary(self, agent: str) -> Rollout:
        """Return the rollout of an agent's candidate."""
        from burnish.canary.rollout import Rollout

        return Rollout(self.home, agent)

    def append_verdict(self, trajectory_id: str, verdict: Verdict) -> None:
        """Record a verdict, with texts and evidence redacted as the settings say.

        Raises:
            CaptureError: If a value has a wrong type; nothing is written then.
        """
        self.writer().append(*verdict_event(trajectory_id, verdict, self._make_content()))

    def append_outcome(
        self,
        outcome: Outcome,
        *,
        trajectory_id: str | None = None,
        thread_id: str | None = None,
    ) -> None:
        """Record an outcome of a trajectory or a thread.

        Its texts and evidence are redacted as the settings say.

        Raises:
            WorkspaceError: If neither or both are named.
            CaptureError: If a value has a wrong type; nothing is written then.
        """
        if (trajectory_id is None) == (thread_id is None):
            raise WorkspaceError(
                "an outcome names " + ("nothing" if thread_id is None else "two things"),
                "either a trajectory or a thread",
                'burnish.outcome(thread_id="t-42", success=True, source="crm")',
            )
        fact = outcome_event(
            outcome, self._make_content(), trajectory_id=trajectory_id, thread_id=thread_id
        )
        self.writer().append(*fact)

    def record_state(self, trajectory_id: str, state: Json) -> None:
        """Record the state of the environment at the end of an attempt, redacted as the settings say.

        Raises:
            CaptureError: If the trajectory's id has a wrong type; nothing is written then.
        """
        self.writer().append(*state_event(trajectory_id, state, self._make_content()))

    def lineage(self, identifier: str) -> dict[str, Any]:
        """Trace parents and children of a version, a deployed agent, a row, a trajectory or a span.

        Raises:
            WorkspaceError: If the workspace holds nothing of that name.
        """
        from burnish.lineage import trace_lineage

        return trace_lineage(self, identifier)

    def archive(self, url: str) -> ArchiveReport:
        """Move closed segments of the journal as Parquet to any fsspec URL.

        Their trajectories stay readable. Segments that an exporter still has to ship are not moved.

        Raises:
            JournalError: If the URL cannot be written.
        """
        self._store.close()
        return archive(self.home, url, settings.current())

    def forget(self, *, thread_id: str | None = None, user: str | None = None) -> ForgetReport:
        """Remove what was recorded of a thread or a user; report what was built from it.

        The search covers the given name and, if names were redacted, its pseudonym. A tombstone
        without the name remains. Content under `content_url` is removed, or its URLs are listed. Data
        shipped to a collector and rows of dataset versions remain.

        Raises:
            WorkspaceError: If neither or both are named.
            SettingsError: If `content_url` is not a usable URL; nothing is forgotten then.
        """
        return forget(self._store, thread_id=thread_id, user=user)

    def writer(self) -> JournalWriter:
        """Return this process's journal writer for this workspace."""
        return writer_for(self.home)

    def _make_content(self) -> Content:
        """Make the encoder that redacts values as the settings say."""
        return Content({}, door(self.home))
