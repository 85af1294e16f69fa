"""Choose the redactor of content before it is written to disk, as the setting `redact` says.

`door` returns the redactor in force; `redaction_guard` withholds content if redaction fails.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from burnish import settings
from burnish.capture.content.redaction_guard import Guarded, OwnFunction


def door(home: Path | None = None) -> Guarded | None:
    """Return the redactor of the settings; None if everything is kept.

    Args:
        home: Folder of the workspace whose key makes the pseudonyms; that of the settings if None.
    """
    now = settings.current()
    if now.redact == "none":
        return None
    return _door(now.redact, (home or now.home).absolute())


def stand_ins(name: str, home: Path) -> list[str]:
    """Return the pseudonyms of a name under the keys of a workspace, whatever `redact` is now.

    No key is created.
    """
    from burnish.redaction import SECRETS, STRUCTURED, Redactor, known_keys

    found = (
        Redactor(key, detectors).clean(name)
        for key in known_keys(home)
        for detectors in (SECRETS, SECRETS + STRUCTURED)
    )
    return sorted(set(found) - {name})


def own_stand_ins(name: str) -> list[str]:
    """Return the replacement of a name by a custom `redact` function; others may share it."""
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
