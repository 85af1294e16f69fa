"""Golden cases of agent-written code: its output, and its tests."""

from burnish_exporters.verify import code, passes_tests
from golden.table import Case, run_with

SUMS = [{"stdin": "2 3", "stdout": "5"}, {"stdin": "-1 1", "stdout": "0\n"}]
GOOD = "a, b = map(int, input().split())\nprint(a + b)"
PROGRAMS = [
    (GOOD, "success"),
    (f"```python\n{GOOD}\n```", "success"),
    (
        f"First a wrong one:\n```py\nprint(1)\n```\nand better:\n```python\n{GOOD}\n```\nThat is it.",
        "success",
    ),
    ("```\nprint(sum(map(int, input().split())))\n```", "success"),
    ("import sys\nprint(sum(int(n) for n in sys.stdin.read().split()), end='  \\n\\n')", "success"),
    ("import fractions\nprint(sum(map(fractions.Fraction, input().split())))", "success"),
    (f"{GOOD}\nimport sys\nprint('thinking', file=sys.stderr)", "success"),
    (f"{GOOD}\nraise SystemExit", "success"),
    ("print(5)", "fail"),
    ("a, b = map(int, input().split())\nprint(a - b)", "fail"),
    ("a, b = map(int, input().split())\nprint('sum:', a + b)", "fail"),
    ("", "fail"),
    ("print(", "fail"),
    ("1 / 0", "fail"),
    (f"{GOOD}\n1 / 0", "fail"),
    (f"{GOOD}\nraise SystemExit(1)", "fail"),
    ("import no_such_module", "fail"),
    ("def f(n): return f(n + 1)\nf(0)", "fail"),
    ("It cannot be done.", "fail"),
    ("```bash\necho 5\n```", "fail"),
]
TESTS = """
import unittest
from solution import Stack, square

def test_square():
    for n, wanted in [(2, 4), (-3, 9), (0, 0)]:
        assert square(n) == wanted

class TestStack:
    def setup_method(self):
        self.stack = Stack()

    def test_last_in_first_out(self):
        self.stack.push(1)
        self.stack.push([2])
        assert self.stack.pop() == [2]
        assert len(self.stack) == 1

class TestEmpty(unittest.TestCase):
    def test_nothing_comes_out_of_nothing(self):
        with self.assertRaisesRegex(IndexError, "empty"):
            Stack().pop()
"""
WITH_PYTEST = """
import pytest
from solution import Stack, square

@pytest.mark.parametrize(("n", "wanted"), [(2, 4), pytest.param(-3, 9)])
def test_square(n, wanted):
    assert square(n) == wanted

def test_nothing_comes_out_of_nothing():
    with pytest.raises(IndexError, match="empty"):
        Stack().pop()
"""
STACK = """
class Stack:
    def __init__(self): self.items = []
    def push(self, item): self.items.append(item)
    def __len__(self): return len(self.items)
    def pop(self):
        if not self.items: raise IndexError("empty")
        return self.items.pop()
"""
SQUARE = "def square(n): return n * n\n"
SOLUTIONS = [
    (SQUARE + STACK, "success"),
    (f"```python\n{SQUARE}{STACK}```", "success"),
    ("square = lambda n: n ** 2\n" + STACK, "success"),
    ("import math\ndef square(n): return int(math.pow(n, 2))\n" + STACK, "success"),
    (SQUARE + STACK.replace("IndexError", "Empty").replace("class Stack", "class Empty(IndexError): pass\nclass Stack"), "success"),
    (SQUARE + STACK + "print('loaded')", "success"),
    (SQUARE + STACK.replace("self.items = []", "self.items = list()"), "success"),
    ("from functools import lru_cache\n@lru_cache\n" + SQUARE + STACK, "success"),
    ("def square(n): return n + n\n" + STACK, "fail"),
    ("def square(n): return str(n * n)\n" + STACK, "fail"),
    ("def square(n): return abs(n)\n" + STACK, "fail"),
    (STACK, "fail"),
    (SQUARE, "fail"),
    (SQUARE + STACK.replace("IndexError", "KeyError"), "fail"),
    (SQUARE + STACK.replace("empty", "nothing"), "fail"),
    (SQUARE + STACK.replace("pop()", "pop(0)"), "fail"),
    (SQUARE + STACK.replace("len(self.items)", "0"), "fail"),
    (SQUARE + STACK + "1 / 0", "fail"),
    (SQUARE + STACK + "def", "fail"),
    ("I would rather not.", "fail"),
]  # fmt: skip

_PROGRAM = code({"task-1": SUMS})
_STATE = code({"*": SUMS}, program="state:files")
_TESTS = passes_tests({"task-1": TESTS})
_FILES = {
    "helper.py": "def add(a, b): return a + b",
    "main.py": "from helper import add\nprint(add(*map(int, input().split())))",
}

GOLDEN = {
    "code": [
        *(Case(_PROGRAM, run_with(answer=text), label) for text, label in PROGRAMS),
        Case(_STATE, run_with(final_state={"files": _FILES}), "success"),
        Case(_STATE, run_with(final_state={"files": "print(6)"}), "fail"),
        Case(_STATE, run_with(final_state={}), "unknown"),
        Case(_PROGRAM, run_with(answer=None), "unknown"),
        Case(_PROGRAM, run_with(answer=GOOD, task_id="task-2"), "unknown"),
    ],
    "tests": [
        *(Case(_TESTS, run_with(answer=text), label) for text, label in SOLUTIONS),
        Case(passes_tests({"*": WITH_PYTEST}), run_with(answer=SQUARE + STACK), "success"),
        Case(
            passes_tests({"*": WITH_PYTEST}),
            run_with(answer="def square(n): return 4\n" + STACK),
            "fail",
        ),
        Case(
            passes_tests({"*": WITH_PYTEST}),
            run_with(answer=SQUARE + STACK.replace('raise IndexError("empty")', "return None")),
            "fail",
        ),
        Case(_TESTS, run_with(answer=SQUARE + STACK, task_id="task-2"), "unknown"),
        Case(passes_tests({"*": "def test_a(fixture): pass"}), run_with(answer=SQUARE), "unknown"),
        Case(passes_tests({"*": "x = 1"}), run_with(answer=SQUARE), "unknown"),
    ],
}
