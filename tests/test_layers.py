"""The layers hold: a module imports its own layer or lower ones, and no stage asks for a plug-in by its name."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from torchport.compress import recipes
from torchport.targets import targets
from torchport.tasks import tasks

ROOT = Path(__file__).parents[1] / "src" / "torchport"

LAYERS = (
    (
        "errors",
        "types",
        "registry",
        "isolate",
        "spawned",
        "machine",
        "cache",
        "disk",
        "stats",
        "budget",
        "clock",
        "feed",
        "figures",
        "notebook",
        "torch_settings",
    ),
    ("targets", "tasks", "capture", "compress", "converted"),
    ("bench", "bundle", "calibrate", "lower", "measure", "search", "verify"),
    ("choose", "limits", "gallery", "in_memory", "predict"),
    ("report",),
    ("batch", "serve"),
    (
        "again",
        "attempt",
        "rows",
        "demo",
        "deploy",
        "diff",
        "doctor",
        "documents",
        "export",
        "pack",
        "poor",
        "rebench",
        "repack",
        "request",
        "testing",
    ),
    ("__main__", "api", "cli"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

STAGES = (
    "attempt",
    "rows",
    "batch",
    "bench",
    "bundle",
    "choose",
    "limits",
    "cli",
    "deploy",
    "diff",
    "export",
    "measure",
    "pack",
    "predict",
    "rebench",
    "repack",
    "report",
    "search",
    "serve",
    "verify",
)
"""These compare and index by no name of a target, recipe or task: a new one must need no change here."""

BUILD = (
    "capture",
    "compress",
    "tasks.shared.decoders",
    "tasks.shared.detection_graphs",
    "tasks.shared.letterbox_graphs",
    "tasks.shared.cascade_graphs",
    "tasks.shared.activate",
    "tasks.shared.ctc_graph",
    "tasks.shared.logmel",
    "tasks.shared.recognition_graphs",
    "tasks.shared.resample",
    "tasks.shared.mel_graph",
    "tasks.shared.text_graphs",
    "tasks.shared.vits",
    "tasks.shared.whisper_graphs",
    "testing.samples",
    "testing.toys",
)
"""Only these import torch as they are imported; everything else imports it, or one of these, inside a function."""

HEAVY = ("torch", "openvino", "executorch", "onnx", "onnxruntime", "onnxscript", "onnxslim", "torchao", "transformers")

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


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_its_own_layer_or_lower(module):
    own = LEVEL[module.partition(".")[0]]
    higher = {name for name in imported(module, inside=True) if LEVEL.get(name.partition(".")[0], -1) > own}
    assert not higher, f"{module} is in layer {own} and imports {sorted(higher)}"


@pytest.mark.parametrize("module", [module for module in MODULES if not belongs(module, BUILD)])
def test_the_run_half_imports_no_runtime_as_it_is_imported(module):
    heavy = {name for name in imported(module, inside=False) if name.partition(".")[0] in HEAVY}
    assert not heavy, f"{module} imports {sorted(heavy)} at module level"


@pytest.mark.parametrize("module", [module for module in MODULES if belongs(module, STAGES)])
def test_a_stage_names_no_plug_in(module):
    known = {*targets.names(), *tasks.names(), *recipes.names()}
    found = [
        f"line {node.lineno}: '{node.value}'"
        for node in decisive(ast.parse(MODULES[module].read_text("utf-8")))
        if node.value in known or str(node.value).partition("-")[0] in targets.names()
    ]
    assert not found, f"{module} asks for a plug-in by name: {found}"


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
