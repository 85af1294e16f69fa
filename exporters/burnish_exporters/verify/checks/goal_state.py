"""Verifier `goal_state`: ask a user's predicate about the trajectory and its recorded final state.

`goal_state()` builds the verifier; it finds and calls the predicate and interprets its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.errors import ImportPathError
from burnish.origins import UNTRUSTED_STATE, may_state_decide, remove_state
from burnish.protocols import VerifierTraits
from burnish.records import Trajectory, Verdict
from burnish_exporters.verify.evidence.user_functions import load_function, verdict_of, version_of
from burnish_exporters.verify.verdicts import unknown


@dataclass(frozen=True, kw_only=True)
class GoalState:
    """Ask `predicate(trajectory, final_state)`; see goal_state()."""

    predicate: str
    folder: Path | None = None
    name: str = "goal_state"
    version: str = "1"
    needs_state: bool = True
    trust_received: tuple[str, ...] = ()
    traits = VerifierTraits()

    def prepare(self) -> None:
        """Import the predicate early, so that a wrong path is one error instead of many "unknown" verdicts."""
        load_function(self.predicate, self.folder, self.version)

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge one trajectory by its recorded final state."""
        if self.needs_state and trajectory.final_state is None:
            return unknown(self, "state was not recorded")
        if not may_state_decide(trajectory, self.trust_received):
            if self.needs_state:
                return unknown(self, UNTRUSTED_STATE, trajectory.state_origin)
            trajectory = remove_state(trajectory)
        predicate = load_function(self.predicate, self.folder, self.version)
        return verdict_of(self, predicate(trajectory, trajectory.final_state))


def goal_state(
    predicate: str,
    *,
    folder: Path | str | None = None,
    name: str = "goal_state",
    version: str | None = None,
    needs_state: bool = True,
    trust_received: Sequence[str] = (),
) -> GoalState:
    """Ask a predicate of yours whether the run reached its goal.

    The predicate gets the trajectory and `Environment.state()` as recorded at its end. It returns a
    bool (numpy's too), a Verdict, or a pair of label (or bool) and evidence; None means unknown.

    Args:
        predicate: Import path "module:function".
        folder: Folder in which the module is looked up first; by default the current one.
        name: Name under which verdicts are stored.
        version: Version of the check. By default it follows the text of the module, so that a
            changed check judges again.
        needs_state: Whether a run without a recorded state is unknown without a call of the
            predicate.
        trust_received: With "state", received and imported final states decide too.

    Raises:
        ImportPathError: If the path does not have the form "module:function".
    """
    module, colon, function = predicate.partition(":")
    if not (module and colon and function):
        raise ImportPathError(
            f"predicate {predicate!r}", '"module:function"', 'goal_state("checks:reached_goal")'
        )
    place = Path(folder).absolute() if folder else Path.cwd()
    return GoalState(
        predicate=predicate,
        folder=place,
        name=name,
        version=version or version_of(module, place),
        needs_state=needs_state,
        trust_received=tuple(sorted(trust_received)),
    )
