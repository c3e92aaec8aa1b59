"""Voice conversion: spectra and back, the chain on recordings of every kind, and what is refused."""

from __future__ import annotations

import io
import shutil
import wave

import numpy as np
import pytest
import soundfile
import torch
import voice_pair
from msgspec.structs import replace

from torchport.errors import BadInput, RunError, UsageError
from torchport.tasks import Item, Pipeline, Plan, tasks
from torchport.tasks.graphs.mel_graph import LogMagnitudes
from torchport.tasks.shared import spectra
from torchport.tasks.shared.audio import encode_wav
from torchport.testing.samples import sample_of

TASK = tasks.get("voice-conversion")
SMALL = {"sample_rate": 8000, "frame": 256, "hop": 64, "bands": 20, "iterations": 8}
needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng is not installed: scripts/system-packages"
)


class Eager:
    """A split graph as a runtime would run it."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.graph = module

    def run(self, feed):
        with torch.no_grad():
            return {
                name: value.numpy()
                for name, value in self.graph(**{name: torch.from_numpy(value) for name, value in feed.items()}).items()
            }


def opened(model: torch.nn.Module, settings, recording: bytes) -> Pipeline:
    facts, _ = TASK.resolve(settings, {})
    split = TASK.split(model, facts, [Item("a", lambda: recording)])
    return Pipeline(
        Plan(TASK, split.facts, TASK.steps(split.facts, None), {}),
        {name: Eager(graph.module) for name, graph in split.graphs.items()},
    )


def tone(seconds: float = 0.5, rate: int = 8000, loud: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (loud * np.sin(2 * np.pi * (200 + 300 * time) * time)).astype(np.float32)


def recording(samples: np.ndarray, rate: int, kind: str = "WAV", subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=kind, subtype=subtype)
    return out.getvalue()


@pytest.fixture(scope="module")
def pipeline():
    return opened(torch.nn.Identity(), SMALL, encode_wav(tone(), 8000))


@pytest.mark.parametrize("seconds", [0.05, 0.5, 1.3])
def test_the_graph_answers_like_numpy(seconds):
    facts, _ = TASK.resolve(SMALL, {})
    samples = spectra.padded(tone(seconds), facts)
    made = LogMagnitudes(facts)(torch.from_numpy(samples))["mel"].numpy()
    assert made.shape == (1, 20, round(seconds * 8000) // 64 + 1)
    assert np.abs(made - spectra.log_mel(samples, facts)).max() < 1e-3


def test_a_spectrum_and_back_is_the_same_speech(pipeline):
    values = pipeline.answer(encode_wav(tone(), 8000))
    facts = replace(pipeline.facts, iterations=60)
    back = spectra.griffin_lim(spectra.magnitudes(values["mel"][0], facts), facts)
    again = spectra.log_mel(spectra.padded(back, facts), facts)
    frames = min(again.shape[2], values["mel"].shape[2])
    heard, wanted = again[0, :, 4 : frames - 4], values["mel"][0, :, 4 : frames - 4]
    assert np.abs(heard - wanted)[wanted > wanted.max() - 3].mean() < 0.2
    assert values["result"]["samples"] == (values["mel"].shape[2] - 1) * 64


def test_more_iterations_come_nearer_and_answers_do_not_change(pipeline):
    magnitudes = np.abs(np.random.default_rng(0).normal(size=(40, 129))).astype(np.float32)

    def apart(**more: float) -> float:
        facts = replace(pipeline.facts, **more)
        signal = spectra.griffin_lim(magnitudes, facts)
        assert (signal == spectra.griffin_lim(magnitudes, facts)).all()
        frames = np.lib.stride_tricks.sliding_window_view(np.pad(signal, 128), 256)[::64] * spectra.hann(256)
        return float(np.abs(np.abs(np.fft.rfft(frames, axis=1)) - magnitudes)[4:-4].mean())

    assert apart(iterations=40) < apart(iterations=40, momentum=0.0) < apart(iterations=0)


def test_the_filters_are_triangles_that_cover_every_frequency():
    filters = spectra.mel_filters(TASK.facts(frame=2048, bands=40))
    assert filters.shape == (40, 1025)
    assert filters.max() <= 1
    between = filters.sum(0)[filters[0].argmax() + 1 : filters[-1].argmax()]
    assert np.abs(between - 1).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("silence", encode_wav(np.zeros(8000), 8000)),
        ("clipped", encode_wav(np.sign(tone()), 8000)),
        ("8 channels at 192 kHz", recording(np.tile(tone(0.5, 192_000)[:, None], 8), 192_000)),
        ("flac", recording(tone(), 8000, "FLAC")),
        ("float wav beyond 1", recording(tone(loud=5), 8000, subtype="FLOAT")),
    ],
)
def test_recordings_of_every_kind_are_answered(pipeline, name, raw):
    values = pipeline.answer(raw)
    assert np.isfinite(values["waveform"]).all()
    assert len(values["result"]["timbre"]) == 20
    with wave.open(io.BytesIO(TASK.save(raw, values, pipeline.facts)[".wav"])) as file:
        assert (file.getframerate(), file.getnframes()) == (8000, values["result"]["samples"])
    if name == "silence":
        assert max(values["result"]["levels"]) < -60
    if name.startswith("8"):
        alone = pipeline.answer(encode_wav(tone(), 8000))
        assert np.abs(np.subtract(values["result"]["timbre"], alone["result"]["timbre"])).max() < 3


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "empty"),
        (b"no recording", "not a recording"),
        (encode_wav(np.zeros(10), 8000), "0.001 seconds"),
        (encode_wav(np.zeros(61 * 8000), 8000), "longer than 60 seconds"),
    ],
)
def test_what_is_no_speech_is_refused(pipeline, raw, said):
    with pytest.raises(BadInput, match=said):
        pipeline.answer(raw)


def test_nan_of_the_model_is_an_error_of_the_runtime(pipeline):
    with pytest.raises(RunError, match="NaN"):
        TASK.host["vocode"]({"converted": np.full((1, 20, 5), np.nan, np.float32)}, pipeline.facts)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hop": 100}, "every 100"),
        ({"frame": 256, "hop": 256}, "twice as long"),
        ({"floor": 0}, "floor is 0"),
        ({"momentum": 2}, "momentum is 2"),
        ({"bands": 0}, "bands is 0"),
    ],
)
def test_impossible_settings_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        TASK.resolve(settings, {})


@pytest.mark.parametrize(
    ("model", "said"),
    [(torch.nn.Linear(3, 3), "does not take"), (torch.nn.Conv1d(20, 20, 3), "it has to answer as many")],
)
def test_a_network_that_does_not_fit_is_refused(model, said):
    with pytest.raises(BadInput, match=said):
        opened(model, SMALL, encode_wav(tone(), 8000))


def test_answers_agree_by_timbre_and_loudness(pipeline):
    result = pipeline.answer(encode_wav(tone(), 8000))["result"]
    assert TASK.agree(result, result)
    assert not TASK.agree({**result, "samples": 3}, result)
    assert not TASK.agree({**result, "timbre": [one + 0.5 for one in result["timbre"]]}, result)
    assert not TASK.agree({**result, "levels": [one + 2 for one in result["levels"]]}, result)
    assert TASK.words(result).startswith("0.50 s of speech")


def test_items_are_the_recordings_of_a_folder(tmp_path):
    sample = sample_of("voice-conversion", tmp_path)
    assert [item.name for item in TASK.items(sample.data, TASK.facts())] == ["0.7.wav", "1.1.wav"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no recording"):
        TASK.items(tmp_path / "empty", TASK.facts())


def test_warping_finds_what_goes_together():
    mel = np.random.default_rng(0).normal(size=(80, 60)).cumsum(1)
    slow = np.repeat(mel, [2 if 20 <= i < 30 else 1 for i in range(60)], axis=1)
    path = voice_pair.align(slow, mel)
    assert np.abs(path - np.repeat(np.arange(60), [2 if 20 <= i < 30 else 1 for i in range(60)])).max() <= 1
    assert voice_pair.distance(slow, mel) < 0.5


@pytest.mark.slow
@needs_espeak
def test_one_voice_becomes_the_other():
    model, text = voice_pair.factory(), voice_pair.sentences(1)[0]
    raw = voice_pair.spoken(text, voice_pair.SOURCE)
    values = opened(model, {}, raw).answer(raw)
    mel, _ = voice_pair.eager(model, voice_pair.samples_of(raw))
    assert np.abs(values["converted"][0] - mel).max() < 1e-3
    target = voice_pair.log_mel(voice_pair.samples_of(voice_pair.spoken(text, voice_pair.TARGET)))[0].numpy()
    assert voice_pair.distance(values["converted"][0], target) < voice_pair.distance(values["mel"][0], target) / 2
