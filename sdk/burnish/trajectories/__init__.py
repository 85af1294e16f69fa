"""Assemble spans of the journal, of OTLP or of other tools to trajectories.

assembly.py           spans of one attempt to a trajectory
bounded_assembly.py   the same for more spans than fit into memory
calls.py              one span to a model call or tool run
facts.py              outcomes, verdicts and states of a trajectory
identity.py           hashes of tasks, prompts and tools
normal_form.py        normal forms of texts
run_reader.py         the runs of a workspace
"""

from burnish.trajectories.assembly import assemble
from burnish.trajectories.bounded_assembly import assemble_many

__all__ = ["assemble", "assemble_many"]
