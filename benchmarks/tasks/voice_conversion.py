"""One espeak-ng voice made another: the Bundle against plain PyTorch, on sentences that the network has not heard.

The metric is the distance of the converted log-mel spectrogram from the other voice saying the same, aligned, in dB;
`before` is that of the speech as it was. An item is identical where the spectrograms are nowhere further apart than
1e-3. Waveforms are not compared: Griffin and Lim's algorithm starts from any phases and ends in one of many signals.
Both sides run it, and that time counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import voice_pair
from readback import word_error_rate
from row import FEW, Row, speedup

import torchport
from torchport.predict import Predictor

TARGETS = ("onnx", "openvino", "torchscript", "pt2")
TOLERANCE = 1e-3


def rows(short: bool) -> list[Row]:
    """One row; with `short`, three sentences."""
    torch.set_num_threads(1)
    model, texts = voice_pair.factory(), voice_pair.sentences(3 if short else 20)
    recordings = [voice_pair.spoken(text, voice_pair.SOURCE) for text in texts]
    with TemporaryDirectory() as folder:
        bundle = Path(folder) / "voice.tport"
        torchport.deploy(
            model,
            bundle,
            task="voice-conversion",
            data=voice_pair.data(Path(folder) / "data", 3),
            targets=FEW if short else TARGETS,
            recipes=["fp32"],
        )
        with Predictor(bundle, threads=1) as predictor:

            def deployed() -> list[tuple[np.ndarray, np.ndarray]]:
                made = [predictor.values(recording) for recording in recordings]
                return [(values["converted"][0], values["waveform"]) for values in made]

            def eager() -> list[tuple[np.ndarray, np.ndarray]]:
                return [voice_pair.eager(model, voice_pair.samples_of(recording)) for recording in recordings]

            taken = speedup(eager, deployed, 1 if short else 5)
            made, expected = deployed(), eager()
            passed = sorted(
                {one.target for one in predictor.bundle.manifest.evidence.candidates if one.status in ("chosen", "ok")}
            )
            chosen = predictor.variant.id
    identical = sum(
        a[0].shape == b[0].shape and bool(np.abs(a[0] - b[0]).max() <= TOLERANCE)
        for a, b in zip(made, expected, strict=True)
    )
    before = [voice_pair.log_mel(voice_pair.samples_of(recording))[0].numpy() for recording in recordings]
    notes: dict[str, float | str] = {"variant": chosen, "before": _distance(texts, before)}
    notes |= {"greatest difference": max(float(np.abs(a[0] - b[0]).max()) for a, b in zip(made, expected, strict=True))}
    heard = {
        "before": [voice_pair.samples_of(one) for one in recordings],
        "eager": [one[1] for one in expected],
        "deployed": [one[1] for one in made],
    }
    notes |= {
        f"WER read back, {name}": word_error_rate(texts, spoken, voice_pair.RATE) for name, spoken in heard.items()
    }
    figures = [_distance(texts, [one[0] for one in answers]) for answers in (expected, made)]
    return [
        Row(
            "voice-conversion",
            "voice-pair",
            f"{len(texts)} espeak-ng sentences",
            "log-mel distance, dB",
            *figures,
            identical,
            len(texts),
            taken[2],
            passed,
            notes,
        )
    ]


def _distance(texts: Sequence[str], mels: Sequence[np.ndarray]) -> float:
    """Mean distance from the second voice saying the same."""
    wanted = [
        voice_pair.log_mel(voice_pair.samples_of(voice_pair.spoken(text, voice_pair.TARGET)))[0].numpy()
        for text in texts
    ]
    return float(np.mean([voice_pair.distance(mel, other) for mel, other in zip(mels, wanted, strict=True)]))
