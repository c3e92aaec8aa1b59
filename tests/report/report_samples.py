"""Made-up but plausible figures for the report: every status, every kind of missing value."""

from __future__ import annotations

import io
import random
from typing import Any

from PIL import Image

from torchport.report import Answer, PictureRow, ReportData, Skipped
from torchport.types import Accuracy, Candidate, Choice, OutputParity, Parity, Reference, Timing, Used

ITEMS = 20


def timing(ms: float, seed: int = 0, rounds: int = 7, calls: int = 15) -> Timing:
    """Raw times around a median, with a slow call now and then, as a shared machine gives."""
    rng = random.Random(seed)
    raw = tuple(
        tuple(ms * drift * (1 + abs(rng.gauss(0, 0.03)) + (rng.random() < 0.05) * 0.3) for _ in range(calls))
        for drift in (rng.gauss(1, 0.015) for _ in range(rounds))
    )
    flat = sorted(x for one in raw for x in one)
    return Timing(median=flat[len(flat) // 2], p90=flat[len(flat) * 9 // 10], noise=0.017, rounds=raw)


def parity(max_rel: float, tolerance: float = 1e-4, **more: Any) -> Parity:
    ok = max_rel <= tolerance
    snr = None if max_rel == 0 else 118.4 if ok else 31.0
    outputs = tuple(
        OutputParity(stage=s, output=o, max_rel=m, snr_db=snr, ok=ok, tolerance=tolerance, items=ITEMS)
        for s, o, m in (("preprocess", "pixels", 0.0), ("model", "output_0", max_rel))
    )
    return Parity(ok=ok, max_rel=max_rel, snr_db=snr, outputs=outputs, **more)


def candidate(name: str, ms: float, size: int, **more: Any) -> Candidate:
    target, _, recipe = name.partition("-")
    facts: dict[str, Any] = {
        "precision": "fp16" if "16" in recipe else "fp32",
        "threads": 2,
        "by_threads": {"1": timing(ms * 1.6, 1), "2": timing(ms, 2)},
        "profiles": ("python", "server"),
        "size_bytes": size,
        "download_bytes": int(size * 0.93),
        "memory_bytes": 61_000_000,
        "latency_ms": timing(ms, 2),
        "accuracy": Accuracy(value=0.85, items=ITEMS, interval=(-0.161, 0.161), metric="top-1", labelled=True),
        "agreement": 1.0,
        "parity": parity(3.1e-6),
        "used": Used(library=target, version="1.32.0", provider="CPUExecutionProvider", precision="fp32", threads=2),
    }
    return Candidate(id=name, target=target, recipe=recipe, **{**facts, **more})


def candidates() -> tuple[Candidate, ...]:
    worse = Accuracy(value=0.80, items=ITEMS, interval=(-0.236, 0.112), metric="top-1", labelled=True)
    names = "threads size_bytes download_bytes memory_bytes latency_ms accuracy agreement parity used"
    nothing = dict.fromkeys(names.split())
    return (
        candidate("openvino-fp32", 8.4, 18_730_000, status="chosen"),
        candidate(
            "openvino-fp16",
            8.5,
            9_420_000,
            accuracy=worse,
            agreement=0.95,
            status="rejected",
            reason="accuracy 80 % is 5 points below fp32, allowed is 0.85",
        ),
        candidate("onnx-fp32", 9.7, 18_700_000, reason="15 % slower than openvino-fp32"),
        candidate(
            "executorch-fp32",
            8.0,
            18_800_000,
            profiles=("android", "ios"),
            reason="needs torch in Python: cannot win for python",
            notes=("batch up to 8",),
        ),
        candidate(
            "torchscript-fp32",
            19.0,
            19_100_000,
            reason="needs torch: cannot win for python",
            notes=("traced: scripting failed on a named tuple",),
        ),
        candidate(
            *("mobile-fp32", 33.0, 18_900_000),
            profiles=("android", "ios"),
            reason="needs torch: cannot win for python",
            notes=("this build of PyTorch has no XNNPACK",),
        ),
        candidate(
            "pt2-fp32",
            24.0,
            18_900_000,
            status="rejected",
            parity=parity(2e-2, stage="model", reason="output_0 differs by 2e-02, allowed is 1e-04"),
        ),
        candidate(
            *("ncnn-fp32", 1.0, 1),
            status="absent",
            reason="ncnn is not installed: pip install 'torchport[ncnn]'",
            by_threads={},
            **nothing,
        ),
        candidate(
            *("mnn-fp32", 1.0, 1),
            status="failed",
            reason="the converter crashed (SIGSEGV); see mnn-fp32.log",
            by_threads={},
            **nothing,
        ),
    )


def choice(**more: Any) -> Choice:
    facts: dict[str, Any] = {
        "chosen": "openvino-fp32",
        "chosen_for": {
            "python": "openvino-fp32",
            "server": "openvino-fp32",
            "android": "executorch-fp32",
            "web": "onnx-fp32",
        },
        "met": "not shown",
        "why": "openvino-fp32 is the fastest that runs without PyTorch; onnx-fp32 is 15 % slower.",
        "met_because": "20 items cannot show a loss of 1 %: about 381 would be needed.",
        "front": ("openvino-fp32", "onnx-fp32", "executorch-fp32"),
        "candidates": candidates(),
    }
    return Choice(**{**facts, **more})


def thumbnail(colour: str = "teal") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (96, 72), colour).save(out, "JPEG")
    return out.getvalue()


def pictures(thumbnails: list[bytes] | None = None) -> tuple[PictureRow, ...]:
    made = thumbnails or [thumbnail("teal"), thumbnail("tomato"), thumbnail("olive")]
    ids = [c.id for c in candidates() if c.parity is not None]
    rows = []
    for i, picture in enumerate(made):
        answers = dict.fromkeys(ids, Answer(text="tabby cat 81.3 %", same=True))
        if i == 1:
            answers["openvino-fp16"] = Answer(text="tiger cat 44.0 %", same=False)
        rows.append(
            PictureRow(
                name=f"photo_{i:02d}.jpg",
                label="tabby cat",
                thumbnail=picture,
                reference="tabby cat 81.2 %",
                right=i != 2,
                answers=answers,
            )
        )
    return tuple(rows)


def sample(**more: Any) -> ReportData:
    """A complete report's data, any field replaced by keyword."""
    facts: dict[str, Any] = {
        "title": "efficientnet-lite0",
        "task": "image-classification",
        "facts": (
            "shortest side to 256 by bicubic, centre crop 224",
            "normalised as (x - 127) / 128",
            "RGB",
            "softmax, top 5",
        ),
        "assumed": ("interpolation", "resize"),
        "choice": choice(),
        "reference": Reference(latency_ms=38.2, accuracy=0.85, size_bytes=18_900_000, latency=timing(38.2, 9)),
        "budget": "accuracy at least 99 % of fp32",
        "machine": {
            "cpu": "AMD EPYC 9B14",
            "usable_cores": 2,
            "instruction_sets": ["avx2", "avx512f", "avx512_vnni"],
            "memory_bytes": 16_000_000_000,
            "os": "Linux 6.1",
        },
        "versions": {"torchport": "0.1.0", "torch": "2.13.0", "openvino": "2026.4.1", "onnxruntime": "1.32.0"},
        "source": {"kind": "factory", "name": "net.py:build", "weights": {"file": "lite0.pth", "sha256": "9f2c" * 16}},
        "command": "torchport deploy net.py:build --weights lite0.pth --task image-classification --data photos -o "
        "efficientnet-lite0.tport",
        "pictures": pictures(),
        "skipped": (
            Skipped(what="ncnn", why="not installed"),
            Skipped(what="postprocess on mobile", why="the lite interpreter runs the model only"),
        ),
        "stages": {"host resize / preprocess graph": parity(0.0)},
    }
    return ReportData(**{**facts, **more})
