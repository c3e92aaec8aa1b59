"""The house rules that a linter does not hold: sizes, sorted tables, one file a plug-in, docstrings on public names."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path

from torchport.cli import VERBS
from torchport.compress import recipes
from torchport.registry import Entry
from torchport.targets import targets
from torchport.tasks import tasks

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "torchport").rglob("*.py"))
FILES = [
    *SOURCES,
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "benchmarks").rglob("*.py")),
    ROOT / "scripts" / "answers-as-then",
    ROOT / "scripts" / "generate-docs",
]
SOURCE = {path: path.read_text("utf-8") for path in FILES}
TREES = {path: ast.parse(source) for path, source in SOURCE.items()}
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


def at(path: Path, function: Function) -> str:
    return f"{name_of(path)}:{function.lineno}: {function.name}"


def none(offenders: Iterable[str]) -> None:
    """Fails with all of them, a line each."""
    found = list(offenders)
    assert not found, "\n".join(["", *found])


def test_files_stay_small():
    lines = {path: len(source.splitlines()) for path, source in SOURCE.items()}
    none(f"{name_of(path)}: {count} lines" for path, count in lines.items() if count > MOST_LINES)


def test_functions_stay_small():
    none(
        at(path, function)
        for path, tree in TREES.items()
        for function in functions(tree)
        if (function.end_lineno or function.lineno) - function.lineno + 1 > MOST_FUNCTION_LINES
    )


def test_a_function_takes_at_most_eight_parameters():
    """Not the verbs of the command line and of Python, whose parameters are the options."""
    none(
        at(path, function)
        for path in SOURCES
        if path.parent.name != "cli" and path.name != "api.py"
        for function in functions(TREES[path])
        if parameters(function) > MOST_PARAMETERS
    )


def documented_methods() -> set[str]:
    """Names of methods that some class of ours documents: an override need not repeat what its base says."""
    classes = [node for path in SOURCES for node in ast.walk(TREES[path]) if isinstance(node, ast.ClassDef)]
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


def test_public_names_have_docstrings():
    inherited = documented_methods()
    none(f"{name_of(path)}: {name}" for path in SOURCES for name in undocumented(TREES[path], inherited))


def test_tables_are_sorted_and_say_what_each_row_is_for():
    for kind, registry in REGISTRIES.items():
        rows = [(name, row) for name, row in registry.entries().items() if row.path.startswith("torchport.")]
        assert [name for name, _ in rows] == sorted(name for name, _ in rows), kind
        assert [name for name, row in rows if not row.about] == [], kind


def test_every_row_names_a_class_that_is_there():
    def missing(row: Entry) -> bool:
        module, _, attribute = row.path.partition(":")
        tree = TREES[ROOT / "src" / Path(*module.split(".")).with_suffix(".py")]
        return not any(isinstance(node, ast.ClassDef) and node.name == attribute for node in tree.body)

    rows = [row for registry in REGISTRIES.values() for row in registry.entries().values()]
    none(row.path for row in rows if row.path.startswith("torchport.") and missing(row))


def test_test_files_have_names_of_their_own():
    """pytest takes two files of one name, in folders that are no packages, for one module, and stops."""
    seen: dict[str, Path] = {}
    for path in FILES:
        if path.name.startswith("test_") and not (path.parent / "__init__.py").exists():
            other = seen.setdefault(path.name, path)
            assert other == path, f"{name_of(path)} and {name_of(other)}"


def test_the_folder_of_targets_is_the_support_matrix():
    files = {path.stem for path in (ROOT / "src" / "torchport" / "targets").glob("*.py")} - {"__init__", "base"}
    assert files == set(targets.names())


def test_the_folder_of_verbs_is_the_command_line():
    assert list(VERBS) == sorted(VERBS)
    folder = resources.files("torchport.cli")
    assert [verb for verb in VERBS if not (folder / f"{verb}.py").is_file()] == []
