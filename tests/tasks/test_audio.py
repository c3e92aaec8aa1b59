"""Recordings: every format to mono at one rate, by blocks; pauses; and what cannot be read says so."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from torchport.errors import BadInput
from torchport.tasks.shared import audio, voice

RATE = 16000


def tone(seconds: float, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def file_of(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", **how) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=kind, **how)
    return out.getvalue()


@pytest.mark.parametrize(("kind", "off"), [("WAV", 1e-4), ("FLAC", 1e-4), ("OGG", 0.05), ("MP3", 0.05)])
def test_every_format_gives_the_same_samples(kind, off):
    samples = tone(1.0)
    heard = audio.decode(file_of(samples, kind=kind), RATE)
    assert heard.dtype == np.float32
    assert len(heard) == len(samples)
    assert np.abs(heard - samples)[:15000].max() < off


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-32767, 32767), min_size=1, max_size=300))
def test_what_is_written_as_wav_is_read_back(levels):
    samples = np.array(levels, np.float32) / 32767
    heard = audio.decode(audio.encode_wav(samples, RATE), RATE)
    assert np.abs(heard - samples).max() < 1 / 32767 + 1e-6


def test_a_written_wav_is_clipped_and_plain():
    with wave.open(io.BytesIO(audio.encode_wav(np.array([2.0, -2.0, 0.0, np.nan]), 22050))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()) == (1, 2, 22050, 4)
        assert np.frombuffer(file.readframes(4), "<i2").tolist() == [32767, -32767, 0, 0]


def test_eight_channels_of_192_khz_are_mixed_and_resampled():
    one = tone(1.0, 192_000)
    raw = file_of(np.stack([one * 2 * i / 7 for i in range(8)], axis=1), 192_000)
    heard = audio.decode(raw, RATE)
    assert abs(len(heard) - RATE) <= 1
    assert np.abs(heard - tone(1.0)[: len(heard)])[500:-500].max() < 1e-3


def test_blocks_are_the_whole_piece_by_piece():
    raw = file_of(tone(40.0, 22050), 22050)
    pieces = list(audio.blocks(raw, RATE))
    assert len(pieces) > 2
    assert np.array_equal(np.concatenate(pieces), audio.decode(raw, RATE))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=10), st.integers(1, 40))
def test_windows_are_the_same_samples_cut_evenly(lengths, size):
    whole = np.arange(sum(lengths), dtype=np.float32)
    found = list(audio.windows(np.split(whole, np.cumsum(lengths)[:-1]), size))
    assert np.array_equal(np.concatenate(found), whole)
    assert [len(one) for one in found[:-1]] == [size] * (len(found) - 1)
    assert 0 < len(found[-1]) <= size


def test_a_wav_cut_short_gives_what_is_there():
    raw = file_of(tone(1.0))
    assert np.array_equal(
        audio.decode(raw[: len(raw) // 2], RATE), audio.decode(raw, RATE)[: (len(raw) // 2 - 44) // 2]
    )


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "empty"),
        (b"this is a text file that somebody named speech.wav\n" * 40, "not a recording"),
        (file_of(tone(1.0))[:30], "not a recording"),
        (file_of(tone(1.0))[:44], "no samples"),
        (file_of(tone(1.0), kind="FLAC")[:3000], "damaged"),
        (file_of(np.array([0.0, np.nan, np.inf]), subtype="FLOAT"), "not numbers"),
        (file_of(tone(0.1, 8000), 100), "100 Hz"),
    ],
    ids=[
        "nothing",
        "a text",
        "half a header",
        "a header",
        "cut",
        "not numbers",
        "too few samples a second",
    ],  # the bytes of one tell the time
)
def test_what_cannot_be_heard_says_why(raw, said):
    with pytest.raises(BadInput, match=said):
        audio.decode(raw, RATE)


def test_speech_is_where_it_is_loud():
    quiet = np.zeros(RATE, np.float32)
    spoken = np.concatenate([quiet, tone(1.0), quiet])
    assert voice.bounds(spoken, RATE, -60) == pytest.approx((1.0, 2.0), abs=0.03)
    assert voice.bounds(quiet, RATE, -60) is None
    assert voice.bounds(1e-4 * tone(1.0), RATE, -60) is None
    assert voice.bounds(np.empty(0, np.float32), RATE, -60) is None


def test_a_recording_is_cut_in_its_quietest_place():
    samples = np.concatenate([tone(2.0), np.zeros(RATE // 2, np.float32), tone(1.0)])
    assert 2.0 <= voice.quietest(samples, RATE, RATE) / RATE <= 2.5
