"""Parquet is read without Arrow's threads, which could abort a process that ends soon after a read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from burnish.files.parquet_files import read_parquet, read_parquet_batches

_THREADS = """
import os, sys
from burnish.files.parquet_files import read_parquet, read_parquet_batches
import pyarrow.parquet
count = lambda: len(os.listdir("/proc/self/task"))
before = count()
read_parquet(sys.argv[1])
list(read_parquet_batches(sys.argv[1], 100))
print(count() - before)
if sys.argv[2:]:
    pyarrow.parquet.read_table(sys.argv[1])
    print(count() - before)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    table = pa.table({"number": list(range(1000)), "text": ["x" * 100] * 1000})
    parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=300)
    return tmp_path / "rows.parquet"


def test_a_read_returns_the_columns_that_were_asked_for(file):
    assert read_parquet(file).equals(parquet.read_table(file))
    assert read_parquet(pa.BufferReader(file.read_bytes()), ["number"]).column_names == ["number"]
    batches = list(read_parquet_batches(file, 300))
    assert [batch.num_rows for batch in batches] == [300, 300, 300, 100]
    assert pa.Table.from_batches(batches).equals(parquet.read_table(file))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_a_read_starts_no_thread(file):
    command = [sys.executable, "-c", _THREADS, str(file), "also Arrow's own read"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ours, arrows = map(int, done.stdout.split())
    assert ours == 0
    assert arrows > 0  # so the count would notice one
