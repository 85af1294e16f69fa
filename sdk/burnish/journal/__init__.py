"""Events become durable frames, and come back.

Knows: the way in (`writer`), the way out (`reader`), the index over both (`index`).
Does not know: what the events mean together (trajectories/), nor who else wants them (telemetry/).
"""
