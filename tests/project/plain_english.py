"""Find turns of phrase that have a plainer wording: `python tests/project/plain_english.py [PATH ...]`.

The check reads docstrings, comments and messages of Python files and the text of pages. Strings of
tests, examples and benchmarks are data and are not read; neither are the fenced blocks of pages.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PLACES = (
    "sdk",
    "exporters",
    "trainer",
    "examples",
    "benchmarks",
    "tests",
    "docs",
    "README.md",
    "CHANGELOG.md",
)
DATA = {"_build", "written_by_99de4c1"}
STRINGS_ARE_DATA = ("examples", "benchmarks", "tests", "docs")

# A pattern, and the better wording.
BANNED = {
    r"\bKnows:|\bDoes not know:": "say what the module does and name its entry function",
    r"\bnobody\b": "name the component, or use the passive: 'is not read'",
    r"\bsomebody\b|\banybody\b|\beverybody\b|\bno one\b": "name the component: user, caller, process",
    r"\bwhoever\b": "name the component: the caller, the process that",
    r"\btold apart\b|\btells? [\w ]{0,20}\bapart\b": "distinguish",
    r"(?<!<)\btold\b(?!:)": "reported, given, passed, recorded",
    r"\btells? of\b": "describe, report",
    r"\b(becomes?|became) of\b": "report the outcome",
    r"\bthe same again\b": "repeat, retry",
    r"\b(is|are) let\b|\blet at\b": "is rolled out, is allowed",
    r"\bword counts\b": "decides, is trusted",
    r"\b(thereof|therein|wherein|hitherto|heretofore|henceforth|forthwith)\b": "use modern English",
    r"\b(whilst|lest|amid|betwixt|aught|naught|ere|nay)\b": "while, so that ... not, among",
    r"\banew\b": "again",
    r"\b(goes|go|going|gone|went) on\b(?! (an?|the|to|it)\b)": "continue",
    r"\bto be had\b": "available",
    r"\bstands? in\b(?! for\b)": "is in, appears in",
    r"\b(?<!there )(is|are|was|were) no (?!longer|more|less|later|earlier|better|worse|other)": "is not a",
    r"\b(is|are|was) none of\b|\bof ours\b": "is not one of; burnish's own",
    r"\bone's own\b": "custom, your own",
    r"\btaken for\b": "treated as, mistaken for",
    r"\blet go\b|\blets? \w+ go\b": "release",
    r"\bvouch": "trust, certify",
    r"\bin (its|their|his) stead\b": "instead",
    r"\bas ever\b": "as before, as usual",
    r"\bof what (was|is|were|are) (said|given|asked|made|known|gone)\b": "name the noun",
    r"\bby that very\b|\bthat very\b|\bthis very\b|\bthe very\b": "the same, this",
}
COMPILED = [(re.compile(pattern, re.IGNORECASE), better) for pattern, better in BANNED.items()]
ANY = re.compile("|".join(BANNED), re.IGNORECASE)
STORED = {
    "ADP has no place for arguments that are no JSON object",
    "a call whose arguments are no JSON object",
    "a message holds content that is no text (",
    "arguments or tools that are no JSON",
    "phone, told by a word",
    "malformed: arguments are no JSON object",
    "the reference is no query",
    "the weight of the row is no positive number",
}  # reasons that manifests, reports and verdicts of earlier versions hold too
OPENING = re.compile(r"(What|Whether|Where|How|Who|Whose|Whom|Which|Why|When|Those|That which)\b")
BETTER_OPENING = "begin with a verb: 'Return whether', 'Read', 'Write', or with a noun"


class Finding(NamedTuple):
    """A banned phrase in a file."""

    path: str
    line: int
    phrase: str
    better: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.phrase!r}: {self.better}"


def read_files(places: list[str]) -> Iterator[Path]:
    """Find the Python files and pages below the given places."""
    for place in places:
        root = ROOT / place
        if root.is_file():
            yield root
            continue
        for path in sorted(root.rglob("*")):
            if path.suffix in {".py", ".md"} and not DATA.intersection(path.parts):
                yield path


def extract_prose(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Yield line number, text and whether the text is a docstring."""
    if path == Path(__file__):
        return
    text = path.read_text()
    if path.suffix == ".md":
        yield from _extract_page(text)
        return
    nodes = list(ast.walk(ast.parse(text)))
    docstrings = {id(node): node for node in map(_docstring_of, nodes) if node}
    for node in docstrings.values():
        yield node.lineno, str(node.value), True
    if path.relative_to(ROOT).parts[0] not in STRINGS_ARE_DATA:
        for node in nodes:
            if not isinstance(node, ast.Constant) or id(node) in docstrings:
                continue
            value = str(node.value)
            if " " in value and value not in STORED:  # one word is data or a name
                yield node.lineno, value, False
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string, False


def _docstring_of(node: ast.AST) -> ast.Constant | None:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    match node.body:
        case [ast.Expr(value=ast.Constant(value=str()) as docstring), *_]:
            return docstring
    return None


def _extract_page(text: str) -> Iterator[tuple[int, str, bool]]:
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line, False


def check_file(path: Path) -> Iterator[Finding]:
    """Find the banned phrases of one file."""
    name = str(path.relative_to(ROOT))
    for line, text, is_docstring in extract_prose(path):
        if is_docstring and (opening := OPENING.match(text.strip())):
            yield Finding(name, line, opening[0], BETTER_OPENING)
        if not ANY.search(text):
            continue
        for pattern, better in COMPILED:
            for found in pattern.finditer(text):
                at = line + text.count("\n", 0, found.start())
                yield Finding(name, at, found[0], better)


def find_phrases(places: list[str]) -> list[Finding]:
    """Find the banned phrases below the given places."""
    return [finding for path in read_files(places) for finding in check_file(path)]


def main(places: list[str]) -> int:
    """Print the findings of the given places, by default of all."""
    found = find_phrases(places or list(PLACES))
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
