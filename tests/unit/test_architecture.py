"""The rules of the house that no linter knows: purity of what decides, and sizes that can still be read."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = ("crds", "reconcilers")
PACKAGES = ("agent", "bus", "controller", *PURE)
FORBIDDEN_CALLS = {"now", "today", "time", "monotonic", "sleep", "random", "uuid4", "open"}
FORBIDDEN_IMPORTS = {"asyncio", "io", "os", "pathlib", "random", "secrets", "socket", "subprocess", "threading", "time"}
LONGEST_FILE = 400
LONGEST_FUNCTION = 50


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def impurities(tree: ast.AST) -> Iterator[str]:
    """Calls and imports through which time, chance or the world would get into a decision."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in FORBIDDEN_CALLS:
                yield f"line {node.lineno} calls {name}(): pass its result in"
            case ast.Import(names=names):
                modules = {alias.name.split(".")[0] for alias in names}
                yield from (f"line {node.lineno} imports {module}" for module in sorted(modules & FORBIDDEN_IMPORTS))
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in FORBIDDEN_IMPORTS:
                yield f"line {node.lineno} imports {module}"


def globals_set(tree: ast.AST) -> Iterator[str]:
    """Functions that change what belongs to the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"line {node.lineno} sets the global {', '.join(node.names)}: pass it in, or keep it in an object"


def long_functions(tree: ast.AST) -> Iterator[str]:
    """Functions that hold more than one thought, most likely."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield f"line {node.lineno}: {node.name} has {lines} lines, more than {LONGEST_FUNCTION}"


def own_chance(tree: ast.AST) -> Iterator[str]:
    """Objects that make their own clock or chance, other than for want of one that was passed in."""
    defaults = {id(value) for node in ast.walk(tree) if isinstance(node, ast.BoolOp) for value in node.values}
    for owner in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for node in ast.walk(owner):
            match node:
                case ast.Call(func=ast.Name(id="Random" | "SystemClock" as name)) if id(node) not in defaults:
                    yield f"line {node.lineno} makes a {name} of its own: pass it in"


@pytest.mark.parametrize("path", sources(*PURE), ids=name_of)
def test_what_decides_is_pure(path: Path) -> None:
    assert list(impurities(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=name_of)
def test_nothing_sets_a_global(path: Path) -> None:
    assert list(globals_set(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=name_of)
def test_clocks_and_chance_are_passed_in(path: Path) -> None:
    assert list(own_chance(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=name_of)
def test_functions_can_be_read_at_a_glance(path: Path) -> None:
    assert list(long_functions(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize("path", sources(*PACKAGES, "tests", "benchmarks"), ids=name_of)
def test_files_can_be_read_at_a_sitting(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST_FILE, f"{lines} lines: split the file by thought"


@pytest.mark.parametrize("path", [path for path in sources(*PACKAGES) if "migrations" not in path.parts], ids=name_of)
def test_every_module_can_be_imported(path: Path) -> None:
    importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_was_looked_at(package: str) -> None:
    assert sources(package)


@pytest.mark.parametrize(
    "planted",
    [
        "datetime.now(UTC)",
        "date.today()",
        "time.time()",
        "from time import monotonic",
        "monotonic()",
        "sleep(1)",
        "rng.random()",
        "uuid.uuid4()",
        "open('f')",
        "path.open()",
        "import os.path",
        "import json, random",
        "def f():\n    import time",
    ],
)
def test_an_impurity_is_found(planted: str) -> None:
    assert list(impurities(ast.parse(planted)))


def test_a_global_and_a_long_function_are_found() -> None:
    assert list(own_chance(ast.parse("class A:\n    def f(self):\n        return Random()")))
    assert list(globals_set(ast.parse("def f():\n    global x\n    x = 1")))
    assert list(long_functions(ast.parse("def f():\n" + "    pass\n" * LONGEST_FUNCTION)))
    assert not list(long_functions(ast.parse("def f():\n" + "    pass\n" * (LONGEST_FUNCTION - 1))))
