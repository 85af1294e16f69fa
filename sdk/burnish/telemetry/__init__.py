"""Frames become OpenTelemetry spans, and are shipped.

Knows: the GenAI semantic conventions and OTLP, both ways.
Does not know: how events arise (capture/), what a trajectory is made of (trajectories/).
"""
