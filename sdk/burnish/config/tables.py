"""Define the base of all tables of burnish.toml, and the ranges that their keys share."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Delay = Annotated[float, Meta(ge=0)]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all tables: immutable, each key described by its annotation."""
