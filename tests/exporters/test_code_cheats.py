"""Code that computes nothing passes no test, even with objects that equal everything; right code passes.

Tests of one kind run together, one function each: the report says which of them passed.
"""

import pytest
from golden.table import run_with

from burnish_exporters.verify import passes_tests
from burnish_exporters.verify.checks.code_tests import _read_report, examine
from burnish_exporters.verify.sandbox.box import Limits

HEAD = """
import datetime, decimal, fractions, math, operator, statistics, unittest
from solution import area, forget, told
E = 12.566
"""

# Everything that Python asks an object for, answered as a test would like it.
CHEAT = """
import sys
class Yes:
    seen = [0.0]
    def _zero(self, *others): return 0.0
    def _one(self, *others): return 1.0
    def _true(self, *others): return True
    def _self(self, *others): return self
    __sub__ = __rsub__ = __mod__ = __rmod__ = __xor__ = __rxor__ = __isub__ = _zero
    __abs__ = __neg__ = __pos__ = __round__ = _zero
    __truediv__ = __rtruediv__ = __floordiv__ = __pow__ = _one
    __contains__ = __eq__ = __bool__ = __le__ = __ge__ = __lt__ = __gt__ = _true
    __ne__ = lambda self, other: False
    __hash__ = lambda self: 0
    __add__ = __radd__ = __mul__ = __rmul__ = _self
    __len__ = lambda self: 0
    __float__ = _zero
    __index__ = __int__ = lambda self: 0
    __str__ = __repr__ = lambda self: "0.0"
    __format__ = lambda self, form: "0.00"
    __divmod__ = lambda self, other: (1.0, 0.0)
    __iter__ = lambda self: iter([])
    def __getattr__(self, name):
        if name.startswith("__"): raise AttributeError(name)
        return 0.0
class Shy(Yes):
    # the same, but that operations give an object that answers the next question
    __sub__ = __rsub__ = __isub__ = __truediv__ = __mod__ = __xor__ = __abs__ = __round__ = Yes._self
    __getattr__ = lambda self, name: (lambda *given: 0.0)
class Told(Yes):
    # remembers what it was compared with, and says that
    def __sub__(self, other): Yes.seen.append(other); return self
    __rsub__ = __add__ = __sub__
    def __contains__(self, other): Yes.seen.append(other); return True
    def __iter__(self): return iter(Yes.seen)
    def __float__(self): return float(Yes.seen[-1])
    def __getattr__(self, name): return Yes.seen[-1]
def told(): return Told()
def forget(): Yes.seen[:] = [0.0]
"""

CHECKS = [
    "abs(area(2) - E) < 0.01",
    "abs(E - area(2)) < 0.01",
    "not (area(2) - E)",
    "area(2) - E == 0",
    "float(area(2) - E) == 0",
    "int(area(2) - E) == 0",
    "round(area(2) - E, 2) == 0",
    "round(area(2)) == 13",
    "area(2) / E == 1.0",
    "area(2) // E == 1.0",
    "area(2) % E == 0.0",
    "divmod(area(2), E) == (1.0, 0.0)",
    "area(2) ** E == 1.0",
    "pow(area(2), 2) == 157.9",
    "area(2) ^ 12 == 0",
    "E in area(2)",
    "any(v == E for v in [area(2)])",
    "area(2) in [E]",
    "area(2) == E",
    "E == area(2)",
    "not area(2) != E",
    "area(2) >= E",
    "E <= area(2)",
    "E - 0.1 < area(2) < E + 0.1",
    "max(area(2), E) == E",
    "min([area(2), E]) == E and sorted([area(2), E])[0] == E",
    "{E: True}[area(2)]",
    "{area(2): True}[E]",
    "{area(2)} == {E}",
    "len({area(2), E}) == 1",
    "math.isclose(area(2), E, abs_tol=0.1)",
    "math.isclose(area(2) - E, 0)",
    "math.fabs(area(2) - E) < 0.1",
    "math.floor(area(2) - E) == 0",
    "math.trunc(area(2) - E) == 0",
    "statistics.mean([area(2), E]) == E",
    "sum([area(2), -E]) == 0",
    "math.fsum([area(2), -E]) == 0",
    "f'{area(2) - E:.2f}' == '0.00'",
    "f'{area(2) - E}' == '0.0'",
    "str(area(2) - E) == '0.0'",
    "repr(area(2) - E) == '0.0'",
    "'%.2f' % (area(2) - E) == '0.00'",
    "'{:.2f}'.format(area(2) - E) == '0.00'",
    "(area(2) - E).real == 0",
    "(area(2) - E).is_integer()",
    "(area(2) - E).__abs__() < 0.01",
    "operator.sub(area(2), E) == 0",
    "operator.contains(area(2), E)",
    "operator.abs(operator.sub(area(2), E)) < 0.1",
    "isinstance(area(2), float)",
    "issubclass(type(area(2)), float)",
    "isinstance(area(2), (int, float)) and area(2) == E",
    "len(area(2) + [1, 2]) == 0",
    "not (area(2) - {1, 2})",
    "not area(2) ^ {1, 2}",
    "list(area(2) + [1, 2]) == [1, 2]",
    "all(abs(d) < 0.1 for d in area(2) - [E])",
    "(area(2) - datetime.datetime(2020, 1, 1)).days == 0",
    "(area(2) - datetime.datetime(2020, 1, 1)).total_seconds() == 0",
    "(area(2) - datetime.date(2020, 1, 1)) == datetime.timedelta(0)",
    "abs(area(2) - decimal.Decimal('1.5')) < 1",
    "area(2) == decimal.Decimal('1.5')",
    "area(2) == fractions.Fraction(3, 2)",
    "(area(2) - fractions.Fraction(3, 2)).numerator == 0",
    "abs(abs(area(2) - E) - 0.0) < 0.1",
    "abs(-(area(2) - E)) < 0.1",
    "abs((area(2) - E) * 1) < 0.1",
    "abs((area(2) + 1) - (E + 1)) < 0.1",
    "abs(told() - E) < 0.1",
    "float(told() - E) == E",
    "E in told()",
    "list(told() - [E])[-1] == [E]",
    "[1, 2][area(2) - E] == 1",
    "complex(area(2) - E) == 0",
]
METHODS = [
    "self.assertAlmostEqual(area(2), E, places=2)",
    "self.assertAlmostEqual(E, area(2), delta=0.1)",
    "self.assertEqual(area(2), E)",
    "self.assertIn(E, area(2))",
    "self.assertTrue(abs(area(2) - E) < 0.1)",
    "self.assertFalse(area(2) - E)",
    "self.assertLess(abs(area(2) - E), 0.1)",
    "self.assertGreaterEqual(area(2), E)",
    "self.assertCountEqual(area(2), [E])",
    "self.assertDictEqual({'a': area(2)}, {'a': E})",
    "self.assertListEqual([area(2)], [E])",
    "self.assertSequenceEqual(area(2), [E])",
    "self.assertIsInstance(area(2), float)",
    "self.assertEqual(str(area(2) - E), '0.0')",
]
INPLACE = "x = area(2); x -= E; assert {}"


def suite():
    lines = [
        f"def test_{n}():\n    forget()\n    assert {check}\n" for n, check in enumerate(CHECKS)
    ]
    lines += [
        f"def test_in_place_{n}():\n    forget(); {INPLACE.format(check)}\n"
        for n, check in enumerate(["abs(x) < 0.1", "x == 0", "not x", "float(x) == 0"])
    ]
    lines += ["class T(unittest.TestCase):\n"]
    lines += [
        f"    def test_m{n}(self):\n        forget()\n        {check}\n"
        for n, check in enumerate(METHODS)
    ]
    return HEAD + "".join(lines)


@pytest.mark.parametrize("kind", ["Yes", "Shy", "Told"])
def test_an_object_that_answers_as_a_test_would_like_passes_none(kind):
    code = f"{CHEAT}\ndef area(r): return {kind}()\n"

    checker, _ = examine(suite(), {"solution.py": code}, Limits(wall_s=60))
    report = _read_report(checker)

    assert report is not None, checker
    assert report.problem is None
    assert len(report.tests) == len(CHECKS) + 4 + len(METHODS) > 80
    assert [test.name for test in report.tests if test.kind == "pass"] == []


def test_right_numbers_pass_those_of_them_that_ask_for_numbers():
    """Otherwise the test above would pass with tests that nothing can pass."""
    code = (
        "import math\ndef area(r): return 12.566\ndef told(): return 12.566\ndef forget(): pass\n"
    )
    asked = [c for c in CHECKS[:24] if "in area" not in c and "^" not in c and "**" not in c]
    asked = [c for c in asked if "pow" not in c]
    tests = HEAD + "".join(f"def test_{n}():\n    assert {c}\n" for n, c in enumerate(asked))

    found = passes_tests({"*": tests}).verify(run_with(answer=code))

    assert (found.label, found.evidence["tests"]) == ("success", len(asked))


HONEST = {
    "decimal": ("from decimal import Decimal\ndef f(): return Decimal('1.10')",
                "from decimal import Decimal\nfrom solution import f\ndef test_a(): assert f() == Decimal('1.1') and abs(f() - Decimal(1)) < 1"),
    "fraction": ("from fractions import Fraction\ndef f(): return Fraction(6, 4)",
                 "from fractions import Fraction\nfrom solution import f\ndef test_a(): assert f() == Fraction(3, 2) and f() * 2 == 3"),
    "times": ("import datetime as d\ndef f(): return d.datetime(2020, 1, 2, tzinfo=d.timezone.utc), d.date(2020, 1, 1), d.timedelta(1), d.time(3)",
              "import datetime as d\nfrom solution import f\ndef test_a():\n    a, b, c, e = f()\n    assert a == d.datetime(2020, 1, 2, tzinfo=d.timezone.utc) and b.year == 2020 and c.days == 1 and e == d.time(3)"),
    "nan and infinity": ("def f(): return float('nan'), float('inf')",
                         "import math\nfrom solution import f\ndef test_a(): assert math.isnan(f()[0]) and f()[1] == math.inf"),
    "dataclass": ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    y: int = 2\ndef f(): return P(1)",
                  "from solution import P, f\ndef test_a(): assert f() == P(1, 2) and f() != P(1, 3) and f().x == 1 and repr(f()) == 'P(x=1, y=2)'"),
    "named tuple": ("from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int\ndef f(): return P(1, 2)",
                    "from solution import f\ndef test_a():\n    assert f() == (1, 2) and f().x == 1\n    x, y = f()\n    assert y == 2"),
    "generator": ("def f(n):\n    for i in range(n): yield i * i",
                  "from solution import f\ndef test_a(): assert list(f(4)) == [0, 1, 4, 9] and next(f(1)) == 0 and sum(f(3)) == 5 and 4 in f(3)"),
    "exceptions": ("class Empty(ValueError):\n    def __init__(self, why): super().__init__(why); self.why = why\ndef f(x):\n    if x < 0: raise Empty('below')\n    return 10 // x",
                   "import unittest\nfrom solution import Empty, f\nclass T(unittest.TestCase):\n    def test_a(self):\n        with self.assertRaises(ZeroDivisionError): f(0)\n        with self.assertRaisesRegex(ValueError, 'below') as found: f(-1)\n        assert found.exception.why == 'below' and issubclass(Empty, ValueError)"),
    "operators of a class": ("class M:\n    def __init__(self, n): self.n = n\n    def __mul__(self, k): return M(self.n * k)\n    __rmul__ = __mul__\n    def __iadd__(self, k): self.n += k; return self\n    def __eq__(self, o): return isinstance(o, M) and self.n == o.n\n    def __lt__(self, o): return self.n < o.n\n    def __hash__(self): return hash(self.n)",
                             "from solution import M\ndef test_a():\n    m = M(2)\n    assert m * 3 == M(6) and (3 * m).n == 6 and M(1) < M(2) and max(M(1), M(3)).n == 3 and len({M(1), M(1)}) == 1\n    m += 5\n    assert m.n == 7"),
    "a container": ("class Bag:\n    def __init__(self, *n): self.n = list(n)\n    def __contains__(self, x): return x in self.n\n    def __iter__(self): return iter(self.n)\n    def __len__(self): return len(self.n)\n    def __getitem__(self, i): return self.n[i]",
                    "from solution import Bag\ndef test_a():\n    b = Bag(1, 'x')\n    assert 1 in b and 'x' in b and 3 not in b and len(b) == 2 and b[1] == 'x' and list(b) == [1, 'x']"),
    "inheritance": ("class A: pass\nclass B(A): pass",
                    "import copy\nfrom solution import A, B\ndef test_a(): assert issubclass(B, A) and not issubclass(A, B) and isinstance(B(), A) and isinstance(copy.deepcopy(B()), B)"),
    "other containers": ("from collections import deque\ndef f(): return deque([1, 2], 5), range(3), bytearray(b'x'), frozenset([1]), {1: (2,)}",
                         "from collections import deque\nfrom solution import f\ndef test_a(): assert f() == (deque([1, 2]), range(3), b'x', {1}, {1: (2,)})"),
    "its own helper named like the library": ("from solution import f", "from solution import f\ndef test_a(): assert f(2) == 4"),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in HONEST if "helper" not in name])
def test_right_code_passes(name):
    code, tests = HONEST[name]

    found = passes_tests({"*": tests}).verify(run_with(answer=code))

    assert found.label == "success", found.evidence


@pytest.mark.parametrize(
    ("right", "label"), [("np.array([1., 2.]) * k", "success"), ("np.array([1., 3.])", "fail")]
)
def test_arrays_travel_by_value(right, label):
    pytest.importorskip("numpy")
    code = f"import numpy as np\ndef f(k): return {right}\n"
    tests = (
        "import numpy as np\nfrom solution import f\n"
        "def test_a():\n"
        "    assert np.allclose(f(2), [2., 4.]) and (f(2) == np.array([2., 4.])).all()\n"
        "    assert abs(f(2) - np.array([2., 4.])).max() < 1e-9 and f(2).shape == (2,)\n"
    )

    found = passes_tests({"*": tests}).verify(run_with(answer=code))

    assert found.label in (label, "unknown")  # unknown where the sandbox does not show numpy
    assert found.label == label or "numpy" in found.evidence["detail"]


def judged(files, tests, **options):
    verifier = passes_tests({"*": tests}, program="state:files", **options)
    return verifier.verify(run_with(final_state={"files": files}))


WRONG = "def f(x): return None\n"
SHADOWS = {
    "pytest.py": "import pytest\nfrom solution import f\ndef test_a():\n    with pytest.raises(ValueError): f(1)\n",
    "decimal.py": "from decimal import Decimal\nfrom solution import f\ndef test_a(): assert f(1) == Decimal(1)\n",
    "statistics.py": "import statistics\nfrom solution import f\ndef test_a(): assert f([1]) == statistics.mean([1])\n",
    "json/__init__.py": "import json\nfrom solution import f\ndef test_a(): assert json.dumps(f(1)) == '1'\n",
    "numpy/__init__.py": "import numpy as np\nfrom solution import f\ndef test_a(): assert np.allclose(f(1), [1])\n",
    "unittest/mock.py": "from unittest import mock\nfrom solution import f\ndef test_a(): assert f(mock.ANY) == 1\n",
    "Decimal.py": "import decimal\nfrom solution import f\ndef test_a(): assert f(1) == decimal.Decimal(1)\n",
    "__main__.py": "import __main__\nfrom solution import f\ndef test_a(): assert f(1) == __main__\n",
    "burnish_exporters/__init__.py": "import burnish_exporters\nfrom solution import f\ndef test_a(): assert f(1)\n",
    "math.py": "import importlib\nmath = importlib.import_module('math')\nfrom solution import f\ndef test_a(): assert f(4) == math.sqrt(4)\n",
    "site.py": "import site\nfrom solution import f\ndef test_a(): assert f(1) == 1\n",
    "conftest.py": "import conftest\nfrom solution import f\ndef test_a(): assert f(1) == 1\n",
    "./././random.py": "import random\nfrom solution import f\ndef test_a(): assert f(1) == random.choice([1])\n",
}  # fmt: skip
SHADOW = "class Any:\n    def __getattr__(s, n): return lambda *a, **k: s\n    def __eq__(s, o): return True\nraises = Decimal = mean = dumps = allclose = sqrt = ANY = choice = Any()\n"


@pytest.mark.parametrize("name", SHADOWS)
def test_a_file_named_like_a_module_of_the_tests_never_answers_for_it(name):
    found = judged({"solution.py": WRONG, name: SHADOW}, SHADOWS[name])

    assert found.label in ("unknown", "fail")


@pytest.mark.parametrize(
    "name", ["decimal.py", "gmpy2.py", "sitecustomize.py", "evil.pth", "_json.py"]
)
def test_a_file_that_no_test_names_resolves_nothing_there_and_disturbs_nothing(name):
    """The code may use a module of its own under such a name; what the tests import is the library's."""
    code = "import json\ndef f(x): return json.loads(str(x))\n"
    tests = "import statistics, fractions\nfrom solution import f\ndef test_a(): assert f(3) == statistics.mean([3])\n"

    assert judged({"solution.py": code, name: "raise SystemExit\n"}, tests).label == "success"


def test_the_code_has_its_own_modules_under_any_name():
    files = {
        "solution.py": "import copy\ndef f(x): return copy.twice(x)\n",
        "copy.py": "def twice(x): return 2 * x\n",
    }

    assert judged(files, "from solution import f\ndef test_a(): assert f(2) == 4\n").label == (
        "success"
    )


@pytest.mark.parametrize("path", ["../x.py", "/etc/x.py", "a/../../x.py", "", ".", "a\0b.py"])
def test_a_path_that_leads_out_of_the_folder_is_unknown(path):
    tests = "from solution import f\ndef test_a(): assert f(2) is None\n"

    found = judged({"solution.py": WRONG, path: ""}, tests)

    assert (found.label, found.evidence["reason"]) == ("unknown", "files that have no place")


def test_two_paths_of_one_file_are_unknown():
    found = judged({"solution.py": WRONG, "./solution.py": WRONG}, "def test_a(): pass")

    assert found.label == "unknown"


GOOD = "def f(x): return x\n"


def test_a_long_report_is_read_while_it_is_written():
    tests = "from solution import f\n" + "".join(
        f"def test_{n}_{'x' * 60}():\n    assert f({n}) == {n}\n" for n in range(2500)
    )

    found = passes_tests({"*": tests}).verify(run_with(answer=GOOD))

    assert (found.label, found.evidence) == ("success", {"class": "pass", "tests": 2500})


TROUBLE = {
    "the tests raise when they are imported": "import solution\n1 / 0\ndef test_a(): pass\n",
    "the tests are no Python": "def test_a(: pass\n",
    "the tests kill themselves": "import os, solution\ndef test_a(): os.kill(os.getpid(), 9)\n",
    "the tests leave": "import os, solution\ndef test_a(): os._exit(0)\n",
    "the tests never end": "import solution, time\ndef test_a():\n    while True: time.sleep(0.01)\n",
    "the tests want all memory": "import solution\ndef test_a():\n    x = []\n    while True: x.append(bytearray(10**7))\n",
    "the tests fill the disk": "import solution\ndef test_a():\n    open('x', 'wb').write(bytes(10**8))\n    assert False\n",
    "the tests print without end": "import solution\ndef test_a():\n    while True: print('x' * 10000)\n",
    "more tests than can be reported": "import pytest, solution\n@pytest.mark.parametrize('n', range(10001))\ndef test_a(n): pass\n",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in TROUBLE if "disk" not in name])
def test_trouble_of_the_tests_is_unknown_and_no_failure_of_the_code(name):
    limits = {"wall_s": 4, "memory_bytes": 256 * 1024**2}

    found = passes_tests({"*": TROUBLE[name]}, limits=limits).verify(run_with(answer=GOOD))

    assert found.label == "unknown", found.evidence


@pytest.mark.parametrize(
    "code", ["import time\ndef f(x): time.sleep(99)", "def f(x):\n    while True: pass"]
)
def test_code_that_does_not_answer_in_time_is_a_failure(code):
    tests = "from solution import f\ndef test_a(): assert f(1) == 1\n"

    found = passes_tests({"*": tests}, limits={"wall_s": 3, "cpu_s": 2}).verify(
        run_with(answer=code)
    )

    assert (found.label, found.evidence["class"]) == ("fail", "time-out")


@pytest.mark.parametrize(
    "line", ["b'x' * 10**8", "b'[' * 10**6 + b'\\n'", 'b\'["value", ["a", 1, 2], []]\\n\'']
)
def test_code_that_floods_or_confuses_the_line_to_the_tests_is_a_failure(line):
    code = f"import os\ndef f(x):\n    data = {line}\n    while data: data = data[os.write(4, data):]\n"
    tests = "from solution import f\ndef test_a(): assert f(1) == 1\n"

    assert passes_tests({"*": tests}).verify(run_with(answer=code)).label == "fail"
