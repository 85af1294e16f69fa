"""List private names of LangGraph."""

from __future__ import annotations

from burnish.compat.tables import LibraryTable, PrivateName

CHECKPOINTER = "__pregel_checkpointer"
"""Key of a config under which a graph passes its checkpointer to sub-graphs."""
REMOTE_STREAM = PrivateName(
    module="langgraph.pregel._remote_run_stream",
    needed_for="the end of event streams of a graph on a server",
    without_it="runs of `RemoteGraph.stream_events(version='v3')` stay open until they are collected",
)
CHECKPOINTER_KEY = PrivateName(
    module="langgraph._internal._constants",
    path="CONFIG_KEY_CHECKPOINTER",
    value=CHECKPOINTER,
    needed_for="the checkpointer of a sub-graph, to find the run that an invocation resumes",
    without_it="a resumed sub-graph begins a new trajectory",
)
TABLE = LibraryTable(
    distribution="langgraph", tried_with="1.2.0 to 1.2.22", names=(REMOTE_STREAM, CHECKPOINTER_KEY)
)
