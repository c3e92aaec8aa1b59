"""The Piper voice joe on sentences of BBC news, without noise: the Bundle against transformers.

An item is identical where the waveforms are as long and nowhere further apart than 1e-3. The word error rate is that of
Whisper tiny.en reading the speech back. Both sides phonemise with espeak-ng, and that time counts.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import piper_joe
import torch
from readback import word_error_rate
from row import FEW, Row, speedup

import torchport
from torchport.predict import Predictor

TARGETS = ("onnx", "openvino", "torchscript", "pt2")
TOLERANCE, RATE = 1e-3, 22_050


def rows(short: bool) -> list[Row]:
    """One row; with `short`, three sentences."""
    torch.set_num_threads(1)
    model, texts = piper_joe.factory(), piper_joe.sentences(30)[: 3 if short else 30]
    silent = {"noise_scale": 0, "noise_scale_duration": 0}
    with TemporaryDirectory() as folder:
        bundle = Path(folder) / "joe.tport"
        data = piper_joe.data(Path(folder), 3)
        torchport.deploy(
            model,
            bundle,
            task="speech-synthesis",
            settings={"symbols": piper_joe.symbols(), **silent},
            data=data,
            targets=FEW if short else TARGETS,
            recipes=["fp32"],
        )
        with Predictor(bundle, threads=1) as predictor:

            def deployed() -> list[np.ndarray]:
                return [predictor.values(text.encode())["waveform"] for text in texts]

            def eager() -> list[np.ndarray]:
                return [piper_joe.eager(model, text) for text in texts]

            taken = speedup(eager, deployed, 1 if short else 5)
            said, expected = deployed(), eager()
            passed = sorted(
                {one.target for one in predictor.bundle.manifest.evidence.candidates if one.status in ("chosen", "ok")}
            )
            chosen = predictor.variant.id
    identical = sum(
        a.shape == b.shape and bool(np.abs(a - b).max() <= TOLERANCE) for a, b in zip(said, expected, strict=True)
    )
    seconds = sum(one.size for one in expected) / RATE
    notes: dict[str, float | str] = {
        "variant": chosen,
        "times real time": seconds / taken[1],
        "seconds of speech": seconds,
    }
    apart = (
        max(float(np.abs(a - b).max()) for a, b in zip(said, expected, strict=True) if a.shape == b.shape)
        if identical
        else float("nan")
    )
    wer = [word_error_rate(texts, one, RATE) for one in (expected, said)]
    return [
        Row(
            "speech-synthesis",
            "piper-joe",
            f"{len(texts)} BBC sentences",
            "WER read back",
            *wer,
            identical,
            len(texts),
            taken[2],
            passed,
            {**notes, "greatest difference": apart},
        )
    ]
