"""Hold keys and values of all running requests: one buffer per layer, one row per request."""

# How it works: every row starts at column 0 and has its own length, without padding on the left, so
# rows of any age share a forward. A finished row is overwritten by the last one, so the running rows
# are always the first ones. Buffers have the layout `B x T x H x D`, so that a step writes whole lines;
# attention reads `B x H x T x D`. Axes: `B` rows, `H` heads, `T` tokens, `D` head size.

from __future__ import annotations

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

_STEP = 64  # columns by which the buffers grow


class PoolState:
    """State that all layers of a pool share during one forward."""

    def __init__(self) -> None:
        self.rows = 0  # capacity in rows
        self.columns = 0  # capacity in tokens
        self.start = 0  # first row of a prefill
        self.at: torch.Tensor | None = None  # the length of each row in a decode
        self.width = 0  # columns that a decode reads
        self.places: torch.Tensor | None = None  # rows of a decode; None means the first ones


class PoolLayer(CacheLayerMixin):
    """Keys and values of one layer."""

    def __init__(self, state: PoolState) -> None:
        super().__init__()
        self.state = state

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Create empty buffers once the shapes are known."""
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
        """Store keys and values of a prefill or step; return those that attention reads."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.grow_to_fit()
        keys, values = self._require_buffers()
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

    def grow_to_fit(self) -> None:
        """Grow the buffers to the pool's capacity and keep their contents."""
        keys, values = self._require_buffers()
        if keys.shape[0] >= self.state.rows and keys.shape[1] >= self.state.columns:
            return
        self.keys, self.values = self._enlarge(keys), self._enlarge(values)

    def move_row(self, source: int, target: int, length: int) -> None:
        """Copy a row's first tokens over another row."""
        for buffer in self._require_buffers():
            buffer[target, :length] = buffer[source, :length]

    def clear_row(self, row: int) -> None:
        """Zero a row, so that non-finite numbers never reach a later request."""
        for buffer in self._require_buffers():
            buffer[row] = 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the query length: a prefill sees only itself, a decode has its own mask."""
        return query_length, 0

    def get_seq_length(self) -> int:
        """Return 0: every prefill starts at position 0, a decode has its own positions."""
        return 0

    def get_max_length(self) -> int:
        """Return -1: the layer has no limit."""
        return -1

    def _require_buffers(self) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.keys is not None and self.values is not None  # noqa: S101, PT018 - for types
        return self.keys, self.values

    def _enlarge(self, old: torch.Tensor) -> torch.Tensor:
        rows, columns = max(self.state.rows, old.shape[0]), max(self.state.columns, old.shape[1])
        # Zeros, because attention multiplies hidden values by zero, and they must be finite.
        new = old.new_zeros((rows, columns, *old.shape[2:]))
        new[: old.shape[0], : old.shape[1]] = old
        return new


class Pool(Cache):
    """Keys and values of all running requests."""

    def __init__(self, layers: int) -> None:
        self.state = PoolState()
        super().__init__(layers=[PoolLayer(self.state) for _ in range(layers)])

    def reserve_rows(self, rows: int, columns: int) -> None:
        """Reserve capacity for rows and columns from the next forward on."""
        state = self.state
        if rows > state.rows:
            state.rows = max(rows, min(2 * state.rows, rows + 32))
        if columns > state.columns:
            state.columns = -(-columns // _STEP) * _STEP

    def begin_prefill(self, start: int) -> None:
        """Prepare a forward with whole prompts for the rows from `start` on."""
        self.state.start, self.state.at = start, None

    def begin_decode(
        self, lengths: torch.Tensor, width: int, places: torch.Tensor | None = None
    ) -> None:
        """Prepare a forward with one token per row, stored at `lengths`.

        Args:
            lengths: Tokens that each row holds.
            width: Columns that the forward reads.
            places: Rows of the pool in the forward; by default the first ones.
        """
        self.state.at, self.state.width, self.state.places = lengths, width, places

    def make_mask(self, dtype: torch.dtype, window: int | None = None) -> torch.Tensor:
        """Make the additive mask of a decode, `B x 1 x 1 x T`.

        Args:
            dtype: Type of the mask.
            window: Tokens that a row sees, including its own; by default all.
        """
        lengths, width = self.state.at, self.state.width
        assert lengths is not None  # noqa: S101 - a decode was begun
        columns = torch.arange(width, device=lengths.device)
        hidden = columns[None, :] > lengths[:, None]
        if window is not None:
            hidden |= columns[None, :] <= lengths[:, None] - window
        mask = torch.zeros((lengths.shape[0], width), device=lengths.device, dtype=dtype)
        return mask.masked_fill_(hidden, float("-inf"))[:, None, None, :]

    def move_row(self, source: int, target: int, length: int) -> None:
        """Copy a row over another, in all layers."""
        for layer in self.layers:
            if isinstance(layer, PoolLayer):
                layer.move_row(source, target, length)

    def clear_row(self, row: int) -> None:
        """Zero a row in all layers."""
        for layer in self.layers:
            if isinstance(layer, PoolLayer):
                layer.clear_row(row)
