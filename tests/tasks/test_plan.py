"""A chain as data: what may be left out of it, and that one module goes through its steps."""

from __future__ import annotations

import ast
from pathlib import Path

import torchport
from torchport.tasks import plan
from torchport.types import Step

SRC = Path(torchport.__file__).parent

CHAIN = (
    Step(name="decode", host="decode", inputs={"raw": "raw"}, outputs={"image": "image"}),
    Step(name="preprocess", graph="preprocess", host="resize", inputs={"image": "image"}, outputs={"pixels": "pixels"}),
    Step(name="model", graph="model", inputs={"x": "pixels"}, outputs={"y": "logits"}),
    Step(name="search", host="search", drives={"step": {"out": "in"}}, inputs={"y": "logits"}, outputs={"z": "ids"}),
    Step(name="postprocess", graph="preprocess", inputs={"image": "image"}, outputs={"pixels": "again"}),
    Step(name="scores", graph="scores", host="softmax", inputs={"y": "logits"}, outputs={"s": "scores"}),
)


def iterated(tree: ast.AST) -> list[tuple[int, ast.expr, ast.expr]]:
    """Line, target and iterable of every loop and comprehension."""
    loops = [(node.lineno, node.target, node.iter) for node in ast.walk(tree) if isinstance(node, ast.For)]
    made = [node for node in ast.walk(tree) if isinstance(node, ast.comprehension)]
    return loops + [(node.iter.lineno, node.target, node.iter) for node in made]


def over_steps(target: ast.expr, things: ast.expr) -> bool:
    """Whether a loop takes the steps of a chain one by one."""
    while True:
        match things:
            case ast.Subscript(value=inner) | ast.Starred(value=inner):
                things = inner
            case ast.Call(func=ast.Name(id="enumerate" | "filter" | "list" | "map" | "reversed" | "sorted" | "zip")):
                return any(over_steps(target, one) for one in things.args)
            case ast.Attribute(attr=name) | ast.Name(id=name):
                return name in ("steps", "graph_steps") or (isinstance(target, ast.Name) and target.id == "step")
            case _:
                return isinstance(target, ast.Name) and target.id == "step"


def test_one_module_goes_through_the_steps_of_a_chain() -> None:
    found = {
        path.relative_to(SRC).as_posix()
        for path in sorted(SRC.rglob("*.py"))
        for _, target, things in iterated(ast.parse(path.read_text("utf-8")))
        if over_steps(target, things)
    }
    assert found == {"tasks/plan.py"}


def test_a_graph_may_be_missing_where_the_host_answers_wherever_it_stands() -> None:
    assert plan.optional(CHAIN) == ("scores",), "the other one stands in a second step, which has no host form"
    assert plan.optional(CHAIN[:4]) == ("preprocess",)
    assert plan.used(CHAIN) == ("preprocess", "model", "step", "scores")
    assert plan.stateful(CHAIN) == ("step",)
    assert plan.driven(CHAIN) == ("step",)


def test_whoever_takes_the_steps_of_a_chain_drives_its_graphs() -> None:
    assert plan.drives(CHAIN) == {"model": {}, "step": {"out": "in"}, "preprocess": {}}
    assert plan.names(plan.from_decoded(CHAIN)) == plan.names(CHAIN)[1:]


def test_each_step_is_shown_with_the_values_that_are_there_before_it() -> None:
    seen: dict[str, set[str]] = {}
    made = plan.visit(CHAIN, lambda step, known: seen.update({step.name: set(known)}))
    assert seen["decode"] == {"raw"} and seen["model"] == {"raw", "image", "pixels"}
    assert made == {"raw"} | plan.made(CHAIN)
