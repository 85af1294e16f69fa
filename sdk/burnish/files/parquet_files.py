"""Read Parquet in the calling thread.

Arrow's threads may still run when a read has returned, and abort a process that ends soon after it
(https://github.com/apache/arrow/issues/34314), such as a command. Without them nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_parquet(source: Path | Any, columns: list[str] | None = None) -> Any:
    """Read a whole file as a `pyarrow.Table`.

    Args:
        source: Path of the file, or a `pyarrow` buffer reader of its content.
        columns: Names of the columns to read; all if None. Names that the file does not have are left out.

    Raises:
        pyarrow.ArrowException: If the content is not Parquet.
        OSError: If the file cannot be read.
    """
    from pyarrow import parquet

    with parquet.ParquetFile(source, pre_buffer=False) as file:
        return file.read(columns=columns, use_threads=False)


def read_parquet_batches(path: Path, size: int) -> Iterator[Any]:
    """Yield a file as `pyarrow.RecordBatch`es of up to `size` rows, one at a time in memory.

    Raises:
        pyarrow.ArrowException: If the content is not Parquet.
        OSError: If the file cannot be read.
    """
    from pyarrow import parquet

    with parquet.ParquetFile(path, pre_buffer=False) as file:
        yield from file.iter_batches(batch_size=size, use_threads=False)
