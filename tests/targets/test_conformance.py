"""Every target of the table, on every toy, through every check; and at every precision that it offers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from torchport.errors import MissingDependency, UnsupportedByTarget
from torchport.targets import targets
from torchport.testing import Case, RunsElsewhere, expected_failure, required, target_checks
from torchport.types import PLAIN

pytest.importorskip("torch")
from torchport.testing.toys import TOYS

PRECISE = ("mlp", "sequence")
"""Toys for what a target offers beside fp32: both have products to quantise."""

SHORT = {"onnx": ("int8_dynamic", "int8_static", "int4_weights"), "openvino": ("bf16", "int8_dynamic")}
"""Other precisions that `make test` tries, with the first toy, one a way of making them; `make long` tries all."""

BRIEF: dict[str, tuple[str, ...]] = {
    "aotinductor": (),
    "aotinductor_portable": (),
    "coreai": ("embedding", "dict_outputs"),
    "coreml": ("sequence",),
    "litert": ("mlp", "embedding", "dict_outputs"),
    "mnn": ("mlp", "embedding", "sequence"),
    "ncnn": ("mlp", "conv", "sequence"),
}
"""Toys that `make test` tries on targets whose converters take seconds; `make long` tries all."""


def cases() -> Iterator[object]:
    for name in targets.names():
        for toy in TOYS:
            marks = () if toy in BRIEF.get(name, TOYS) else (pytest.mark.long,)
            yield pytest.param((name, toy, PLAIN), id=f"{name}-{toy}", marks=marks)
        try:
            offered = targets.get(name).precisions
        except MissingDependency:
            continue
        for precision in offered:
            for toy in PRECISE if precision != PLAIN else ():
                short = toy == PRECISE[0] and precision in SHORT.get(name, ())
                marks = () if short else (pytest.mark.long,)
                yield pytest.param((name, toy, precision), id=f"{name}-{toy}-{precision}", marks=marks)


@cache
def state_of(name: str) -> str | None:
    """Why a target cannot be tried here."""
    try:
        state = targets.get(name).available(build=True)
    except MissingDependency as exc:
        return exc.message
    return state.reason if state.status != "ok" else None


@pytest.fixture(scope="module", params=cases())
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name, toy, precision = request.param
    if reason := state_of(name):
        (pytest.fail if required(name) else pytest.skip)(f"{name}: {reason}")
    return Case(targets.get(name), TOYS[toy], tmp_path_factory.mktemp(f"{name}-{toy}"), precision)


@pytest.mark.parametrize("check", target_checks(), ids=lambda check: check.__name__)
def test_conformance(case: Case, check: Callable[[Case], None], request: pytest.FixtureRequest) -> None:
    if check.__name__ == "check_offline" and case.target.name == "executorch" and not os.environ.get("TORCHPORT_LONG"):
        pytest.skip("its compiler is imported once more for it: make long")
    reason = expected_failure(case.target, check.__name__, case.toy.name, case.precision)
    if reason:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    try:
        check(case)
    except UnsupportedByTarget as exc:
        if check.__name__ == "check_export":
            raise
        pytest.skip(f"{case.target.name} declines {case.toy.name}: {exc.message}")
    except RunsElsewhere as exc:
        pytest.skip(exc.message)
