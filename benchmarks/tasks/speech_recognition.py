"""Whisper tiny.en on ten recordings of people: the Bundle against transformers with a key/value cache.

An item is identical where both transcripts are the same to the letter. The word error rate is jiwer's over all words,
spelled as they are spoken (`ten`, `mister`; case and punctuation apart).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import jiwer
import soundfile
import torch
import whisper_tiny_en
from row import EXACT, FEW, Row, speedup
from tokenizers import Tokenizer

import torchport
from torchport.predict import Predictor
from torchport.tasks.shared.spoken import units

TARGETS = ("onnx", "openvino", "torchscript", "executorch")


def word_error_rate(said: Sequence[str], heard: Sequence[str]) -> float:
    """Wrong words over all words."""
    return float(jiwer.wer([" ".join(units(text)) for text in said], [" ".join(units(text)) for text in heard]))


def rows(short: bool) -> list[Row]:
    """One row; with `short`, three recordings."""
    torch.set_num_threads(1)
    clips = whisper_tiny_en.clips()[: 3 if short else 10]
    model, tokens = whisper_tiny_en.factory(), Tokenizer.from_file(str(whisper_tiny_en.folder() / "tokenizer.json"))
    seconds = sum(soundfile.info(path).duration for path, _ in clips)
    with TemporaryDirectory() as folder:
        bundle, data = Path(folder) / "whisper.tport", whisper_tiny_en.data(Path(folder) / "clips", clips)
        torchport.deploy(
            str(whisper_tiny_en.folder()),
            bundle,
            task="speech-recognition",
            data=data,
            targets=FEW if short else TARGETS,
            keep="all",
            golden="none",
            **EXACT,
        )
        with Predictor(bundle, threads=1) as predictor:

            def deployed() -> list[str]:
                return [predictor.predict(path)["text"] for path, _ in clips]

            def eager() -> list[str]:
                return [
                    tokens.decode(whisper_tiny_en.eager(model, soundfile.read(path, dtype="float32")[0])).strip()
                    for path, _ in clips
                ]

            expected, answer = eager(), deployed()
            slow, fast, ratio = speedup(eager, deployed, 1 if short else 5)
            targets = sorted({variant.artifact.target for variant in predictor.bundle.manifest.variants})
            variant = predictor.variant.id
    said = [text for _, text in clips]
    identical = sum(one == other for one, other in zip(expected, answer, strict=True))
    notes: dict[str, float | str] = {
        "variant": variant,
        "seconds of speech": seconds,
        "real-time factor": fast / seconds,
        "real-time factor, eager": slow / seconds,
    }
    errors = word_error_rate(said, expected), word_error_rate(said, answer)
    return [
        Row(
            "speech-recognition",
            "whisper-tiny-en",
            f"{len(clips)} recordings of pocketsphinx-testdata",
            "WER",
            *errors,
            identical,
            len(clips),
            ratio,
            targets,
            notes,
        )
    ]
