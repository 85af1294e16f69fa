"""Record a running agent as events in the journal.

The path of one step: `wrapping` and `tracing` open a trajectory through `invocation`;
`callback_handler` receives the callbacks; `nodes`, `models` and `tools` convert each to an event;
`content` names its contents by hash; `sink` writes it to the journal. `trajectories/` assembles the
events.
"""
