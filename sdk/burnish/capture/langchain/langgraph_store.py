"""Record reads and writes of a LangGraph store inside a recorded run.

`listen` replaces the entry points of store classes, because a store has no callbacks. Each
replacement checks whether it is called from a recorded run; if not, it calls the original. `tools`
records the accesses, in the conventions' form of a memory record.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Self

from burnish.capture.faults import guarded
from burnish.capture.langchain.tools import end_tool, fail_tool, start_tool
from burnish.capture.recorder import context
from burnish.capture.recorder.ids import new_key
from burnish.capture.recorder.runs import Run, registry
from burnish.records import Json

_OPERATIONS = {
    "get": "search_memory",
    "search": "search_memory",
    "put": "upsert_memory",
    "delete": "delete_memory",
}
_MARK = "__burnish_memory__"
_inside: ContextVar[bool] = ContextVar("burnish_memory", default=False)
_kinds = 0  # direct subclasses of BaseStore that were seen


@guarded
def listen() -> None:
    """Observe all store classes of this process, including those imported since the last call."""
    global _kinds
    module = sys.modules.get("langgraph.store.base")
    kinds = 0 if module is None else len(module.BaseStore.__subclasses__())
    if module is None or kinds == _kinds:
        return
    _kinds = kinds
    for kind in _with_subclasses(module.BaseStore):
        for name, operation in _OPERATIONS.items():
            for method, recorded in ((name, _record_sync), (f"a{name}", _record_async)):
                original = kind.__dict__.get(method)
                if original is not None and not hasattr(original, _MARK):
                    setattr(kind, method, recorded(original, name, operation))


def _with_subclasses(kind: type) -> Iterable[type]:
    yield kind
    for below in kind.__subclasses__():
        yield from _with_subclasses(below)


def _record_sync(original: Callable[..., Any], name: str, operation: str) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def entry(*args: Any, **kwargs: Any) -> Any:
        run = _start_access(signature, name, operation, args, kwargs)
        if run is None:
            return original(*args, **kwargs)
        with _Access(run) as access:
            access.result = original(*args, **kwargs)
        return access.result

    setattr(entry, _MARK, True)
    return entry


def _record_async(original: Callable[..., Any], name: str, operation: str) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    async def entry(*args: Any, **kwargs: Any) -> Any:
        run = _start_access(signature, name, operation, args, kwargs)
        if run is None:
            return await original(*args, **kwargs)
        with _Access(run) as access:
            access.result = await original(*args, **kwargs)
        return access.result

    setattr(entry, _MARK, True)
    return entry


class _Access:
    """One recorded access; accesses that it makes itself are part of it."""

    def __init__(self, run: Run) -> None:
        self.result: Any = None
        self._run = run

    def __enter__(self) -> Self:
        self._token = _inside.set(True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        _inside.reset(self._token)
        if error is None:
            _end_access(self._run, self.result)
        else:
            _fail_access(self._run, error)


@guarded
def _start_access(
    signature: inspect.Signature,
    name: str,
    operation: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Run | None:
    """Start the run of this access.

    Return None if it is not in a recorded run, or inside another access.
    """
    if not registry.active or _inside.get() or context.suppressed.get():
        return None
    parent = context.current_run()
    if parent is None or parent.trajectory.ended:
        return None
    given = signature.bind(*args, **kwargs).arguments
    _, *named = given.items()
    inputs = {
        "namespace" if key.startswith("namespace") else key: value
        for key, value in named
        if key in _KEPT and value is not None
    }
    key = new_key()
    start_tool(parent, key, f"store.{name}", inputs, operation=operation)
    return registry.runs.get(key)


_KEPT = ("namespace", "namespace_prefix", "key", "value", "query", "filter", "limit", "offset")


@guarded
def _end_access(run: Run, result: Any) -> None:
    if result is not None:
        result = [
            _memory_record(item) for item in (result if isinstance(result, list) else [result])
        ]
    end_tool(run, result)


@guarded
def _fail_access(run: Run, error: BaseException) -> None:
    fail_tool(run, error)


def _memory_record(item: Any) -> Json:
    """Convert an item to a memory record of the conventions."""
    record: dict[str, Json] = {
        "id": item.key,
        "content": item.value,
        "metadata": {
            "namespace": list(item.namespace),
            "created_at": item.created_at,
            "updated_at": item.updated_at,
        },
    }
    score = getattr(item, "score", None)
    if score is not None:
        record["score"] = float(score)
    return record
