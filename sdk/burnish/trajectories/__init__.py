"""Spans become trajectories.

Knows: what belongs to one attempt, how resumed runs are joined, what was lost.
Does not know: where spans come from (journal, OTLP, another tool).
"""

from burnish.trajectories.assembly import assemble
from burnish.trajectories.spilling import assemble_many

__all__ = ["assemble", "assemble_many"]
