"""Capacity on paper: the simulation agrees with queues that have formulas, and a plan says what it takes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from torchport.errors import BudgetNotMet, UsageError
from torchport.jobs.plan import Wanted, parsed, plan
from torchport.jobs.plan_simulation import Curve, greatest_rate, simulate
from torchport.serve.documents import PlanDocument


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_a_queue_of_random_durations_is_as_its_formula_says(load: float) -> None:
    """M/M/1: the time in the system is exponential with rate mu - lambda."""
    quantiles = -np.log1p(-(np.arange(20_000) + 0.5) / 20_000)
    found = simulate(Curve({1: 10.0}, tuple(quantiles)), 100 * load, 1)
    assert found.p99 == pytest.approx(10 * math.log(100) / (1 - load), rel=0.15)
    assert found.p50 == pytest.approx(10 * math.log(2) / (1 - load), rel=0.15)
    assert found.busy == pytest.approx(load, rel=0.05)


def test_two_instances_answer_as_the_formula_says() -> None:
    """M/M/2: a share C of the requests waits, and those wait exponentially long."""
    quantiles = -np.log1p(-(np.arange(20_000) + 0.5) / 20_000)
    found = simulate(Curve({1: 10.0}, tuple(quantiles)), 120, 1, instances=2)
    assert found.busy == pytest.approx(0.6, rel=0.05)
    one = simulate(Curve({1: 10.0}, tuple(quantiles)), 60, 1)
    assert found.p99 < one.p99


def test_batches_fill_under_load_and_a_lone_request_waits_for_nobody() -> None:
    curve = Curve({1: 10.0, 8: 24.0})
    idle, busy = simulate(curve, 1, 8), simulate(curve, 280, 8)
    assert idle.p50 == 10 and idle.batch < 1.05
    assert busy.batch > 4 and busy.p99 < 120
    assert curve.capacity(8) == pytest.approx(8000 / 24) and curve.capacity(1) == 100
    assert curve.all(16)[16] == pytest.approx(40) and curve.all(2)[2] == pytest.approx(12)


def test_the_greatest_rate_keeps_the_bound_and_a_greater_one_does_not() -> None:
    curve = Curve({1: 5.0, 8: 30.0})
    rate = greatest_rate(curve, 50, 8)
    assert simulate(curve, rate, 8).p99 <= 50 < simulate(curve, rate * 1.05, 8).p99
    assert greatest_rate(curve, 50, 8, least=2 * rate) == 2 * rate


@pytest.fixture
def short() -> Iterator[None]:
    """Simulations of fewer requests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchport.jobs.plan_simulation.REQUESTS", 4000)
        yield


def planned(rate: float, p99: float, **more: float) -> PlanDocument:
    wanted = Wanted(rate, p99, machine_cores=int(more.get("cores", 16)), price=more.get("price", 0.05))
    curve = parsed("1=5ms,8=30ms,16=58ms")
    return plan(wanted, curve, bundle="a.tport", variant="onnx-fp32", threads=2, memory_bytes=10**8)


def test_a_plan_adds_up(short: None) -> None:
    found = planned(50_000, 50)
    assert found.replicas == math.ceil(50_000 / found.per_replica) and found.cores == 2 * found.replicas
    assert found.machines == math.ceil(found.replicas / 8) and found.memory_bytes == found.replicas * 10**8
    assert found.expected_p99_ms <= 50 * 1.01
    assert found.cost_per_million == pytest.approx(found.cores * 0.05 / (50_000 * 3600) * 1e6)
    times = [one.p99_ms or math.inf for one in found.by_load]
    assert times == sorted(times) and times[-1] > times[0]
    lost = [one.p99_ms or math.inf for one in found.by_lost]
    assert lost == sorted(lost) and found.by_lost[0].lost == 1
    tenfold = planned(500_000, 50)
    assert tenfold.replicas == pytest.approx(10 * found.replicas, abs=10)
    assert planned(1, 50).replicas == 1 and planned(1, 50).by_lost == ()


def test_what_cannot_be_planned_is_said(short: None) -> None:
    with pytest.raises(BudgetNotMet, match=r"5 ms \(p99\) for one request alone"):
        planned(100, 4)
    with pytest.raises(UsageError, match="a replica takes 2 cores"):
        planned(100, 50, cores=1)
    for bad in ("5ms", "8=30ms", "1=5ms,2=4ms", "1=5"):
        with pytest.raises(UsageError, match="--curve"):
            parsed(bad)
