"""`torchport loadtest`: LoadGen-style scenarios against a Bundle or a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .predict import Threads, Variant, told
from .shared import Json, Progress, Trust, document, leave, note, verb

if TYPE_CHECKING:
    from ..serve.documents import LoadDocument

Tested = Annotated[
    str, typer.Argument(metavar="BUNDLE|URL", help="A Bundle, or a server as http://HOST/v2/models/NAME.")
]
Scenario = Annotated[str, typer.Option(help="single-stream, multi-stream, server or offline.")]
Qps = Annotated[
    float | None,
    typer.Option(
        min=0.001, help="Queries a second of the scenario server; the greatest rate is searched if not given."
    ),
]
Bound = Annotated[str, typer.Option(help="Within which 99 % of the queries of the scenario server are to be answered.")]
Seconds = Annotated[float, typer.Option(min=0.1, help="How long the measured run takes.")]
Data = Annotated[
    Path | None,
    typer.Option(
        help="The samples: for a Bundle the task's data, else its golden inputs; for a URL files or a folder."
    ),
]
Batch = Annotated[int, typer.Option(min=1, max=1024, help="Samples of one call of the model, at most; of a Bundle.")]
Connections = Annotated[int, typer.Option(min=1, max=4096, help="Requests that are under way at once; of a URL.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the order of samples and the times of queries.")]


@verb
def run(
    subject: Tested,
    scenario: Scenario = "single-stream",
    qps: Qps = None,
    bound: Bound = "15ms",
    seconds: Seconds = 10.0,
    data: Data = None,
    batch: Batch = 16,
    connections: Connections = 32,
    seed: Seed = 0,
    variant: Variant = None,
    threads: Threads = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Put a load on a Bundle or a server: latency from when each query is due, and whether the run can say so."""
    from ..errors import UsageError, did_you_mean
    from ..jobs.load_subjects import InProcess, Remote, Subject, items_of
    from ..jobs.loadtest import SCENARIOS, Asked, loadtest
    from ..jobs.quantities import milliseconds
    from ..predict import Predictor

    if scenario not in SCENARIOS:
        raise UsageError(f"there is no scenario '{scenario}'", did_you_mean(scenario, SCENARIOS))
    if qps is not None and scenario != "server":
        raise UsageError(f"--qps is not for {scenario}", "write --scenario server --qps N")
    asked = Asked(scenario, seconds=seconds, qps=qps, bound_ms=milliseconds(bound, "--bound"), batch=batch, seed=seed)

    def tested(one: Subject) -> LoadDocument:
        try:
            with Progress() as progress:
                return loadtest(one, subject, asked, lambda row: progress.tell("load", row))
        finally:
            one.close()

    if subject.startswith(("http://", "https://")):
        found = tested(Remote(subject, _files(data), connections))
    else:
        with Predictor(subject, variant=variant, threads=threads, trust=trust) as predictor:
            told(predictor)
            found = tested(InProcess(predictor, items_of(predictor, data), batch))
    if as_json:
        document(found)
    else:
        _show(found)
    if not found.valid:
        note(f"error: not valid: {found.why}")
        leave(4)


def _files(data: Path | None) -> list:  # type: ignore[type-arg]  # of Item, which is not loaded yet
    """Every file as a raw sample."""
    from ..jobs.load_subjects import MOST_SAMPLES
    from ..tasks import Item

    if data is None:
        return []
    paths = [data] if data.is_file() else sorted(path for path in data.rglob("*") if path.is_file())
    return [Item(path.name, path.read_bytes) for path in paths[:MOST_SAMPLES]]


def _show(found: LoadDocument) -> None:
    from ..figures import milliseconds, number, percent
    from . import tables

    unit = "samples/s" if found.samples_per_query > 1 or found.scenario == "offline" else "queries/s"
    lines = [
        ("scenario", f"{found.scenario}, {found.name}"),
        (
            "rate",
            f"{number(found.achieved)} {unit}" + (f" of {number(found.asked_qps)} asked" if found.asked_qps else ""),
        ),
    ]
    if found.latency_ms:
        times = found.latency_ms
        shown = [("p50", times.p50), ("p90", times.p90), ("p99", times.p99), ("greatest", times.greatest)]
        lines.append(("latency", ", ".join(f"{name} {milliseconds(value)}" for name, value in shown)))
    if found.estimate_ms is not None and found.share:
        lines.append(
            ("estimate", f"{percent(found.share)} of all are within {milliseconds(found.estimate_ms)} (early stopping)")
        )
    lines.append(("answers", f"{percent(found.agreement, 2)} agree with the first answer to their sample"))
    if found.accuracy is not None:
        lines.append((found.metric or "accuracy", percent(found.accuracy)))
    lines.append(("valid" if found.valid else "not valid", found.why))
    tables.said(lines)
    for one in found.notes:
        note(f"note: {one}")
