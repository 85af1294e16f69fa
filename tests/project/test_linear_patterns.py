"""Every regular expression of the code takes time linear in the length of its text.

The patterns are collected from the imported modules and from literals in the source. Each one meets
texts of the general worst kinds and texts made of its own literals; where a text takes noticeable
time, four times the text must take less than eight times as long (a quadratic pattern takes 16).
The detectors of redaction, which combine patterns, meet a megabyte of the worst texts in
tests/sdk/redaction/test_linear.py.
"""

import ast
import importlib
import pkgutil
import re
import time
from pathlib import Path

import pytest

import burnish
import burnish_exporters

try:
    from re import _constants as constants
    from re import _parser as parser
except ImportError:  # before Python 3.11
    import sre_constants as constants
    import sre_parse as parser

ROOT = Path(__file__).parents[2]
QUICK, SIZE = 2_000, 8_000
QUICK_S, NOTICEABLE_S = (
    0.0005,
    0.002,
)  # a quadratic search takes four times as long or more on a fast processor
CALLS = {"compile", "search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
GENERAL = ("a", "1", " ", "\n", ".", '"', "\\", "[", "{", "<", "/", ":", "=", "-", "_", "`", "a ", "1 ", "a.", "a-",
           "1,", "a@", "://", "{%", "</", "İ", "密", "```")  # fmt: skip
DEVELOPER = {"burnish.testing", "burnish_exporters.testing"}  # meets no text from outside
ELSEWHERE = (
    "burnish.redaction.secret_detection.tokens",
    "burnish.redaction.secret_detection.assignments",
)  # tested with their detectors
ANCHORED = (
    "burnish.serving.toolcalls.call_readers",
    "burnish.serving.toolcalls.call_values",
)  # tried at one place of a text


def modules(package):
    """All modules of a package that can be imported here."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if found.name.startswith(tuple(DEVELOPER)) or found.name.endswith("__main__"):
            continue
        try:
            yield importlib.import_module(found.name)
        except ImportError:
            continue


def patterns_in(value, depth=0):
    """The compiled patterns in a module's value, some levels deep."""
    if isinstance(value, re.Pattern):
        yield value
    elif depth < 4 and isinstance(value, dict):
        for item in value.values():
            yield from patterns_in(item, depth + 1)
    elif depth < 4 and isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from patterns_in(item, depth + 1)


def literals():
    """The patterns that stand as plain text in calls of `re`."""
    for folder in ("sdk/burnish", "exporters/burnish_exporters", "trainer/burnish_trainer"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if "testing" in file.parts:
                continue
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if not (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.args
                ):
                    continue
                named = isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
                first = node.args[0]
                if named and node.func.attr in CALLS and isinstance(first, ast.Constant):
                    flags = re.VERBOSE if "VERBOSE" in ast.dump(node) else 0
                    flags |= re.DOTALL if "DOTALL" in ast.dump(node) else 0
                    yield re.compile(first.value, flags), node.func.attr in ("match", "fullmatch")


def collected():
    """Every pattern, once."""
    found = {}
    for package in (burnish, burnish_exporters):
        for module in modules(package):
            for value in () if module.__name__ in ELSEWHERE else vars(module).values():
                for pattern in patterns_in(value):
                    key = pattern.pattern, pattern.flags
                    found.setdefault(key, (pattern, module.__name__ in ANCHORED))
    known = {key[0] for key in found} | patterns_of_assignments()
    for pattern, anchored in literals():
        if pattern.pattern not in known:
            found.setdefault((pattern.pattern, pattern.flags), (pattern, anchored))
    return [pair for pair in found.values() if isinstance(pair[0].pattern, str)]


def patterns_of_assignments():
    """The patterns that are tested with their detectors."""
    found = (vars(importlib.import_module(name)).values() for name in ELSEWHERE)
    return {
        pattern.pattern for values in found for value in values for pattern in patterns_in(value)
    }


def words_of(pattern):
    """The literal runs of a pattern."""
    found, run = [], []

    def walk(items):
        for code, argument in items:
            if code is constants.LITERAL:
                run.append(chr(argument))
                continue
            found.append("".join(run))
            run.clear()
            for part in argument if isinstance(argument, (list, tuple)) else ():
                if isinstance(part, parser.SubPattern):
                    walk(part)
                elif isinstance(part, list):
                    for branch in part:
                        if isinstance(branch, parser.SubPattern):
                            walk(branch)
        found.append("".join(run))
        run.clear()

    walk(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))
    return sorted({word for word in found if word.strip()}, key=len, reverse=True)[:6]


def texts(pattern, size):
    """The worst texts of one size."""
    words = words_of(pattern)
    for unit in (*GENERAL, *words, *(word + " " for word in words[:3])):
        yield (unit * (size // len(unit) + 1))[:size]
    for word in words[:3]:
        for filling in ("a", " ", "1", "a ", "\n", word[0]):
            yield word + (filling * size)[:size]
    if words:
        yield "".join(words) * (size // len("".join(words)) + 1)


def seconds(pattern, text, anchored):
    """The least CPU time of two searches through a whole text, or of two tries at its beginning."""
    best = float("inf")
    for _ in range(2):
        began = time.thread_time()
        if anchored:
            pattern.match(text)
        else:
            for _found in pattern.finditer(text):
                pass
        best = min(best, time.thread_time() - began)
        if best < NOTICEABLE_S:
            break
    return best


def slow_texts(pattern, anchored=False):
    """The texts on which the time of a pattern grows faster than their length."""
    sizes = (texts(pattern, size) for size in (QUICK, SIZE, 4 * SIZE))
    for quick, short, long in zip(*sizes, strict=True):
        if seconds(pattern, quick, anchored) < QUICK_S:
            continue
        took = seconds(pattern, short, anchored)
        if took >= NOTICEABLE_S and seconds(pattern, long, anchored) > 8 * took:
            yield short[:60]


@pytest.fixture(scope="module")
def patterns():
    return collected()


def test_no_pattern_of_the_code_takes_quadratic_time(patterns):
    assert len(patterns) > 100

    slow = {
        pattern.pattern[:120]: found
        for pattern, anchored in patterns
        if (found := next(slow_texts(pattern, anchored), None))
    }

    assert not slow, slow


@pytest.mark.parametrize("pattern", [r"\w+@", r"a*b", r"(?:\s*x)+y|\s*z"])
def test_the_search_notices_a_quadratic_pattern(pattern):
    assert next(slow_texts(re.compile(pattern)), None)
