"""Read which models wrote the replies of a row, for the data card: licences and style are theirs."""

from __future__ import annotations

import msgspec


class _NamedCall(msgspec.Struct):
    model: str | None = None
    adapter: str | None = None


_CALLS = msgspec.json.Decoder(list[_NamedCall])


def read_reply_models(calls: str) -> set[str]:
    """Return the models that answered in a row; an adapter stands for itself.

    Args:
        calls: The column `calls` of a row, as JSON.
    """
    found = (call.adapter or call.model for call in _CALLS.decode(calls))
    return {name for name in found if name}
