"""Every target of the table, on every toy, through every check."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from torchport.errors import MissingDependency, UnsupportedByTarget
from torchport.targets import targets
from torchport.testing import Case, expected_failure, required, target_checks

pytest.importorskip("torch")
from torchport.testing.toys import TOYS


@pytest.fixture(scope="module", params=targets.names())
def target_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    try:
        state = targets.get(name).available(build=True)
        reason = state.reason if state.status != "ok" else None
    except MissingDependency as exc:
        reason = exc.message
    if reason:
        (pytest.fail if required(name) else pytest.skip)(f"{name}: {reason}")
    return name


@pytest.fixture(scope="module", params=TOYS)
def case(request: pytest.FixtureRequest, target_name: str, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(
        targets.get(target_name), TOYS[request.param], tmp_path_factory.mktemp(f"{target_name}-{request.param}")
    )


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
