"""The house rules that a linter does not hold: sizes, sorted tables, one file a plug-in, docstrings on public names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path

import pytest

from torchport.cli import VERBS
from torchport.compress import recipes
from torchport.registry import Registry
from torchport.targets import targets
from torchport.tasks import tasks

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "torchport").rglob("*.py"))
FILES = [
    *SOURCES,
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "benchmarks").rglob("*.py")),
    ROOT / "scripts" / "generate-docs",
]
REGISTRIES = {"targets": targets, "tasks": tasks, "recipes": recipes}

MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS = 400, 60, 8

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.AST) -> Iterator[Function]:
    yield from (node for node in ast.walk(tree) if isinstance(node, Function))


def parameters(function: Function) -> int:
    named = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return len([name for name in named if name not in ("self", "cls")])


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_small(path):
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    assert len(source.splitlines()) <= MOST_LINES
    assert [
        f"{f.name}, line {f.lineno}"
        for f in functions(tree)
        if (f.end_lineno or f.lineno) - f.lineno + 1 > MOST_FUNCTION_LINES
    ] == []


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.parent.name != "cli" and path.name != "api.py"], ids=name_of
)
def test_a_function_takes_at_most_eight_parameters(path):
    """Not the verbs of the command line and of Python, whose parameters are the options."""
    assert [
        f"{f.name}, line {f.lineno}"
        for f in functions(ast.parse(path.read_text("utf-8")))
        if parameters(f) > MOST_PARAMETERS
    ] == []


@cache
def documented_methods() -> set[str]:
    """Names of methods that some class of ours documents: an override need not repeat what its base says."""
    trees = [ast.parse(path.read_text("utf-8")) for path in SOURCES]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {
        member.name
        for one in classes
        for member in one.body
        if isinstance(member, Function) and ast.get_docstring(member)
    }


def undocumented(tree: ast.Module, inherited: set[str]) -> Iterator[str]:
    if not ast.get_docstring(tree):
        yield "the module"
    for node in tree.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield node.name
            for member in node.body if isinstance(node, ast.ClassDef) else []:
                if (
                    isinstance(member, Function)
                    and not member.name.startswith("_")
                    and member.name not in inherited
                    and not ast.get_docstring(member)
                ):
                    yield f"{node.name}.{member.name}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_public_names_have_docstrings(path):
    assert list(undocumented(ast.parse(path.read_text("utf-8")), documented_methods())) == []


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
def test_tables_are_sorted_and_their_rows_exist(registry: Registry):
    rows = {name: entry for name, entry in registry.entries().items() if entry.path.startswith("torchport.")}
    assert list(rows) == sorted(rows)
    for name, entry in rows.items():
        assert entry.about, f"{name} says nothing about itself"
        module, _, attribute = entry.path.partition(":")
        path = ROOT / "src" / Path(*module.split(".")).with_suffix(".py")
        assert any(
            isinstance(node, ast.ClassDef) and node.name == attribute
            for node in ast.parse(path.read_text("utf-8")).body
        ), f"{name}: no {entry.path}"


def test_the_folder_of_targets_is_the_support_matrix():
    files = {path.stem for path in (ROOT / "src" / "torchport" / "targets").glob("*.py")} - {"__init__", "base"}
    assert files == set(targets.names())


def test_the_folder_of_verbs_is_the_command_line():
    assert list(VERBS) == sorted(VERBS)
    folder = resources.files("torchport.cli")
    assert [verb for verb in VERBS if not (folder / f"{verb}.py").is_file()] == []
