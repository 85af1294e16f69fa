"""Set, look up and describe the process-wide settings.

`current` returns the settings in force, `configure` changes them. Agents are configured in
project.py.

A value comes from, in this order: `configure(...)`, `BURNISH_*` in the environment,
`[burnish]` in burnish.toml, the default.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from burnish.config import config_file
from burnish.config.decoding import Fault, refuse_unknown, require_table
from burnish.errors import SettingsError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a process; each is also `BURNISH_<NAME>` and a key of `[burnish]`."""

    home: Path = Path(".burnish")
    """Folder of the workspace; by default `.burnish` beside burnish.toml, else in the current folder."""
    config: Path | None = None
    """Path of burnish.toml; by default the nearest one from the current folder upwards."""
    otlp_endpoint: str | None = None
    """Base URL of an OTLP/HTTP collector; without it spans stay in the journal."""
    exporters: tuple[Any, ...] = ()
    """OpenTelemetry SpanExporter objects that receive every span (only by configure())."""
    redact: Literal["none", "secrets", "structured"] | Callable[[str], str] = "none"
    """Content that is replaced before it is written to disk."""
    capture: Literal["wrapped", "all", "off"] = "wrapped"
    """Whether runs without a wrapped ancestor are recorded too."""
    content: Literal["inline", "reference", "none"] = "inline"
    """Destination of the content of shipped spans; the journal keeps all content."""
    content_url: str | None = None
    """Folder or fsspec URL of content that spans refer to; written when shipping, read on demand."""
    propagate: bool = False
    """Whether HTTP calls and spans inside a tool become children of the tool's span."""
    sample: float = 1.0
    """Share of trajectories that are shipped, 0 to 1; failures are always shipped."""
    fsync: Literal["always", "interval", "never"] = "interval"
    """Moment at which the journal is forced to the disk."""
    fsync_interval_s: float = 1.0
    """Longest time that a frame waits for the disk under `interval`."""
    segment_bytes: int = 32 * 1024 * 1024
    """Size at which a segment of the journal is sealed."""
    keep_days: float = 30.0
    """Age after which shipped segments may be removed."""
    keep_bytes: int = 10 * 1024**3
    """Size of the journal above which the oldest shipped segments are removed."""
    keep_unshipped_days: float = 7.0
    """Time after which an exporter that does not move loses its claim on segments."""


_LOCK = threading.RLock()
_given: dict[str, Any] = {}
_file: dict[str, Any] | None = None  # [burnish] of burnish.toml; None before the first look-up
_current: Settings | None = None
_listeners: list[Callable[[], None]] = []


def current() -> Settings:
    """Return the settings in force."""
    global _current
    settings = _current
    if settings is None:
        with _LOCK:
            settings = _current = _resolve(_given, os.environ, _from_file(_given, os.environ))
    return settings


def configure(**given: Any) -> Settings:
    """Set process-wide settings; other settings keep their values.

    Raises:
        SettingsError: If a name is unknown or a value is out of range.
    """
    global _current, _file
    _refuse_unknown(given, "configure()")
    with _LOCK:
        merged = {**_given, **given}
        if "config" in given:
            _file = None
        _current = _resolve(merged, os.environ, _from_file(merged, os.environ))
        _given.update(given)
        settings = _current
    _tell()
    return settings


def use_file(path: Path, tables: Mapping[str, Any]) -> Settings:
    """Apply `[burnish]` of a burnish.toml that was read, below configure() and environment.

    Raises:
        SettingsError: If a key is unknown or a value is out of range.
    """
    global _current, _file
    taken = _checked_file(path, tables)
    with _LOCK:
        settings = _resolve(_given, os.environ, taken)
        changed = settings != _current
        _file, _current = taken, settings
    if changed:
        _tell()
    return settings


def describe() -> list[tuple[str, str, Any, str]]:
    """Describe every key of `[burnish]`: name, type, default and meaning."""
    import ast
    import inspect

    body = ast.parse(inspect.getsource(Settings)).body[0]
    statements = body.body if isinstance(body, ast.ClassDef) else []
    help_of = {
        key.target.id: text.value.value
        for key, text in itertools.pairwise(statements)
        if isinstance(key, ast.AnnAssign)
        and isinstance(key.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }
    return [
        (field.name, str(field.type), field.default, str(help_of.get(field.name, "")))
        for field in dataclasses.fields(Settings)
        if field.name not in _NOT_IN_FILE
    ]


def on_change(listener: Callable[[], None]) -> None:
    """Call `listener` after each change of the settings."""
    _listeners.append(listener)


def _tell() -> None:
    for listener in tuple(_listeners):
        listener()


def reset() -> None:
    """Reset everything set by configure(); for tests."""
    global _current, _file
    with _LOCK:
        _given.clear()
        _current = _file = None
    _tell()


def _from_file(given: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Read `[burnish]` of the configured burnish.toml, or of the nearest one; once."""
    global _file
    if _file is None:
        named = given.get("config") or environ.get("BURNISH_CONFIG")
        path = Path(named).expanduser() if named else config_file.find_config()
        _file = _checked_file(path, config_file.read_tables(path)) if path else {}
    return _file


def _checked_file(path: Path, tables: Mapping[str, Any]) -> dict[str, Any]:
    taken = require_table(tables.get("burnish", {}), f"{path}, [burnish]")
    _refuse_unknown(taken, f"{path}, [burnish]", _NOT_IN_FILE)
    home = Path(taken.get("home", Settings.home)).expanduser()
    return {**taken, "home": path.absolute().parent / home}


def _resolve(
    given: Mapping[str, Any], environ: Mapping[str, str], from_file: Mapping[str, Any]
) -> Settings:
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    values: dict[str, Any] = {}
    for name, field in fields.items():
        variable = f"BURNISH_{name.upper()}"
        if name in given:
            values[name] = given[name]
        elif environ.get(variable):
            values[name] = environ[variable]
        elif name in from_file:
            values[name] = from_file[name]
        else:
            continue
        values[name] = _convert(name, values[name], field.default)
    return Settings(**values)


def _convert(name: str, value: Any, default: Any) -> Any:
    """Convert a text to the type of the default; check a choice."""
    choices = _CHOICES.get(name)
    if callable(value):
        return value
    if choices and value not in choices:
        raise SettingsError(
            f"setting {name} is {value!r}",
            f"one of {', '.join(choices)}",
            f"burnish.configure({name}={choices[0]!r})",
        )
    if name in ("home", "config"):
        return Path(value).expanduser()
    if name == "exporters":
        return tuple(value)
    if isinstance(default, bool):
        return _boolean(name, value)
    if isinstance(default, (int, float)):
        return _number(name, value, default)
    return value


def _boolean(name: str, value: Any) -> bool:
    known = _BOOLEANS.get(str(value).lower())
    if known is None:
        raise SettingsError(
            f"setting {name} is {value!r}", "true or false", f"burnish.configure({name}=True)"
        )
    return known


def _number(name: str, value: Any, default: float) -> float:
    try:
        number = type(default)(value)
    except (TypeError, ValueError):
        number = -1
    if number < 0 or (name == "sample" and number > 1):
        raise SettingsError(
            f"setting {name} is {value!r}",
            "a share from 0 to 1" if name == "sample" else "a number of at least 0",
            f"burnish.configure({name}={default})",
        )
    return number


_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_CHOICES = {
    "redact": ("none", "secrets", "structured"),
    "capture": ("wrapped", "all", "off"),
    "content": ("inline", "reference", "none"),
    "fsync": ("interval", "always", "never"),
}


_NOT_IN_FILE = ("config", "exporters")


def _refuse_unknown(given: Mapping[str, Any], where: str, hidden: tuple[str, ...] = ()) -> None:
    known = [field.name for field in dataclasses.fields(Settings) if field.name not in hidden]
    refuse_unknown(given, known, where, Fault(fix="burnish doctor --keys"))
