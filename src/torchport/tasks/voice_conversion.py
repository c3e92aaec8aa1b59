"""The task `voice-conversion`: somebody's speech in, the same words in another voice out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import BadInput, RunError, UsageError, first_line
from ..types import Signature, Step, Value
from .base import Task
from .parts import HostStep, Item, Split, TaskGraph, Values
from .shared import audio, levels, spectra
from .shared.spectra import VoiceFacts

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

_DECIBELS = 20 / np.log(10)  # a natural logarithm of a magnitude, in dB
_TIMBRE_TOLERANCE = 0.2  # dB, of the mean of a band


class Converted(Value, frozen=True):
    """Speech in the other voice.

    Attributes:
        sample_rate, samples, seconds: the waveform's size; the waveform itself is what `--save` writes.
        timbre: mean level of each mel band of the new voice, in dB.
        levels: loudness of each tenth of a second, in dB of full scale.
    """

    sample_rate: int
    samples: int
    seconds: float
    timbre: tuple[float, ...]
    levels: tuple[float, ...]


class VoiceConversion(Task[VoiceFacts]):
    """A recording -> a waveform in another voice, by a network that makes one log-mel spectrogram of another.

    The network takes and answers float32 [1, bands, frames]; the waveform is found by the fast Griffin-Lim algorithm,
    on the host.
    """

    name = "voice-conversion"
    about = "speech -> the same words in another voice"
    metric = "agreement"
    about_data = "One recording, or a folder of recordings. Labels are not used."
    about_metric = (
        "agreement: the share of recordings with as many samples as the reference's answer, every band as loud to 0.2 "
        "dB, every tenth of a second to 1 dB."
    )
    suffixes = audio.SUFFIXES
    mime: ClassVar[Mapping[str, str]] = audio.MIME
    answer = Converted
    example = (
        "torchport deploy net.py:Net --weights net.safetensors --task voice-conversion --data recordings -o voice.tport"
    )
    facts = VoiceFacts

    def resolve(self, settings: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[VoiceFacts, tuple[str, ...]]:
        """As `Task.resolve`; what only the vocoder and the limit need is never assumed."""
        facts, assumed = super().resolve(settings, source)
        return facts, tuple(
            name for name in assumed if name in ("sample_rate", "frame", "hop", "bands", "lowest", "highest", "floor")
        )

    def check(self, facts: VoiceFacts) -> VoiceFacts:
        """See that frames and bands fit each other; raises UsageError."""
        if facts.frame % facts.hop or facts.frame < 2 * facts.hop or facts.frame % 2:
            raise UsageError(
                f"a frame of {facts.frame} samples every {facts.hop}",
                "give an even frame that is a multiple of hop, twice as long or more",
            )
        half, highest = facts.sample_rate / 2, facts.highest
        if highest is not None and highest > half:
            raise UsageError(f"highest is {highest:g} Hz", f"give at most half of sample_rate, {half:g} Hz")
        if facts.lowest >= (highest or half):
            raise UsageError(
                f"lowest is {facts.lowest:g} Hz",
                f"give less than {'highest' if highest else 'half of sample_rate'}, {highest or half:g} Hz",
            )
        return facts

    def items(self, data: Path, facts: VoiceFacts) -> list[Item]:
        """Recordings: a file, or those of a folder.

        Raises:
            BadInput: there is none.
        """
        paths = (
            sorted(
                path
                for path in data.rglob("*")
                if path.suffix.lower() in self.suffixes and not path.name.startswith(".")
            )
            if data.is_dir()
            else [data]
        )
        if not paths or not paths[0].is_file():
            raise BadInput(f"{data} holds no recording", f"recordings end in {', '.join(self.suffixes)}")
        return [
            Item(path.relative_to(data).as_posix() if data.is_dir() else path.name, path.read_bytes) for path in paths
        ]

    def split(self, model: torch.nn.Module | ExportedProgram, facts: VoiceFacts, items: Sequence[Item]) -> Split:
        """`features` (hops of samples -> mel) and `convert`, the source itself.

        Raises:
            BadInput: the source is no module.
        """
        import torch

        from .graphs.mel_graph import Converter, LogMagnitudes

        if not isinstance(model, torch.nn.Module):
            raise BadInput(
                "voice-conversion captures for any length itself", "give the module, not an exported program"
            )
        samples = spectra.padded(_samples(items[0].read(), facts)[: 4 * facts.sample_rate], facts)
        mel = spectra.log_mel(samples, facts)
        most = facts.max_seconds * facts.sample_rate
        converter = Converter(model).eval()
        _check_shape(converter, mel)
        hops: dict[str, tuple[int, int | None]] = {
            "hops": (facts.frame // facts.hop + 1, (most + facts.frame) // facts.hop)
        }
        return Split(
            {
                "features": TaskGraph(
                    LogMagnitudes(facts).eval(), {"samples": samples}, {"samples": {0: "hops"}}, hops
                ),
                "convert": TaskGraph(
                    converter, {"mel": mel}, {"mel": {2: "frames"}}, {"frames": (2, most // facts.hop + 1)}
                ),
            },
            facts,
        )

    def steps(self, facts: VoiceFacts, model: Signature) -> tuple[Step, ...]:
        """decode, features, convert, vocode, present."""
        return (
            Step(name="decode", host="decode", inputs={"raw": "raw"}, outputs={"samples": "samples"}),
            Step(name="features", graph="features", inputs={"samples": "samples"}, outputs={"mel": "mel"}),
            Step(name="convert", graph="convert", inputs={"mel": "mel"}, outputs={"converted": "converted"}),
            Step(name="vocode", host="vocode", inputs={"converted": "converted"}, outputs={"waveform": "waveform"}),
            Step(
                name="present",
                host="present",
                inputs={"waveform": "waveform", "converted": "converted"},
                outputs={"result": "result"},
            ),
        )

    @property
    def host(self) -> Mapping[str, HostStep]:
        """`decode`, `vocode`, `present`."""
        return {"decode": _decode, "vocode": _vocode, "present": _present}

    def save(self, raw: bytes, values: Values, facts: VoiceFacts) -> dict[str, bytes]:
        """The waveform as `.wav`, 16 bits."""
        return {".wav": audio.encode_wav(values["waveform"], facts.sample_rate)}

    def score(self, result: Mapping[str, Any], label: Any) -> float:
        """Recordings carry no label: every answer that agrees counts, see `agree`."""
        return 1.0

    def agree(self, result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """As many samples, every band as loud within 0.2 dB on average, every tenth of a second within 1 dB."""
        if result["samples"] != reference["samples"]:
            return False
        apart = np.abs(np.asarray(result["timbre"]) - np.asarray(reference["timbre"])).max()
        return bool(apart <= _TIMBRE_TOLERANCE) and levels.alike(result["levels"], reference["levels"])

    def words(self, result: Mapping[str, Any]) -> str:
        """How long it is, and how loud at most."""
        return f"{result['seconds']:.2f} s of speech, up to {max(result['levels']):.0f} dB"


def _check_shape(converter: torch.nn.Module, mel: np.ndarray) -> None:
    """Raises BadInput where the network does not answer a spectrogram of the same shape."""
    import torch

    try:
        with torch.no_grad():
            made = converter(torch.from_numpy(mel))["converted"]
    except Exception as exc:  # a network fails in ways of its own
        raise BadInput(
            f"the network does not take float32 {list(mel.shape)}: {first_line(exc, kind=False)[:100]}",
            "set bands, or give a network of one log-mel spectrogram",
        ) from exc
    if tuple(made.shape) != mel.shape:
        raise BadInput(
            f"the network makes {list(made.shape)} of {list(mel.shape)}",
            "it has to answer as many bands and frames as it takes",
        )


def _samples(raw: bytes, facts: VoiceFacts) -> np.ndarray:
    """float32 [samples] at the facts' rate; raises BadInput for what cannot be decoded, is shorter than a frame or
    longer than `max_seconds`.
    """
    rate, most = facts.sample_rate, facts.max_seconds * facts.sample_rate
    parts, count = [], 0
    for part in audio.blocks(raw, rate):
        parts.append(part)
        count += part.size
        if count > most:
            raise BadInput(f"the recording is longer than {facts.max_seconds} seconds", "cut it, or raise max_seconds")
    if count < facts.frame:
        raise BadInput(f"the recording has {count / rate:.3f} seconds", f"give at least {facts.frame / rate:.3f}")
    return np.concatenate(parts)


def _decode(values: Values, facts: VoiceFacts) -> Values:
    return {"samples": spectra.padded(_samples(values["raw"], facts), facts)}


def _vocode(values: Values, facts: VoiceFacts) -> Values:
    mel = np.asarray(values["converted"][0], np.float32)
    if not np.isfinite(mel).all():
        raise RunError("the model answered NaN", "check the weights, or use a variant of a higher precision")
    return {"waveform": spectra.griffin_lim(spectra.magnitudes(np.minimum(mel, 12), facts), facts)}


def _present(values: Values, facts: VoiceFacts) -> Values:
    waveform, rate = values["waveform"], facts.sample_rate
    timbre = [round(float(one), 3) for one in _DECIBELS * values["converted"][0].mean(axis=1)]
    result = {"sample_rate": rate, "samples": int(waveform.size), "seconds": round(waveform.size / rate, 3)}
    return {"result": {**result, "timbre": timbre, "levels": levels.decibels(waveform, rate)}}
