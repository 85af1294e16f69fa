"""The budgets of our own code: sizes, documentation, layers and cycles, measured on the packages."""

from __future__ import annotations

import ast
import functools
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "burnish": ROOT / "sdk/burnish",
    "burnish_exporters": ROOT / "exporters/burnish_exporters",
    "burnish_trainer": ROOT / "trainer/burnish_trainer",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef

MOST_FILES = 15
LONGEST_CHAIN = 12
ONE_WORD_SHARE = 0.30

# Signatures that are a contract with users; their arguments are keywords.
WIDE_CONTRACTS = {"outcome"}


def sources() -> Iterator[Path]:
    for folder in PACKAGES.values():
        for path in sorted(folder.rglob("*.py")):
            if "support_desk" not in path.parts:  # an example of a user's project
                yield path


def functions() -> Iterator[tuple[str, Function]]:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Function):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def lines_of(node: Function) -> int:
    """Lines of a function without its docstring."""
    docstring = ast.get_docstring(node, clean=False)
    own = (node.end_lineno or node.lineno) - node.lineno + 1
    return own - (docstring.count("\n") + 1 if docstring else 0)


def test_no_file_is_longer_than_500_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in sources()
        if (count := len(path.read_text().splitlines())) > 500
    }

    assert long == {}


def test_no_function_is_longer_than_50_lines_and_most_are_short() -> None:
    sizes = {name: lines_of(node) for name, node in functions()}
    ordered = sorted(sizes.values())

    assert {name: size for name, size in sizes.items() if size > 50} == {}
    assert ordered[int(len(ordered) * 0.95)] <= 32
    assert statistics.median(ordered) <= 10


def test_no_function_takes_more_than_eight_arguments() -> None:
    """Keyword-only options of a contract with users are named above."""
    wide = {}
    for name, node in functions():
        args = node.args
        names = [arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
        count = len([arg for arg in names if arg not in ("self", "cls")])
        # langchain-core and typer read their options from the signature itself
        framework = names[:1] == ["self"] and args.kwarg is not None
        command = any(
            isinstance(dec, ast.Call) and "command" in ast.unparse(dec)
            for dec in node.decorator_list
        )
        if count > 8 and not framework and not command and node.name not in WIDE_CONTRACTS:
            wide[name] = count

    assert wide == {}


def test_every_module_says_what_it_knows() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources()
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]

    assert silent == []


def _undocumented(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if not isinstance(node, (*Function.__args__, ast.ClassDef)) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield node.name
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, Function) and not member.name.startswith("_"):
                    overrides = any("override" in ast.unparse(d) for d in member.decorator_list)
                    if not ast.get_docstring(member) and not overrides:
                        yield f"{node.name}.{member.name}"


def test_every_public_name_has_a_docstring() -> None:
    silent = {
        str(path.relative_to(ROOT)): names
        for path in sources()
        if (names := list(_undocumented(ast.parse(path.read_text()))))
    }

    assert silent == {}


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "common", "misc"}

    assert [path for path in sources() if path.stem in drawers or path.parent.name in drawers] == []


def test_no_bare_exception_is_raised() -> None:
    bare = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            raised = node.exc if isinstance(node, ast.Raise) else None
            callee = raised.func if isinstance(raised, ast.Call) else raised
            if isinstance(callee, ast.Name) and callee.id in ("Exception", "BaseException"):
                bare.append(f"{path.relative_to(ROOT)}:{node.lineno}")

    assert bare == []


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def test_packages_import_only_downwards(graph: grimp.ImportGraph) -> None:
    def imports(upper: str, lower: str) -> bool:
        return graph.chain_exists(importer=upper, imported=lower, as_packages=True)

    assert imports("burnish_trainer", "burnish_exporters")
    assert imports("burnish_exporters", "burnish")
    assert not imports("burnish", "burnish_exporters")
    assert not imports("burnish", "burnish_trainer")
    assert not imports("burnish_exporters", "burnish_trainer")


def test_packages_begin_with_a_story_and_no_logic() -> None:
    logic = {
        str(path.relative_to(ROOT)): names
        for path in sources()
        if path.name == "__init__.py"
        and (
            names := [
                node.name
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, (*Function.__args__, ast.ClassDef))
            ]
        )
    }

    assert logic == {}


def test_no_two_modules_import_each_other_at_run_time() -> None:
    """Imports at the top of a module, followed to the end; those inside functions run later."""
    edges = {name: set(_top_level_imports(path)) for name, path in _modules().items()}
    rings = [name for name in edges if _reaches(edges, name, name)]

    assert rings == []


@functools.cache
def _modules() -> dict[str, Path]:
    found = {}
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            if "support_desk" in path.parts:
                continue
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _top_level_imports(path: Path) -> Iterator[str]:
    known = _modules()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known else node.module


def _reaches(edges: dict[str, set[str]], start: str, goal: str) -> bool:
    seen: set[str] = set()
    waiting = list(edges.get(start, ()))
    while waiting:
        name = waiting.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            waiting.extend(edges.get(name, ()))
    return False


def test_no_folder_holds_more_than_fifteen_files() -> None:
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in sources())

    assert {folder: count for folder, count in counts.items() if count > MOST_FILES} == {}


def _imports_anywhere(path: Path) -> Iterator[str]:
    """Imports in functions too, and modules that are named by a string: of import_module, of `-m`, of lazy exports."""
    known = _modules()
    tree = ast.parse(path.read_text())
    ignored: set[int] = set()
    for node in ast.walk(tree):
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        logger = isinstance(node, ast.Call) and "getLogger" in ast.unparse(node.func)
        group = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "GROUP"
        if typing_only or logger or group:
            ignored.update(map(id, ast.walk(node)))
    for node in (node for node in ast.walk(tree) if id(node) not in ignored):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else node.module for name in full)
        elif isinstance(node, ast.Constant) and "." in str(node.value) and node.value in known:
            yield str(node.value)


def test_no_circle_of_imports_is_hidden_in_a_function_or_a_string() -> None:
    edges = {
        name: set(_imports_anywhere(path)) & _modules().keys() - {name}
        for name, path in _modules().items()
    }

    assert edges["burnish.capture.recorder.shipping"] >= {"burnish.telemetry.delivery.shipper"}
    assert [name for name in edges if _reaches(edges, name, name)] == []


def test_chains_of_imports_are_short() -> None:
    """Imports at the top of a module; those inside functions run later."""
    edges = {
        name: set(_top_level_imports(path)) & _modules().keys() for name, path in _modules().items()
    }

    @functools.cache
    def longest(name: str) -> tuple[str, ...]:
        below = max((longest(other) for other in edges[name] if other != name), key=len, default=())
        return (name, *below)

    chain = max(map(longest, edges), key=len)
    assert len(chain) <= LONGEST_CHAIN, chain


def test_a_class_name_stands_for_one_thing() -> None:
    places = defaultdict(list)
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(ROOT)))

    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_names_of_functions_say_what_they_do() -> None:
    names = [
        node.name.strip("_")
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, Function) and not node.name.startswith("__")
    ]
    one_word = Counter(name for name in names if "_" not in name)

    assert one_word.total() / len(names) < ONE_WORD_SHARE, one_word.most_common(40)


def test_places_that_the_pages_name_exist() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks/RESULTS.md"]
    pages += (ROOT / "benchmarks").rglob("*.py")
    places = {
        (str(page.relative_to(ROOT)), place)
        for page in pages
        for place in re.findall(
            r"\b(?:sdk|exporters|trainer|tests|benchmarks|examples)/[\w/]+\.py\b", page.read_text()
        )
    }

    assert len(places) > 200
    assert [place for place in sorted(places) if not (ROOT / place[1]).exists()] == []


def test_folders_that_the_architecture_names_exist() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    folders = re.findall(r"^\| `((?:sdk|exporters|trainer)/[\w/]+)` ", page, re.MULTILINE)

    assert len(folders) > 40
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []
