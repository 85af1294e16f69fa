"""Run tests in one sandbox against code in another.

It collects functions `test_*`, classes `Test*` and `unittest.TestCase`, and applies
`pytest.mark.parametrize`. What tests import of the code are proxies (rpc.py, remote_objects.py).
This file runs inside a sandbox. The settings come as JSON in `exam.json`; the report goes to
descriptor 5.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import inspect
import itertools
import json
import os
import pkgutil
import signal
import sys
import time
import types
import unicodedata
import unittest
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from burnish_exporters.verify.sandbox.remote_objects import Doubt
from burnish_exporters.verify.sandbox.rpc import Ended, Peer, Remote

_MOST_TESTS = 10_000
_OURS = (
    "__main__",
    "burnish_tests",
    "burnish_exporters",
    "sitecustomize",
    "usercustomize",
    "conftest",
)


class CodeUnderTest(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import hook that gives proxies for modules of the code under test.

    It serves only modules that the tests themselves name and whose names the interpreter does not
    have: a file name of the code influences no other import.
    """

    def __init__(self, peer: Peer, modules: Collection[str]) -> None:
        self._peer, self._modules = peer, set(modules)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a module of the code; None for other modules."""
        del path, target
        if fullname.partition(".")[0] not in self._modules:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Return the proxy of a module."""
        far = self._peer.ask("import", spec.name)
        names = self._peer.ask("dir", far)
        if not isinstance(far, Remote) or not isinstance(names, list):
            self._peer.ended = True
            raise Ended("no module")
        return _Module(spec.name, far, [str(name) for name in names])

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: the other side has already run the module."""


class _Module(types.ModuleType):
    def __init__(self, name: str, far: Any, names: Sequence[str]) -> None:
        super().__init__(name)
        self.__dict__["_far"] = far
        self.__dict__["__all__"] = [found for found in names if not found.startswith("_")]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["_far"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__") or isinstance(value, types.ModuleType):
            self.__dict__[name] = value
        else:
            setattr(self.__dict__["_far"], name, value)


class _Clock:
    """Write the report in time even if a test never ends, and say which side the tests waited for."""

    def __init__(self, report: dict[str, Any], peer: Peer, deadline: float) -> None:
        self._report, self._peer = report, peer
        signal.signal(signal.SIGALRM, self._end)
        signal.setitimer(signal.ITIMER_REAL, max(0.01, deadline - time.monotonic()))

    def _end(self, *_: object) -> None:
        self._report["stopped"] = "code" if self._peer.waiting else "tests"
        _write_report(self._report)
        os._exit(0)


def main(at_start: Collection[str]) -> None:
    """Run the tests and report.

    Args:
        at_start: Modules that Python itself has loaded.
    """
    with open("exam.json", encoding="utf-8") as file:  # noqa: PTH123
        exam = json.load(file)
    peer = Peer(3, 4, guarded=True)
    report: dict[str, Any] = {"tests": [], "problem": None, "at": "tests"}
    clock = _Clock(report, peer, exam["deadline"])
    modules: set[str] = set()
    try:
        wanted = names_in(exam["tests"])
        known = {name for name in exam["modules"] if is_of_interpreter(name, at_start)}
        known |= set(exam["installed"])
        modules = (set(exam["modules"]) & wanted) - known
        _refuse_clashes(known, wanted)
        sys.meta_path.insert(0, CodeUnderTest(peer, modules))
        tests = list(itertools.islice(_collect_tests(exam["tests"]), _MOST_TESTS + 1))
        report["cut"] = len(tests) > _MOST_TESTS
        for name, test in tests[:_MOST_TESTS]:
            report["tests"].append(_result_of_test(name, test, peer))
    except BaseException as problem:  # noqa: BLE001 - whatever importing the tests raises
        report["problem"] = peer.doubt or _show_problem(problem)
        report["at"] = "tests" if peer.doubt else _attribute_fault(problem, modules)
    del clock
    signal.setitimer(signal.ITIMER_REAL, 0)
    report["ended"] = peer.ended
    _write_report(report)


def _write_report(report: dict[str, Any]) -> None:
    with os.fdopen(5, "w") as out:
        json.dump(report, out)


def names_in(source: str) -> set[str]:
    """Return names of modules that tests import, or that a text in them names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return {name.partition(".")[0] for name in found}


def is_of_interpreter(name: str, at_start: Collection[str]) -> bool:
    """Return whether a module of that name exists without the code: in the library, installed, or ours."""
    same = {_fold_name(known.partition(".")[0]) for known in (*at_start, *sys.modules, *_OURS)}
    same |= {_fold_name(known) for known in sys.stdlib_module_names}
    same |= {_fold_name(found.name) for found in pkgutil.iter_modules()}
    if _fold_name(name) in same:
        return True
    return importlib.machinery.PathFinder.find_spec(name) is not None


def _refuse_clashes(known: Collection[str], wanted: Collection[str]) -> None:
    """Refuse tests that import a name that both the interpreter and the code have, because it is ambiguous."""
    meant = {_fold_name(name) for name in wanted}
    clash = sorted(name for name in known if _fold_name(name) in meant)
    if clash:
        raise ImportError(
            f"a file of the code has the name of a module that the tests use: {clash}"
        )


def _fold_name(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _attribute_fault(problem: BaseException, modules: Collection[str]) -> str:
    """Return the cause of unreadable tests: "tests", "code" or "limits"."""
    missing = isinstance(problem, ImportError) and (problem.name or "").partition(".")[0] in modules
    if missing or isinstance(problem, Ended):
        return "code"
    if "burnish_remote" not in getattr(problem, "__dict__", {}):
        return "tests"
    return "limits" if _is_limit(problem) else "code"


def _result_of_test(name: str, test: Callable[[], object], peer: Peer) -> dict[str, str]:
    """Return the result of one test; "undecided" where it depends on an answer that does not count."""
    if peer.ended:
        return {"name": name[:200], "kind": "exception", "detail": "the program ended"}
    peer.doubt = ""
    kind, detail = _outcome_of(test)
    if peer.doubt:
        kind, detail = "undecided", peer.doubt
    return {"name": name[:200], "kind": kind, "detail": detail}


def _outcome_of(test: Callable[[], object]) -> tuple[str, str]:
    try:
        test()
    except (unittest.SkipTest, AssertionError) as problem:
        skipped = isinstance(problem, unittest.SkipTest)
        far = not _is_ours(problem)
        return "exception" if far else "skipped" if skipped else "wrong output", _show_problem(
            problem
        )
    except Doubt as problem:
        return "undecided", str(problem)
    except BaseException as problem:  # noqa: BLE001 - sys.exit() of the code under test included
        if type(problem).__name__ in ("Skipped", "XFailed") and _is_ours(problem):  # pytest.skip()
            return "skipped", _show_problem(problem)
        if isinstance(problem, MemoryError) and _is_ours(problem):
            return "undecided", "the tests ran out of memory"
        if type(problem).__name__ == "Failed":  # pytest.raises() saw no exception
            return "wrong output", _show_problem(problem)
        return "resource limit" if _is_limit(problem) else "exception", _show_problem(problem)
    return "pass", ""


def _is_ours(problem: BaseException) -> bool:
    """Return whether an exception comes from the tests and not from the code."""
    return "burnish_remote" not in getattr(problem, "__dict__", {})


def _is_limit(problem: BaseException) -> bool:
    limits = (
        11,
        12,
        24,
        27,
        28,
    )  # limits of processes, memory, open files, file size and folder size
    threads = isinstance(problem, RuntimeError) and "start new thread" in str(problem)
    return (
        isinstance(problem, MemoryError)
        or threads
        or (isinstance(problem, OSError) and problem.errno in limits)
    )


def _collect_tests(source: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the tests in the order of the source."""
    module = types.ModuleType("burnish_tests")
    sys.modules[module.__name__] = module
    exec(compile(source, "tests.py", "exec"), module.__dict__)  # noqa: S102 - in a sandbox
    _call_first(module, ("setUpModule", "setup_module"), module)
    for name, found in list(vars(module).items()):
        marks = _marks_of(module)
        if isinstance(found, type) and issubclass(found, unittest.TestCase):
            for method in unittest.defaultTestLoader.getTestCaseNames(found):
                yield f"{name}.{method}", _of_unittest(found, method)
        elif isinstance(found, type) and name.startswith("Test"):
            for method in [m for m in _list_members(found) if m.startswith("test")]:
                written = getattr(found, method)
                given = [*marks, *_marks_of(found)]
                yield from _expand_parameters(
                    f"{name}.{method}", _bind_method(found, method), written, given
                )
        elif inspect.isfunction(found) and name.startswith("test"):
            yield from _expand_parameters(name, _wrap_function(module, found), found, marks)


def _list_members(kind: type) -> list[str]:
    """Return the names of a class's members, bases included, in the order of the source."""
    classes = [base for base in reversed(kind.__mro__) if base is not object]
    return list(dict.fromkeys(name for base in classes for name in vars(base)))


def _marks_of(written: Any) -> list[Any]:
    marks = getattr(written, "pytestmark", ())
    return list(marks) if isinstance(marks, (list, tuple)) else [marks]


def _call_first(place: Any, names: Sequence[str], *given: object) -> None:
    """Call the first existing set-up or tear-down function with the arguments that it accepts, as pytest does."""
    for name in names:
        found = getattr(place, name, None)
        if callable(found):
            _run_coroutine(found(*given[: len(inspect.signature(found).parameters)]))
            return


def _run_coroutine(result: object) -> None:
    """Run the coroutine that an `async` test returned.

    Raises:
        Doubt: If it is a generator: its tests would not run at all.
    """
    if inspect.iscoroutine(result):
        import asyncio  # imported late, because few tests need it

        asyncio.run(result)
    elif inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise Doubt("a test that yields does not run")


def _of_unittest(case: type[unittest.TestCase], method: str) -> Callable[[], object]:
    def test() -> None:
        made = case(method)
        case.setUpClass()
        made.debug()
        case.tearDownClass()

    return test


def _bind_method(kind: type, method: str) -> Callable[..., object]:
    def test(**arguments: Any) -> None:
        made = kind()
        found = getattr(made, method)
        _call_first(kind, ("setup_class",))
        _call_first(made, ("setup_method",), found)
        _run_coroutine(found(**arguments))
        _call_first(made, ("teardown_method",), found)

    return test


def _wrap_function(module: types.ModuleType, found: Callable[..., object]) -> Callable[..., object]:
    def test(**arguments: Any) -> None:
        _call_first(module, ("setup_function",), found)
        _run_coroutine(found(**arguments))
        _call_first(module, ("teardown_function",), found)

    return test


def _expand_parameters(
    name: str,
    call: Callable[..., object],
    written: Callable[..., object],
    marks: Sequence[Any],
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield a test for each combination of parameters."""
    rows: list[dict[str, Any]] = [{}]
    marks = [*marks, *_marks_of(written)]
    for mark in marks:
        if mark.name == "parametrize":
            names = mark.args[0]
            names = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
            values = [_parameter_row(value, len(names)) for value in mark.args[1]]
            rows = [
                {**row, **dict(zip(names, value, strict=True))} for row in rows for value in values
            ]
    needed = {
        p.name
        for p in inspect.signature(written).parameters.values()
        if p.default is p.empty and p.kind is not p.VAR_KEYWORD and p.name != "self"
    }
    for place, row in enumerate(rows):
        if needed - row.keys():
            raise TypeError(
                f"{name} asks for {sorted(needed - row.keys())}: fixtures are not supported"
            )
        yield f"{name}[{place}]" if row else name, _apply_marks(lambda row=row: call(**row), marks)


def _apply_marks(test: Callable[[], object], marks: Sequence[Any]) -> Callable[[], object]:
    """Return a test that follows pytest's marks of skipping and expected failure."""

    def run() -> None:
        skips = [mark for mark in marks if mark.name in ("skip", "skipif")]
        if any(mark.name == "skip" or any(mark.args) for mark in skips):
            raise unittest.SkipTest("marked")
        try:
            test()
        except Exception as problem:
            if any(mark.name == "xfail" and (not mark.args or any(mark.args)) for mark in marks):
                raise unittest.SkipTest("a failure was expected") from problem
            raise

    return run


def _parameter_row(value: Any, names: int) -> Sequence[Any]:
    if type(value).__name__ == "ParameterSet":  # pytest.param(...)
        return value.values
    return value if names > 1 else (value,)


def _show_problem(problem: BaseException) -> str:
    try:
        text = f"{type(problem).__name__}: {problem}"
    except BaseException:  # noqa: BLE001 - the exception's own text raises
        text = type(problem).__name__
    return text[:300]
