"""Store events as durable frames and read them back.

`writer` appends events, `reader` reads them, and `index` locates the events of a trajectory.
"""
