"""Agent-written code: classes of failures, places of code, and wrong settings."""

import json

import pytest
from golden.table import run_with

from burnish.errors import ImportPathError, VerificationError
from burnish_exporters.verify import PoolSettings, code, judge_all, make_verifiers, passes_tests

SUM = {"*": [{"stdin": "2 3", "stdout": "5"}]}
SQUARE = {"*": "from solution import square\ndef test_two(): assert square(2) == 4\n"}


def evidence(verifier, text):
    return verifier.verify(run_with(answer=text)).evidence


@pytest.mark.parametrize(
    ("text", "kind", "stage"),
    [
        ("print(", "exception", "compile"),
        ("if True:\nprint(5)", "exception", "compile"),
        ("print(1 / 0)", "exception", "run"),
        ("print(6)", "wrong output", "test"),
        ("print('SyntaxError: no')", "wrong output", "test"),
    ],
)
def test_compiler_test_and_exception_are_told_apart(text, kind, stage):
    found = evidence(code(SUM), text)

    assert (found["class"], found["stage"]) == (kind, stage)


@pytest.mark.parametrize(
    ("text", "kind", "stage"),
    [
        ("def square(n) return 4", "exception", "compile"),
        ("def square(n): return n / 0", "exception", "run"),
        ("def square(n): return 5", "wrong output", "test"),
    ],
)
def test_compiler_test_and_exception_are_told_apart_by_tests_too(text, kind, stage):
    found = evidence(passes_tests(SQUARE), text)

    assert (found["class"], found["stage"]) == (kind, stage)
    assert found["passed"] == 0


def test_a_failing_test_is_named_with_what_it_said():
    tests = {
        "*": "from solution import f\ndef test_a(): f(1)\ndef test_b(): assert f(2) == 2, 'off by one'\n"
    }

    found = evidence(passes_tests(tests), "def f(n): return n + 1")

    assert (found["detail"], found["passed"], found["tests"]) == (
        "test_b: AssertionError: off by one",
        1,
        2,
    )


def test_a_list_that_the_code_changes_is_changed_for_the_tests():
    tests = "from solution import sort\ndef test_it():\n    items = [3, 1, 2]\n    sort(items, key=lambda n: -n)\n    assert items == [3, 2, 1]\n"

    verdict = passes_tests({"*": tests}).verify(
        run_with(answer="def sort(items, key): items.sort(key=key)")
    )

    assert verdict.label == "success"


def test_objects_of_the_code_are_used_from_afar():
    text = (
        "import enum\nclass Light(enum.Enum):\n    RED = 1\n"
        "class Box(dict):\n    pass\n"
        "class Vector:\n"
        "    def __init__(self, *n): self.n = list(n)\n"
        "    def __add__(self, other): return Vector(*[a + b for a, b in zip(self.n, other.n)])\n"
        "    def __mul__(self, k): return Vector(*[a * k for a in self.n])\n"
        "    def __eq__(self, other): return self.n == other.n\n"
        "    def __lt__(self, other): return self.n < other.n\n"
        "    def __getitem__(self, i): return self.n[i]\n"
        "    def __iter__(self): return iter(self.n)\n"
        "    def __enter__(self): return self\n"
        "    def __exit__(self, *why): self.n.clear()\n"
        "def count():\n    yield 1\n    yield 2\n"
    )
    tests = (
        "import solution\nfrom solution import *\n"
        "def test_it():\n"
        "    v = Vector(1, 2)\n"
        "    assert v + Vector(1, 1) == Vector(2, 3) and v * 2 == Vector(2, 4) and v < Vector(2, 0)\n"
        "    assert v[1] == 2 and list(v) == [1, 2] and isinstance(v, Vector) and not isinstance(3, Vector)\n"
        "    v.n.append(3)\n"
        "    assert v.n == [1, 2], 'a list crosses by copy'\n"
        "    with v: pass\n"
        "    assert v.n == []\n"
        "    assert Light.RED is solution.Light.RED and Light(1) is Light.RED and Light.RED.value == 1\n"
        "    assert Box(a=1) == {'a': 1} and sum(count()) == 3\n"
        "    assert abs(2 ** 70 - 1) == 2 ** 70 - 1 and v != [] and not v == []\n"
    )

    verdict = passes_tests({"*": tests}).verify(run_with(answer=text))

    assert (verdict.label, verdict.evidence) == ("success", {"class": "pass", "tests": 1})


def test_code_of_several_files_comes_from_the_final_state(module):
    files = {
        "shop/__init__.py": "from shop.prices import price",
        "shop/prices.py": "def price(n): return 3 * n",
    }
    tests = {
        "*": "import shop\nfrom shop.prices import price\ndef test_it(): assert shop.price(2) == price(2) == 6\n"
    }
    name = module("def files(run): return run.final_state['files']")
    run = run_with(final_state={"files": files})

    for place in ("state:files", f"{name}:files"):
        assert passes_tests(tests, program=place).verify(run).label == "success"


def test_cases_and_tests_come_from_files(tmp_path):
    (tmp_path / "cases.json").write_text(json.dumps({"task-1": [{"stdout": "5"}]}))
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "task-1.py").write_text(SQUARE["*"])
    declared = [
        {"code": {"cases": "cases.json", "limits": {"wall_s": 20}}},
        {"tests": {"tests": "checks"}},
    ]

    programs, tests = make_verifiers(declared, tmp_path)

    assert programs.verify(run_with(answer="print(5)")).label == "success"
    assert programs.limits.wall_s == 20
    assert tests.verify(run_with(answer="def square(n): return n * n")).label == "success"
    assert tests.verify(run_with(answer="print(5)", task_id="task-2")).label == "unknown"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: code({"*": [{"stdin": "2"}]}), "cases: .*stdout"),
        (lambda: code("no_such.json"), "cases"),
        (lambda: code(SUM, limits={"wall": 1}), r"limits: \['wall'\]"),
        (lambda: code(SUM, limits={"wall_s": "long"}), "limits"),
        (lambda: passes_tests({}), "no tests"),
        (lambda: passes_tests("no_such_folder"), "no_such_folder"),
        (lambda: code(SUM, program="answers").prepare(), "program 'answers'"),
    ],
)
def test_wrong_settings_are_one_clear_error(wrong, message):
    with pytest.raises(VerificationError, match=message):
        wrong()


def test_a_function_that_is_not_there_is_an_error_before_anything_runs():
    verifier = code(SUM, program="no_such_module:files")

    with pytest.raises(ImportPathError, match="no_such_module"):
        list(judge_all([verifier], [run_with()], PoolSettings(in_process=True)))


def test_another_case_is_another_version():
    versions = {
        code(SUM).version,
        code({**SUM, "x": []}).version,
        code(SUM, limits={"wall_s": 1}).version,
    }

    assert len(versions) == 3
