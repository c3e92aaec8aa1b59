"""`torchport plan`: capacity on paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .predict import Threads, Variant, told
from .shared import BundlePath, Json, Progress, Trust, document, note, verb

if TYPE_CHECKING:
    from ..serve.documents import PlanDocument

Rate = Annotated[str, typer.Option(help="Answers that are needed, as in 50000/s.")]
P99 = Annotated[str, typer.Option("--p99", help="Within which 99 % of them are to come, as in 50ms.")]
Cores = Annotated[int | None, typer.Option(min=1, help="Cores of one machine.")]
Price = Annotated[float | None, typer.Option(min=0, help="Of one core for an hour, in any currency.")]
Typed = Annotated[
    str | None, typer.Option("--curve", help="Time of batches, as in 1=5ms,8=30ms; measured here if not given.")
]
Data = Annotated[
    Path | None, typer.Option(help="The task's data to measure with; the golden inputs of the Bundle if not given.")
]


@verb
def run(
    bundle: BundlePath,
    rate: Rate = ...,  # type: ignore[assignment]  # typer's word for what must be given
    p99: P99 = ...,  # type: ignore[assignment]
    cores: Cores = None,
    price: Price = None,
    curve: Typed = None,
    data: Data = None,
    variant: Variant = None,
    threads: Threads = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Say how many replicas, cores and how much memory a rate takes, and how the latency grows with the load."""
    from ..jobs import plan as job
    from ..jobs.load_subjects import items_of
    from ..jobs.quantities import milliseconds, per_second
    from ..predict import Predictor
    from ..system import machine
    from ..timing import memory

    wanted = job.Wanted(per_second(rate, "--rate"), milliseconds(p99, "--p99"), cores, price)
    given = job.parsed(curve) if curve else None
    busy = None if given else machine.busy()
    with Predictor(bundle, variant=variant, threads=threads, trust=trust) as predictor:
        told(predictor)
        used = threads or min(predictor.variant.threads or machine.threads(), machine.usable_cores())
        with Progress() as progress:
            if given is None:
                items = items_of(predictor, data)
                measured = job.measure(predictor, items, lambda row: progress.tell("measure", row))
            found = job.plan(
                wanted,
                given or measured,
                bundle=str(bundle),
                variant=predictor.variant.id,
                threads=used,
                memory_bytes=None if given else memory.peak(),
                notes=[f"measured while {busy}"] if busy else [],
                tell=lambda row: progress.tell("simulate", row),
            )
    if as_json:
        document(found)
    else:
        _show(found)
    for one in found.notes:
        note(f"note: {one}")


def _show(found: PlanDocument) -> None:
    from ..figures import count, milliseconds, number, percent, size
    from . import tables
    from .layout import Column

    def shown(p99: float | None) -> str:
        return "more comes than is answered" if p99 is None else milliseconds(p99)

    where = f", {count(found.machines, 'machine')}" if found.machines else ""
    memory = f", {size(found.memory_bytes)} of memory" if found.memory_bytes else ""
    lines = [
        ("plan", f"{count(found.replicas, 'replica')} of {found.variant}, {count(found.cores, 'core')}{memory}{where}"),
        ("each", f"torchport serve --instances 1 --threads {found.threads} --batch {found.batch}"),
        (
            "expected",
            f"p50 {milliseconds(found.expected_p50_ms)}, p99 {milliseconds(found.expected_p99_ms)}, "
            f"batches of {number(found.mean_batch)}, busy {percent(found.busy, 0)} of the time",
        ),
    ]
    if found.cost_per_million is not None:
        lines.append(("cost", f"{number(found.cost_per_million)} per million answers"))
    tables.said(lines)
    tables.show(
        [
            Column("batch", kept=True, right=True),
            Column("time", kept=True, right=True),
            Column("items/s", kept=True, right=True),
        ],
        [[str(one.batch), milliseconds(one.ms), number(one.per_second)] for one in found.curve],
    )
    rows = [[f"{number(one.rate)}/s ({percent(one.share)})", shown(one.p99_ms)] for one in found.by_load]
    rows += [[f"{count(one.lost, 'replica')} lost", shown(one.p99_ms)] for one in found.by_lost]
    tables.show([Column("load", kept=True), Column("p99", kept=True)], rows)
    tables.said([("assumed", one) if not at else ("", one) for at, one in enumerate(found.assumptions)])
