"""Recordings: WAV, FLAC, OGG and MP3 bytes to float32 mono at one rate, by blocks so that an hour takes no more memory
than a minute, and back to WAV.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import BadInput, MissingDependency

if TYPE_CHECKING:
    import soundfile

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
MIME = {
    "audio/wav": ".wav",
    "audio/x-wav": ".wav",
    "audio/flac": ".flac",
    "audio/ogg": ".ogg",
    "audio/opus": ".opus",
    "audio/mpeg": ".mp3",
}
_RATES = range(1_000, 768_001)
_BLOCK = 1 << 18  # samples of all channels that are decoded at once


def decode(raw: bytes, rate: int) -> np.ndarray:
    """A whole recording as float32 [samples] at `rate` Hz, its channels mixed to one; see `blocks`."""
    return np.concatenate(list(blocks(raw, rate)))


def blocks(raw: bytes, rate: int) -> Iterator[np.ndarray]:
    """A recording piece by piece, as float32 [samples] at `rate` Hz; the pieces are never empty, and there is at least
    one.

    Channels are mixed by their mean; another rate is resampled by soxr at high quality. Integer samples become -1..1;
    samples of a float file are left as they are, even beyond that. A file that is cut short gives what is there.

    Raises:
        BadInput: no recording, one without samples, or one with a rate beyond 1..768 kHz or with samples that are no
        numbers. MissingDependency: soundfile or soxr is not installed.
    """
    some = False
    with _open(raw) as file:
        size = max(1, _BLOCK // file.channels)
        for piece in _resampled(_mono(file, size), file.samplerate, rate):
            if len(piece):
                some = True
                yield piece
    if not some:
        raise BadInput("the recording has no samples", "give a file that is not cut off in its header")


def windows(pieces: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same samples in arrays of `size`, the last one shorter."""
    held: list[np.ndarray] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        if count >= size:
            joined = np.concatenate(held)
            whole = count - count % size
            yield from joined[:whole].reshape(-1, size)
            held, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(held)


def encode_wav(samples: np.ndarray, rate: int) -> bytes:
    """float [samples] in -1..1 as a mono WAV of 16 bits; what is beyond is clipped."""
    levels = np.round(np.clip(np.nan_to_num(np.asarray(samples, np.float32)), -1, 1) * 32767).astype("<i2")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(levels.tobytes())
    return out.getvalue()


def _open(raw: bytes) -> soundfile.SoundFile:
    if not raw:
        raise BadInput("the recording is empty", "give a WAV, FLAC, OGG or MP3 file")
    try:
        import soundfile
    except (ImportError, OSError) as exc:  # OSError: the package is there, its libsndfile is not
        raise MissingDependency(f"recordings need soundfile: {exc}", "pip install 'torchport[audio]'") from exc
    try:
        file = soundfile.SoundFile(io.BytesIO(raw))
    except (
        soundfile.SoundFileError,
        TypeError,
        ValueError,
    ) as exc:  # TypeError: bytes taken for a file without a header
        raise BadInput(
            f"this is not a recording that can be read: {_reason(exc)}", "give a WAV, FLAC, OGG or MP3 file"
        ) from exc
    if file.samplerate not in _RATES:
        file.close()
        raise BadInput(
            f"the recording has a rate of {file.samplerate} Hz", f"give one between {_RATES[0]} and {_RATES[-1]} Hz"
        )
    return file


def _mono(file: soundfile.SoundFile, size: int) -> Iterator[np.ndarray]:
    """Blocks of at most `size` frames, float32 [frames], the mean of the channels."""
    import soundfile

    while True:
        try:
            block = file.read(size, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as exc:
            raise BadInput(f"the recording is damaged: {_reason(exc)}", "give the whole file") from exc
        if not len(block):
            return
        if not np.isfinite(block).all():
            raise BadInput("the recording has samples that are not numbers", "write it again, as 16-bit samples")
        yield block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)


def _resampled(pieces: Iterable[np.ndarray], source: int, rate: int) -> Iterator[np.ndarray]:
    if source == rate:
        yield from pieces
        return
    try:
        import soxr
    except ImportError as exc:
        raise MissingDependency(
            f"a recording of {source} Hz for a model of {rate} Hz needs soxr: {exc}", "pip install 'torchport[audio]'"
        ) from exc
    stream: Any = soxr.ResampleStream(source, rate, 1, dtype="float32")
    for piece in pieces:
        yield stream.resample_chunk(piece)
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)


def _reason(exc: Exception) -> str:
    return str(exc).strip().rstrip(".").removeprefix("Error opening <_io.BytesIO object at ").split(">: ")[-1]
