"""Made-up decisions with every status, long names and long reasons, for the tables that people read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchport.deployment.deploy import Outcome
from torchport.targets import targets
from torchport.targets.shared.survey import TargetRow
from torchport.types import Accuracy, Candidate, Choice, Parity, Reference, Timing

PHONES = ("android", "ios")
EVERYWHERE = ("python", "server", "web", "android", "ios")


def row(target: str, recipe: str, ms: float | None = None, size: int | None = None, **more: Any) -> Candidate:
    """One row; without a latency it was never timed."""
    timed = (
        {}
        if ms is None
        else {"latency_ms": Timing(median=ms, p90=ms * 1.1, noise=0.01), "threads": 2, "memory_bytes": 45_300_000}
    )
    known = {} if size is None else {"size_bytes": size, "parity": Parity(ok=True, max_rel=3.1e-6, snr_db=118.0)}
    accuracy = (
        {}
        if size is None
        else {"accuracy": Accuracy(value=0.85, items=20, interval=(-0.161, 0.112), metric="top-1", labelled=True)}
    )
    fields = {
        "id": f"{target}-{recipe}",
        "target": target,
        "recipe": recipe,
        "precision": recipe,
        "profiles": EVERYWHERE,
        **timed,
        **known,
        **accuracy,
        **more,
    }
    return Candidate(**fields)


def _rows() -> tuple[Candidate, ...]:
    return (
        row("openvino", "fp32", 8.4, 18_700_000, status="chosen"),
        row("onnx", "fp32", 9.66, 18_700_000, reason="1.15x the time of openvino-fp32 (9.66 ms against 8.4 ms)"),
        row(
            "onnx",
            "sparse",
            None,
            18_700_000,
            status="rejected",
            same_as="onnx-fp32",
            reason="same as onnx-fp32: the recipe changed nothing in this file",
        ),
        row("executorch", "fp32", 12.9, 18_800_000, profiles=PHONES, reason="does not run on python: for android, ios"),
        row(
            "openvino",
            "int8_weights",
            11.0,
            5_020_000,
            status="rejected",
            reason="top-1 80 % on 20 items is 4.2 points below the 84.2 % asked for; answers in 11 ms, 1 ms (10 %) "
            "over the 10 ms allowed",
        ),
        row(
            "pt2",
            "fp32",
            None,
            18_900_000,
            status="failed",
            reason="parity failed in model: output_0 differs by 2e-02 on photo_07.jpg, allowed is 1e-04",
            parity=Parity(ok=False, max_rel=0.02, snr_db=31.0),
        ),
        row(
            "mobile",
            "fp32",
            status="failed",
            reason="the export to mobile did not finish in 900 s; raise the limit with --limit, or leave this target "
            "out",
        ),
        row(
            "torchscript",
            "int8_static",
            status="absent",
            reason="nncf is not installed: pip install 'torchport[compress]'",
        ),
    )


def deployed() -> Outcome:
    """A deploy of a picture classifier with a row of every kind."""
    rows = _rows()
    why = "openvino-fp32 answers in 8.4 ms with 2 threads; 4.55x faster than the reference; 1.15x faster than onnx-fp32"
    because = (
        "20 items leave a loss of up to 16.1 points open (95 % interval), 0.85 points allowed: about 381 items would "
        "be needed if they go on as these did"
    )
    choice = Choice(
        chosen="openvino-fp32",
        chosen_for={"python": "openvino-fp32"},
        met="not shown",
        why=why,
        met_because=because,
        front=("openvino-fp32",),
        candidates=rows,
    )
    reference = Reference(latency_ms=38.2, accuracy=0.85, size_bytes=18_900_000)
    return Outcome(Path("net.tport"), Path("net.tport/report.html"), choice, reference, None)


def optimised() -> Outcome:
    """A search, with long chains, a test split, and what there was no time for."""
    tested = Accuracy(value=0.871, items=723, interval=(-0.012, 0.004), metric="top-1", labelled=True)
    rows = (
        row("onnx", "prune@0.5+distil+int8_static", 1.91, 412_000, status="chosen", test=tested),
        row(
            "onnx",
            "int8_static+bf16",
            1250.0,
            1_510_000,
            reason="654x the time of onnx-prune@0.5+distil+int8_static (1250 ms against 1.91 ms)",
            test=tested,
        ),
        row(
            "onnx",
            "fp32",
            2.4,
            1_700_000_000,
            reason="1.26x the time of onnx-prune@0.5+distil+int8_static (2.4 ms against 1.91 ms)",
        ),
        row(
            "eager",
            "low_rank@0.25+distil",
            status="rejected",
            reason="top-1 71 % on 300 items is 14 points below the 85 % asked for",
        ),
        row("eager", "prune@0.5+distil+int4_awq@32", status="absent", reason="out of time before it was tried"),
    )
    why = (
        "onnx-prune@0.5+distil+int8_static has the least size of all that keep the budget: 412 kB; answers in 1.91 ms "
        "with 2 threads; the time given was up before all was tried: the best so far"
    )
    because = "on the test split: 723 items leave a loss of up to 1.2 points open (95 % interval), 2 points allowed"
    chosen = rows[0].id
    choice = Choice(
        chosen=chosen,
        chosen_for={"python": chosen},
        met="yes",
        why=why,
        met_because=because,
        front=(chosen,),
        candidates=rows,
    )
    return Outcome(
        Path("my models/模型.tport"),
        Path("my models/模型.tport/report.html"),
        choice,
        Reference(latency_ms=7.5, accuracy=0.85, size_bytes=1_700_000, test_accuracy=0.875),
        None,
    )


def supported() -> list[TargetRow]:
    """The support matrix with made-up versions, one target missing and one broken."""
    rows = []
    for name, entry in targets.entries().items():
        if entry.path.startswith("torchport."):
            target = targets.get(name)
            about = {"name": name, "install": targets.install_hint(name), "about": entry.about}
            rows.append(
                TargetRow(
                    **about,
                    status="ok",
                    version="1.2.3+cpu",
                    reason=None,
                    precisions=target.precisions,
                    profiles=target.profiles,
                )
            )
    absent = {
        "status": "absent",
        "version": None,
        "reason": "No module named 'executorch'",
        "precisions": (),
        "profiles": (),
    }
    broken = {"status": "broken", "version": None, "reason": "loading openvino crashed (SIGSEGV)"}
    return [
        type(r)(**{**_fields(r), **(absent if r.name == "executorch" else broken if r.name == "openvino" else {})})
        for r in rows
    ]


def _fields(one: TargetRow) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__struct_fields__}
