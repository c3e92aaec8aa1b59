"""Every task of the table, with its sample, through every check; a task without a sample fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("torch")

from torchport.tasks import tasks
from torchport.testing import samples
from torchport.testing.task_conformance import TaskCase, task_checks


def test_every_task_has_a_sample():
    assert samples.names() == tasks.names()


@pytest.fixture(scope="module", params=samples.names())
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TaskCase:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "sample").mkdir()
    return TaskCase(samples.sample_of(request.param, folder / "sample"), folder)


@pytest.mark.parametrize("check", task_checks(), ids=lambda check: check.__name__)
def test_conformance(case: TaskCase, check: Callable[[TaskCase], None]) -> None:
    check(case)
