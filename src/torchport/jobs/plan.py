"""`torchport plan`: how many replicas a rate takes, on paper, from the measured time of batches."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import BudgetNotMet, UsageError
from ..figures import milliseconds
from ..predict import Predictor
from ..serve.documents import CurvePoint, LoadPoint, LostPoint, PlanDocument
from ..tasks import Item
from .load_statistics import percentile
from .plan_simulation import Curve, greatest_rate, simulate
from .quantities import milliseconds as typed_ms

SIZES = (1, 2, 4, 8, 16)
"""Batch sizes that are measured, and tried as `--batch`."""

ROUNDS, ROUNDS_S = 40, 0.8
"""Rounds of the measurement at most, and seconds for each batch size, of which five rounds are taken at least."""

LEAST_GAIN = 1.02
"""A greater batch is planned where it takes so many times the requests of a smaller one."""

LOADS = (0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5)

ASSUMED = (
    "requests come at random times (Poisson) and are spread at random over equal replicas",
    "a replica is one process of `torchport serve --instances 1`: a free model takes what waits, up to a batch, and "
    "waits for no company",
    "batches take as long as measured here, also with more replicas on the machine: each has cores of its own",
    "network, TLS and load balancer are not counted",
)


@dataclass(frozen=True)
class Wanted:
    """What is planned for.

    Attributes:
        rate: answers a second.
        p99_ms: within which 99 % of them are to come.
        machine_cores: of one machine; None leaves machines out.
        price: of one core for an hour; None leaves costs out.
    """

    rate: float
    p99_ms: float
    machine_cores: int | None = None
    price: float | None = None


def measure(predictor: Predictor, items: Sequence[Item], tell: Callable[[str], None] = lambda _: None) -> Curve:
    """The time of whole chains, raw bytes to answers, of several batch sizes in turn.

    Raises:
        TorchportError: an item cannot be answered.
    """
    raws = [item.read() for item in items]
    found: dict[int, list[float]] = {size: [] for size in SIZES}
    until = time.perf_counter() + ROUNDS_S * len(SIZES)
    for number in range(ROUNDS + 1):
        if number > 5 and time.perf_counter() > until:
            break
        tell(f"round {number + 1}")
        for size in SIZES:
            group = [raws[(number + at) % len(raws)] for at in range(size)]
            began = time.perf_counter()
            answers = list(predictor.predict_many(group, size))
            took = (time.perf_counter() - began) * 1e3
            for _, error in answers:
                if error is not None:
                    raise error
            if number:  # the first calls are slow
                found[size].append(took)
    medians = {size: statistics.median(times) for size, times in found.items()}
    ordered = {size: max(medians[one] for one in SIZES if one <= size) for size in SIZES}  # more items take no less
    noise = [one / medians[size] for size, times in found.items() for one in times]
    return Curve(ordered, tuple(noise))


def parsed(text: str) -> Curve:
    """A curve as it is typed: `1=5ms,8=30ms`.

    Raises:
        UsageError: it is none, or lacks batch 1.
    """
    ms = {}
    for part in text.split(","):
        size, _, took = part.partition("=")
        if not size.strip().isdigit() or not int(size):
            raise UsageError(f"--curve {text!r} is no curve", "write --curve 1=5ms,8=30ms")
        ms[int(size)] = typed_ms(took, "--curve")
    times = [ms[size] for size in sorted(ms)]
    if 1 not in ms or times != sorted(times):
        raise UsageError(f"--curve {text!r} must begin with batch 1 and not fall", "write --curve 1=5ms,8=30ms")
    return Curve(ms)


def plan(
    wanted: Wanted,
    curve: Curve,
    *,
    bundle: str,
    variant: str,
    threads: int,
    memory_bytes: int | None,
    notes: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> PlanDocument:
    """The fewest replicas, and what becomes of them under more load or with fewer.

    Args:
        threads: cores of one replica.
        memory_bytes: of one replica; None where it is not known.

    Raises:
        BudgetNotMet: not even one request alone is answered in time.
    """
    each, batch = _best(wanted, curve, variant, tell)
    replicas = math.ceil(wanted.rate / each)
    found = simulate(curve, wanted.rate / replicas, batch)
    cores = replicas * threads
    per_machine = wanted.machine_cores // threads if wanted.machine_cores else 0
    if wanted.machine_cores and not per_machine:
        raise UsageError(
            f"a replica takes {threads} cores, a machine has {wanted.machine_cores}", "give fewer --threads"
        )
    return PlanDocument(
        bundle=bundle,
        variant=variant,
        rate=wanted.rate,
        p99_ms=wanted.p99_ms,
        replicas=replicas,
        batch=batch,
        threads=threads,
        cores=cores,
        machines=math.ceil(replicas / per_machine) if per_machine else None,
        memory_bytes=None if memory_bytes is None else replicas * memory_bytes,
        per_replica=round(each, 3),
        expected_p50_ms=round(found.p50, 3),
        expected_p99_ms=round(found.p99, 3),
        mean_batch=round(found.batch, 3),
        busy=round(found.busy, 4),
        cost_per_million=None if wanted.price is None else cores * wanted.price / (wanted.rate * 3600) * 1e6,
        curve=tuple(
            CurvePoint(batch=n, ms=round(ms, 4), per_second=round(1e3 * n / ms, 2)) for n, ms in curve.ms.items()
        ),
        by_load=tuple(_under(curve, wanted.rate, share, replicas, batch) for share in LOADS),
        by_lost=tuple(_without(curve, wanted.rate, replicas, lost, batch) for lost in _losses(replicas)),
        assumptions=ASSUMED,
        notes=tuple(notes),
    )


def _best(wanted: Wanted, curve: Curve, variant: str, tell: Callable[[str], None]) -> tuple[float, int]:
    """The greatest rate of one replica, and the batch size that it takes."""
    alone = percentile(sorted(curve.ms[1] * one for one in curve.noise), 0.99)
    if alone > wanted.p99_ms:
        raise BudgetNotMet(
            f"{variant} takes {milliseconds(alone)} (p99) for one request alone",
            f"ask for more than --p99 {milliseconds(wanted.p99_ms)}, or take a faster variant or more --threads",
        )
    each, batch = 0.0, 1
    for size in SIZES:
        if curve.capacity(size) <= each * LEAST_GAIN:
            continue
        tell(f"batches of up to {size}")
        rate = greatest_rate(curve, wanted.p99_ms, size, least=each)
        if rate > each * LEAST_GAIN:
            each, batch = rate, size
    if not each:
        raise BudgetNotMet(
            f"{variant} answers too little within {milliseconds(wanted.p99_ms)}", "ask for more than that by --p99"
        )
    return each, batch


def _p99(curve: Curve, rate: float, batch: int) -> float | None:
    """None where more comes than can be answered."""
    if rate >= curve.capacity(batch):
        return None
    return round(simulate(curve, rate, batch).p99, 3)


def _under(curve: Curve, rate: float, share: float, replicas: int, batch: int) -> LoadPoint:
    each = rate * share / replicas
    return LoadPoint(rate=round(rate * share, 3), share=share, p99_ms=_p99(curve, each, batch))


def _without(curve: Curve, rate: float, replicas: int, lost: int, batch: int) -> LostPoint:
    return LostPoint(lost=lost, p99_ms=_p99(curve, rate / (replicas - lost), batch))


def _losses(replicas: int) -> list[int]:
    """One replica, two, a tenth and a quarter of them, as far as some are left."""
    return sorted({lost for lost in (1, 2, replicas // 10, replicas // 4) if 0 < lost < replicas})
