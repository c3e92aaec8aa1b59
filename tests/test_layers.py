"""The layers hold: a module imports its own layer or lower ones, and no stage asks for a plug-in by its name."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import torchport
from torchport.compress import recipes
from torchport.targets import targets
from torchport.tasks import tasks

ROOT = Path(__file__).parents[1] / "src" / "torchport"

LAYERS = (
    ("errors", "feed", "figures", "registry", "stats", "types"),
    ("system",),
    ("tasks",),
    ("frontend",),
    ("targets",),
    ("compress",),
    ("choice",),
    ("bundle",),
    ("timing", "verification"),
    ("gallery", "predict", "report"),
    ("serve",),
    ("conform",),
    ("deployment",),
    ("documents",),
    ("jobs",),
    ("testing",),
    ("__main__", "api", "cli"),
)
"""From the ground up. A room imports rooms below it and itself, also inside functions and for types; the files on the
ground and the faces import their own layer too."""
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

MOST_IN_THE_HALL = 12
"""Files that lie directly in the package: the ground, the faces and what users import."""

STAGES = ("bundle", "choice", "cli", "deployment", "jobs", "predict", "report", "serve", "timing", "verification")
"""These compare and index by no name of a target, recipe or task: a new one must need no change here."""

BUILD = ("compress", "deployment.assemble", "frontend", "tasks.graphs", "testing.samples", "testing.toys")
"""Only these import torch as they are imported; everything else imports it, or one of these, inside a function."""

HEAVY = (
    "torch",
    "openvino",
    "coreai",
    "coremltools",
    "executorch",
    "ai_edge_litert",
    "MNN",
    "ncnn",
    "litert_torch",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "onnxslim",
    "torchao",
    "transformers",
)

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
    if path != ROOT / "__init__.py"
}


def statements(nodes: Iterable[ast.AST], *, inside: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements that run: not those under TYPE_CHECKING; those of functions only with `inside`."""
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements(node.orelse, inside=inside)
        elif inside or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from statements(ast.iter_child_nodes(node), inside=inside)


def imported(module: str, *, inside: bool) -> set[str]:
    """Modules that a module imports: ours by their name below the package, others by their full name."""
    path = MODULES[module]
    package = path.relative_to(ROOT).parts[:-1]
    names = set()
    for node in statements(ast.parse(path.read_text("utf-8")).body, inside=inside):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif node.level == 0:
            names.add(node.module or "")
        else:
            base = (*package[: len(package) - node.level + 1], *(node.module or "").split("."))
            whole = ".".join(part for part in base if part)
            names |= (
                {f"{whole}.{alias.name}" if f"{whole}.{alias.name}" in MODULES else whole for alias in node.names}
                if whole
                else {alias.name for alias in node.names}
            )
    return {name.removeprefix("torchport.") for name in names}


def belongs(module: str, groups: tuple[str, ...]) -> bool:
    return any(module == group or module.startswith(f"{group}.") for group in groups)


def test_every_module_has_a_layer():
    assert sorted({module.partition(".")[0] for module in MODULES} - set(LEVEL) - {"data"}) == []
    assert len([*ROOT.glob("*.py")]) <= MOST_IN_THE_HALL


def test_no_room_has_the_name_of_a_public_function():
    """`import torchport.timing` must not put a module in the place of `torchport.bench`."""
    assert {module.partition(".")[0] for module in MODULES} & set(torchport.__all__) == set()


def test_a_module_imports_lower_layers_only():
    offenders = []
    for module in MODULES:
        room = module.partition(".")[0]
        for name in sorted(imported(module, inside=True)):
            other = name.partition(".")[0]
            if other in LEVEL and other != room and not allowed(room, other):
                offenders.append(f"{module} (layer {LEVEL[room]}) imports {name} (layer {LEVEL[other]})")
    assert offenders == []


def allowed(room: str, other: str) -> bool:
    ends = (LEVEL["errors"], LEVEL["cli"])
    return LEVEL[other] < LEVEL[room] or (LEVEL[other] == LEVEL[room] and LEVEL[room] in ends)


def test_no_modules_import_each_other_in_a_circle():
    arrows = {module: imported(module, inside=True) & set(MODULES) for module in MODULES}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_the_run_half_imports_no_runtime_as_it_is_imported():
    offenders = [
        f"{module} imports {name} at module level"
        for module in MODULES
        if not belongs(module, BUILD)
        for name in sorted(imported(module, inside=False))
        if name.partition(".")[0] in HEAVY
    ]
    assert offenders == []


def test_the_list_of_what_imports_torch_names_what_is_there_and_does():
    """A group counts where one of its modules imports something heavy, or another group, as it is imported."""
    heavy = [
        module
        for module in MODULES
        if any(name.partition(".")[0] in HEAVY or belongs(name, BUILD) for name in imported(module, inside=False))
    ]
    assert [group for group in BUILD if not any(belongs(module, (group,)) for module in heavy)] == []


def test_a_stage_names_no_plug_in():
    known = {*targets.names(), *tasks.names(), *recipes.names()}
    offenders = [
        f"{module}, line {node.lineno}, asks for '{node.value}' by name"
        for module, path in MODULES.items()
        if belongs(module, STAGES)
        for node in decisive(ast.parse(path.read_text("utf-8")))
        if node.value in known or str(node.value).partition("-")[0] in targets.names()
    ]
    assert offenders == []


def decisive(tree: ast.AST) -> Iterator[ast.Constant]:
    """String literals that a program decides by: compared, matched, looked up, or keys of a table."""
    for node in ast.walk(tree):
        places: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            # A precision is spelled like the recipe that asks for it; comparing precisions is everybody's business.
            places = [] if any(ast.unparse(side).endswith("precision") for side in sides) else sides
        elif isinstance(node, ast.Subscript):
            places = [node.slice]
        elif isinstance(node, ast.MatchValue):
            places = [node.value]
        elif isinstance(node, ast.Dict):
            places = [key for key in node.keys if key is not None]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("get", "pop", "startswith", "endswith", "index")
        ):
            places = list(node.args)
        for place in places:
            elements = place.elts if isinstance(place, ast.Tuple | ast.List | ast.Set) else [place]
            yield from (
                element for element in elements if isinstance(element, ast.Constant) and isinstance(element.value, str)
            )


def test_decisions_by_name_are_recognised():
    source = (
        'x == "onnx"; d["pt2"]; {"eager": 1}; t in ("mobile", y); n.startswith("openvino-"); f("tensor"); z = "fp32"; '
        'c.precision == "fp16"'
    )
    assert {node.value for node in decisive(ast.parse(source))} == {"onnx", "mobile", "pt2", "eager", "openvino-"}
