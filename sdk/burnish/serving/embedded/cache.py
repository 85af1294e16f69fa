"""The key/value pool: one buffer per layer, one row per running request, no padding on the left.

Knows: where a row's keys and values lie, and how rows come, grow and go.
Does not know: requests, sampling, slots.

Every row starts at column 0 and has its own length, so rows of any age share a forward; a row that
ends is overwritten by the last one, so the running rows are always the first ones.
Buffers lie as `B x T x H x D`, so that a step's tokens are written as whole lines; attention sees
them as `B x H x T x D`. Axes: `B` rows, `H` heads, `T` tokens, `D` head size.
"""

from __future__ import annotations

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

_STEP = 64  # columns by which the buffers grow


class PoolState:
    """What all layers of a pool share during one forward."""

    def __init__(self) -> None:
        self.rows = 0  # capacity in rows
        self.columns = 0  # capacity in tokens
        self.start = 0  # first row of a prefill
        self.at: torch.Tensor | None = None  # the length of each row in a decode
        self.width = 0  # columns that a decode looks at
        self.places: torch.Tensor | None = None  # rows of a decode; none means the first ones


class PoolLayer(CacheLayerMixin):
    """Keys and values of one layer."""

    def __init__(self, state: PoolState) -> None:
        super().__init__()
        self.state = state

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Make empty buffers once the shapes are known."""
        self.keys = key_states.new_empty((0, 0, *key_states.shape[1::2]))
        self.values = value_states.new_empty((0, 0, *value_states.shape[1::2]))
        self.is_initialized = True

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *args: object,
        **kwargs: object,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store a prefill's or a step's keys and values; returns what attention looks at."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.fit()
        keys, values = self._buffers()
        state = self.state
        if state.at is None:
            end, length = state.start + key_states.shape[0], key_states.shape[2]
            keys[state.start : end, :length] = key_states.transpose(1, 2)
            values[state.start : end, :length] = value_states.transpose(1, 2)
            return key_states, value_states
        count, columns = state.at.shape[0], keys.shape[1]
        rows = torch.arange(count, device=keys.device) if state.places is None else state.places
        lines = rows * columns + state.at
        keys.flatten(0, 1).index_copy_(0, lines, key_states[:, :, 0])
        values.flatten(0, 1).index_copy_(0, lines, value_states[:, :, 0])
        seen = slice(0, count) if state.places is None else state.places
        return (
            keys[seen, : state.width].transpose(1, 2),
            values[seen, : state.width].transpose(1, 2),
        )

    def fit(self) -> None:
        """Grow the buffers to the pool's capacity; what is stored stays."""
        keys, values = self._buffers()
        if keys.shape[0] >= self.state.rows and keys.shape[1] >= self.state.columns:
            return
        self.keys, self.values = self._grown(keys), self._grown(values)

    def move(self, source: int, target: int, length: int) -> None:
        """Put a row's first tokens where another row was."""
        for buffer in self._buffers():
            buffer[target, :length] = buffer[source, :length]

    def clear(self, row: int) -> None:
        """Zero a row, so that numbers that are not finite never reach a later one."""
        for buffer in self._buffers():
            buffer[row] = 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """A prefill sees itself only; a decode brings its own mask."""
        return query_length, 0

    def get_seq_length(self) -> int:
        """Every prefill starts at position 0; a decode brings its own positions."""
        return 0

    def get_max_length(self) -> int:
        """No limit of its own."""
        return -1

    def _buffers(self) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.keys is not None and self.values is not None  # noqa: S101, PT018 - for types
        return self.keys, self.values

    def _grown(self, old: torch.Tensor) -> torch.Tensor:
        rows, columns = max(self.state.rows, old.shape[0]), max(self.state.columns, old.shape[1])
        # Zeros, for attention multiplies what the mask hides by zero: it must be finite.
        new = old.new_zeros((rows, columns, *old.shape[2:]))
        new[: old.shape[0], : old.shape[1]] = old
        return new


class Pool(Cache):
    """The keys and values of all running requests."""

    def __init__(self, layers: int) -> None:
        self.state = PoolState()
        super().__init__(layers=[PoolLayer(self.state) for _ in range(layers)])

    def reserve(self, rows: int, columns: int) -> None:
        """Have room for so many rows of so many tokens from the next forward on."""
        state = self.state
        if rows > state.rows:
            state.rows = max(rows, min(2 * state.rows, rows + 32))
        if columns > state.columns:
            state.columns = -(-columns // _STEP) * _STEP

    def prefill(self, start: int) -> None:
        """The next forward brings whole prompts for the rows from `start` on."""
        self.state.start, self.state.at = start, None

    def decode(self, lengths: torch.Tensor, width: int, places: torch.Tensor | None = None) -> None:
        """The next forward brings one token per row, to be stored at `lengths`.

        Args:
            lengths: Tokens that each row holds.
            width: Columns that the forward looks at.
            places: Rows of the pool that the forward is about; by default the first ones.
        """
        self.state.at, self.state.width, self.state.places = lengths, width, places

    def mask(self, dtype: torch.dtype, window: int | None = None) -> torch.Tensor:
        """The mask of a decode, to be added, `B x 1 x 1 x T`.

        Args:
            dtype: Type of the mask.
            window: Tokens that a row sees, its own included; by default all of them.
        """
        lengths, width = self.state.at, self.state.width
        assert lengths is not None  # noqa: S101 - a decode was begun
        columns = torch.arange(width, device=lengths.device)
        hidden = columns[None, :] > lengths[:, None]
        if window is not None:
            hidden |= columns[None, :] <= lengths[:, None] - window
        mask = torch.zeros((lengths.shape[0], width), device=lengths.device, dtype=dtype)
        return mask.masked_fill_(hidden, float("-inf"))[:, None, None, :]

    def move(self, source: int, target: int, length: int) -> None:
        """Put a row where another was, in all layers."""
        for layer in self.layers:
            if isinstance(layer, PoolLayer):
                layer.move(source, target, length)

    def clear(self, row: int) -> None:
        """Zero a row in all layers."""
        for layer in self.layers:
            if isinstance(layer, PoolLayer):
                layer.clear(row)
