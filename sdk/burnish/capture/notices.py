"""Notice likely mistakes that are not errors: log each once, count it, show it in `burnish doctor`.

`notice_undeclared_agent` and `notice_first_outcome` detect them. Neither raises nor prevents
recording, because each may be intended: an agent without a table in burnish.toml is recorded too.
"""

from __future__ import annotations

from burnish import settings
from burnish.capture import faults
from burnish.config import config_file
from burnish.errors import BurnishError

NOTICE = "notice "
"""Prefix of the kind of each notice, which distinguishes it from faults."""
_checked: set[str] = set()


def notice(kind: str, message: str) -> None:
    """Count a likely mistake, and log the first of its kind."""
    faults.say_once(f"{NOTICE}{kind}", f"{message} (burnish doctor counts it)")


def notice_undeclared_agent(agent: str, place: str) -> None:
    """Notice an agent that is missing in a burnish.toml with other agents; once for each name.

    Args:
        agent: The name.
        place: Function that received it.
    """
    if f"agent {agent}" in _checked:
        return
    _checked.add(f"agent {agent}")
    try:
        path = settings.current().config or config_file.find_config()
        if path is None:
            return
        path = path / config_file.NAME if path.is_dir() else path
        declared = config_file.read_tables(path).get("agent")
    except (BurnishError, OSError):  # the command that needs the file reports its problem
        return
    if isinstance(declared, dict) and declared and agent not in declared:
        known = ", ".join(sorted(map(str, declared)))
        notice(
            f"agent not in burnish.toml: {agent}",
            f"{place} got the agent {agent!r}, and {path} declares {known}",
        )


def notice_first_outcome() -> None:
    """Notice an outcome in a workspace without any recorded run; checked once in each process."""
    if "outcome" in _checked:
        return
    _checked.add("outcome")
    home = settings.current().home
    try:
        empty = not any((home / "journal").glob("*/*.seg"))
    except OSError:
        return
    if empty:
        notice(
            "outcome in an empty workspace",
            f"outcome() reports to {home.absolute()}, where no run was recorded yet: set home or "
            "BURNISH_HOME to that of the agent, if it is another",
        )


def forget_notices() -> None:
    """Reset all notices; for tests."""
    _checked.clear()
