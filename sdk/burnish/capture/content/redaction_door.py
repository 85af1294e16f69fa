"""What is replaced before bytes reach the disk.

Knows: which detectors the setting `redact` stands for. Does not know: messages and events; what
else is decided by a replaced text (models.py).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from burnish import settings
from burnish.capture.content.redaction_guard import Guarded, OwnFunction


def door(home: Path | None = None) -> Guarded | None:
    """The door that the settings ask for; None where all is kept.

    Args:
        home: Folder of the workspace whose key the stand-ins are made with; that of the settings if None.
    """
    now = settings.current()
    if now.redact == "none":
        return None
    return _door(now.redact, (home or now.home).absolute())


def stand_ins(name: str, home: Path) -> list[str]:
    """What the keys of a workspace write for a name, whatever `redact` is today; none is made here."""
    from burnish.redaction import SECRETS, STRUCTURED, Redactor, known_keys

    found = (
        Redactor(key, detectors).clean(name)
        for key in known_keys(home)
        for detectors in (SECRETS, SECRETS + STRUCTURED)
    )
    return sorted(set(found) - {name})


def own_stand_ins(name: str) -> list[str]:
    """What a function of one's own, where `redact` is one, writes for a name; maybe for others too."""
    chosen = settings.current().redact
    written = Guarded(OwnFunction(chosen)).text(name) if callable(chosen) else None
    return [] if written in (None, name) else [written]


@functools.lru_cache(maxsize=8)
def _door(setting: str | Callable[[str], str], home: Path) -> Guarded:
    if callable(setting):
        return Guarded(OwnFunction(setting))
    from burnish.redaction import SECRETS, STRUCTURED, Redactor, workspace_key

    detectors = SECRETS if setting == "secrets" else SECRETS + STRUCTURED
    return Guarded(Redactor(workspace_key(home), detectors))
