"""Did the run reach its goal? A predicate of yours looks at the trajectory and the recorded final state.

Knows: how a predicate is found and called, and what its answers mean.
Does not know: any goal; that is the predicate's.
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
    """Asks `predicate(trajectory, final_state)`; see goal_state()."""

    predicate: str
    folder: Path | None = None
    name: str = "goal_state"
    version: str = "1"
    needs_state: bool = True
    trust_received: tuple[str, ...] = ()
    traits = VerifierTraits()

    def prepare(self) -> None:
        """Import the predicate, so that a wrong path is an error and not a pile of unknowns."""
        load_function(self.predicate, self.folder)

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge one trajectory by its recorded final state."""
        if self.needs_state and trajectory.final_state is None:
            return unknown(self, "state was not recorded")
        if not may_state_decide(trajectory, self.trust_received):
            if self.needs_state:
                return unknown(self, UNTRUSTED_STATE, trajectory.state_origin)
            trajectory = remove_state(trajectory)
        predicate = load_function(self.predicate, self.folder)
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
    """Verifier that asks a predicate of yours.

    The predicate gets the trajectory and `Environment.state()` as recorded at its end. It returns a bool (numpy's
    too), a Verdict, or a pair of label (or bool) and evidence; None means unknown.

    Args:
        predicate: Import path "module:function".
        folder: Folder that the module is looked for in first; by default the current one.
        name: Name under which verdicts are stored.
        version: Version of the check; by default it follows the text of the module, so that a changed check judges
            anew.
        needs_state: Whether a run whose state was not recorded is unknown without asking.
        trust_received: With "state", final states decide that were received or imported.

    Raises:
        ImportPathError: If the path has not the form "module:function".
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
