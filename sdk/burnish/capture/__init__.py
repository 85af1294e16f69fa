"""A running agent becomes events in the journal.

Knows: callbacks of LangChain and LangGraph, scopes that the user opens, the message codec.
Does not know: how frames are stored (journal/), what they mean together (trajectories/).

The way of one step: `wrapping` and `tracing` open a trajectory through `entry`; `handler` hears the
callbacks; `nodes`, `models` and `tools` turn each into an event; `content` names what it says by hash; `sink` hands it to
the journal.
"""
