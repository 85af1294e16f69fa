"""Set the settings of this process from code: `burnish.configure`."""

from __future__ import annotations

from typing import Any

from burnish import settings
from burnish.settings import Settings


def configure(**given: Any) -> Settings:
    """Set process-wide settings; other settings keep their values.

    Each is also `BURNISH_<NAME>` in the environment and a key of `[burnish]` in burnish.toml:
    `home`, `otlp_endpoint`, `exporters`, `redact`, `capture`, `content`, `sample`, `fsync` and the
    rest of `burnish.settings.Settings`.

    Raises:
        SettingsError: If a name is unknown or a value is out of range.
    """
    chosen = settings.configure(**given)
    if given.get("capture") == "all":  # this process may never call wrap
        from burnish.capture.langchain.invocation import listen

        listen()
    return chosen
