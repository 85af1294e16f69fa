"""Define what a finished shard holds."""

from __future__ import annotations

from typing import Any

import msgspec

from burnish_exporters.curate.sample import Sample


class Shard(msgspec.Struct, kw_only=True):
    """Hold the results of some runs.

    Attributes:
        name: Changes whenever the shard could come out otherwise.
        samples: The runs that are left; their `place` is within `rows`.
        stages: The funnel of these runs.
        replaced: Count of redactions by kind, and of the rows and calls that hold them.
        kinds: Counts of runs and of verified successes, by kind of task.
        rows: The rows, encoded as in the spool.
        gone: Runs that left, each with stage and reason.
    """

    name: str
    samples: list[Sample] = []
    stages: list[dict[str, Any]] = []
    replaced: dict[str, int] = {}
    kinds: dict[str, list[int]] = {}
    rows: bytes = b""
    gone: list[tuple[str, str, str]] = []
