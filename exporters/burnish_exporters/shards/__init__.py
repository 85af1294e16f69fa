"""Build the per-run half of a dataset in shards that survive a kill and can be built in parallel.

The order of the work: the settings that a shard depends on (plan.py), building one (builder.py), what it holds
(shard.py), the cache of finished ones (cache.py), which runs make which shard (job.py), and the processes that build
them (worker_pool.py, worker.py). `build_shards` is the entry.
"""

from __future__ import annotations

from burnish_exporters.shards.cache import ShardCache
from burnish_exporters.shards.job import ShardJob
from burnish_exporters.shards.plan import Decoder, Plan
from burnish_exporters.shards.shard import Shard
from burnish_exporters.shards.worker_pool import build_shards

__all__ = ["Decoder", "Plan", "Shard", "ShardCache", "ShardJob", "build_shards"]
