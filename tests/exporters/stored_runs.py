"""Runs by hand in the journal of a workspace, as importing puts them there."""

import time

from burnish.capture.recorder.whole_runs import events_of


def put(workspace, run, at=None):
    """Record a finished run that started now, or at a time in nanoseconds; returns its id."""
    told = list(events_of(run, at or time.time_ns()))
    blobs = {ref: blob for _, contents in told for ref, blob in contents.items()}
    workspace.writer().append_all([event for event, _ in told], blobs)
    return run.id
