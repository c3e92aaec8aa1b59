"""What the contract must bear, by one toy target each: the public conformance suite holds them like real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from torchport.errors import UnsupportedByTarget
from torchport.targets import targets
from torchport.testing import Case, RunsElsewhere, expected_failure, target_checks

pytest.importorskip("torch")
from torchport.testing.toys import TOYS

from .toys import PARENTS, TOY_TARGETS

TRIED = {
    "ahead": ("mlp", "scripted"),
    "another_cpu": ("mlp",),
    "declining": ("mlp", "picture"),
    "elsewhere": ("mlp",),
    "fixed_sizes": ("mlp", "embedding", "sequence", "picture"),
    "unbatched": ("embedding", "dict_outputs", "picture"),
}
"""Toys that say something of each target; `make long` takes all."""

CASES = [
    pytest.param((target, toy), id=f"{target.name}-{toy}", marks=() if toy in TRIED[target.name] else pytest.mark.long)
    for target in TOY_TARGETS
    for toy in TOYS
]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    target, toy = request.param
    with ExitStack() as known:
        for parent in PARENTS:
            known.enter_context(targets.using(parent.name, parent))
        yield Case(target, TOYS[toy], tmp_path_factory.mktemp(f"{target.name}-{toy}"))


@pytest.mark.parametrize("check", target_checks(), ids=lambda check: check.__name__)
def test_conformance(case: Case, check: Callable[[Case], None], request: pytest.FixtureRequest) -> None:
    reason = expected_failure(case.target, check.__name__, case.toy.name)
    if reason:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    try:
        check(case)
    except UnsupportedByTarget as exc:
        if check.__name__ == "check_export":
            raise
        pytest.skip(f"{case.target.name} declines {case.toy.name}: {exc.message}")
    except RunsElsewhere as exc:
        assert case.target.name in ("another_cpu", "elsewhere")
        pytest.skip(exc.message)
