"""The task `speech-recognition`: a recording of any length in, what is said in it out, with times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from msgspec.structs import replace

from ..errors import BadInput, UsageError
from ..types import Signature, Step, Value
from .base import Task
from .calls import Calling, exhaust, perform, shown
from .parts import Driver, HostStep, Item, Session, Split, TaskGraph, Values, told
from .shared import audio, ctc, speaking, spoken, whisper
from .shared.hearing_facts import HearingFacts
from .shared.listening import Hear, Heard, Listener, Listening
from .shared.recordings import list_recordings

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from .pipeline import Pipeline


class Spoken(Value, frozen=True):
    """What was said from `start` to `end`, in seconds."""

    start: float
    end: float
    text: str


class Transcript(Value, frozen=True):
    """All that was said, the same in pieces, and how long the recording is in seconds."""

    text: str
    segments: tuple[Spoken, ...]
    seconds: float


class SpeechRecognition(Task[HearingFacts]):
    """A recording -> what is said in it.

    Takes a Whisper (`transformers.WhisperForConditionalGeneration`), which becomes the graphs `features`, `encoder` and
    `step`, or any model of connectionist temporal classification ([batch, samples] -> [batch, frames, symbols]), which
    becomes the graph `model`.
    """

    name = "speech-recognition"
    about = "a recording -> what is said in it, with times"
    metric = "word accuracy"
    about_data = (
        "One recording; a folder of recordings, each with its transcript in NAME.txt beside NAME.wav; or a CSV file "
        "with the columns file and text."
    )
    about_metric = (
        "word accuracy: 1 minus the word error rate (of characters where a script has no spaces), not below 0. "
        "Without transcripts, the share of recordings transcribed to the letter as by the reference."
    )
    suffixes = audio.SUFFIXES
    mime: ClassVar[Mapping[str, str]] = audio.MIME
    answer = Transcript
    example = "torchport deploy hf:whisper-tiny.en --data recordings -o whisper.tport"
    architectures = ("WhisperForConditionalGeneration", ".*ForCTC")
    facts = HearingFacts
    suspects: ClassVar[tuple[str, ...]] = ("sampling_rate", "language", "tokenizer", "vocabulary", "blank", "normalise")

    def resolve(self, settings: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[HearingFacts, tuple[str, ...]]:
        """As `Task.resolve`; only `sampling_rate` can be assumed wrongly, the rest is stated by the model or has an
        effect that shows.
        """
        facts, assumed = super().resolve(settings, source)
        return facts, tuple(name for name in assumed if name == "sampling_rate")

    def check(self, facts: HearingFacts) -> HearingFacts:
        """A tokenizer opens, and a language is one that the model knows; else UsageError."""
        if facts.family == "whisper":
            whisper.check_language(facts)
        if facts.tokenizer is not None:
            speaking.need_tokenizer("tokenizer", facts.tokenizer)
        return facts

    def ignored(self, facts: HearingFacts) -> dict[str, str]:
        """Facts of the other kind of model."""
        if facts.family == "whisper":
            return {
                **dict.fromkeys(("vocabulary", "blank", "normalise"), "it is of a CTC model, this is a Whisper"),
                **dict.fromkeys(("bands", "window"), "a Whisper states it itself"),
            }
        return dict.fromkeys(
            ("tokenizer", "bands", "frame", "hop", "timestamps", "language"), "it is of a Whisper, this is a CTC model"
        )

    def items(self, data: Path, facts: HearingFacts) -> list[Item]:
        """The user's recordings; see `shared.recordings.list_recordings`."""
        return list_recordings(data)

    def split(self, model: torch.nn.Module | ExportedProgram, facts: HearingFacts, items: Sequence[Item]) -> Split:
        """`encoder` and `step` of a Whisper, `model` of anything else, each fed with the first recording.

        Raises:
            UsageError: no tokenizer, no vocabulary, or a language that the model does not know.
            BadInput: the model is an exported program, or the recording cannot be read.
        """
        import torch

        if not isinstance(model, torch.nn.Module):
            raise BadInput(
                "an exported program cannot be taken apart", "give the module: a Hugging Face folder, or file.py:Name"
            )
        rate = facts.sampling_rate
        samples = next(audio.windows(audio.blocks(items[0].read(), rate), round(facts.window * rate)))
        decoder = getattr(getattr(model, "model", None), "decoder", None)
        return _split_whisper(model, facts, samples) if decoder is not None else _split_ctc(model, facts, samples)

    def steps(self, facts: HearingFacts, model: Signature) -> tuple[Step, ...]:
        """transcribe (decodes the recording by blocks and drives the graphs), present."""
        drives: dict[str, dict[str, str]] = (
            {"features": {}, "encoder": {}, "step": {"cache": "past"}} if facts.family == "whisper" else {"model": {}}
        )
        heard = {"segments": "segments", "seconds": "seconds"}
        return (
            Step(name="transcribe", host="transcribe", drives=drives, inputs={"raw": "raw"}, outputs=heard),
            Step(name="present", host="present", inputs=heard, outputs={"result": "result"}),
        )

    def graphs(self, facts: HearingFacts, model: Signature, items: Sequence[Item]) -> dict[str, TaskGraph]:
        """`features`: float32 [1, samples of a window] -> log-mel, for a Whisper."""
        if facts.family != "whisper":
            return {}
        from .graphs.logmel import LogMel

        samples = np.zeros((1, facts.window_samples), np.float32)
        start = next(audio.windows(audio.blocks(items[0].read(), facts.sampling_rate), samples.shape[1]))
        samples[0, : len(start)] = start
        return {"features": TaskGraph(LogMel(facts).eval(), {"samples": samples})}

    @property
    def host(self) -> Mapping[str, HostStep]:
        """`present`."""
        return {"present": _present}

    @property
    def drivers(self) -> Mapping[str, Driver]:
        """`transcribe`."""
        return {"transcribe": _transcribe}

    def session(self, pipeline: Pipeline) -> Session:
        """A recording that goes on: push float32 [samples] at the model's rate; see `shared.listening.Listening`."""
        facts = pipeline.facts

        def finish(running: Calling[str, Any]) -> Any:
            return exhaust(perform(running, pipeline.call))

        return Listening(
            _listener(facts), facts.sampling_rate, finish, lambda done: _present(_outputs(done), facts)["result"]
        )

    def save(self, raw: bytes, values: Values, facts: HearingFacts) -> dict[str, bytes]:
        """The segments as subtitles (`.srt`)."""
        blocks = [
            f"{i}\n{_clock(one['start'])} --> {_clock(one['end'])}\n{one['text']}\n"
            for i, one in enumerate(values["result"]["segments"], 1)
        ]
        return {".srt": "\n".join(blocks).encode()}

    def score(self, result: Mapping[str, Any], label: Any) -> float:
        """1 - word error rate (of characters where a script has no spaces), not below 0; see `shared.spoken.units` for
        what is compared.
        """
        return spoken.accuracy(result["text"], str(label))

    def agree(self, result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """Whether both transcripts are the same to the letter."""
        return bool(result["text"] == reference["text"])

    def words(self, result: Mapping[str, Any]) -> str:
        """The beginning of what was said."""
        text = result["text"] or "(silence)"
        return text if len(text) <= 80 else text[:77] + "..."

    def lines(self, result: Mapping[str, Any]) -> list[str]:
        """Every segment with its times."""
        return [f"{one['start']:8.2f} {one['end']:8.2f}  {one['text']}" for one in result["segments"]] or ["(silence)"]

    def describe(self, facts: HearingFacts) -> list[str]:
        """The facts in words, a line each; lists of tokens are only counted."""
        return told(
            facts,
            **{
                name: f"{len(value)}"
                for name in ("vocabulary", "languages", "prompt")
                if (value := getattr(facts, name)) is not None and len(value) > 8
            },
        )


def _split_whisper(model: Any, facts: HearingFacts, samples: np.ndarray) -> Split:
    import torch

    from .graphs.logmel import LogMel
    from .graphs.whisper_graphs import DecoderStep, Encoder

    if facts.tokenizer is None:
        raise UsageError("a Whisper needs its tokenizer", "give --set tokenizer=FOLDER/tokenizer.json")
    facts, rules = whisper.told(model, facts)
    whisper.check_language(facts)
    window = np.zeros((1, facts.window_samples), np.float32)
    window[0, : len(samples)] = samples[: window.shape[1]]
    encoder = Encoder(model).eval()
    step = DecoderStep(model, end=facts.end, stamps=facts.stamps, **rules).eval()
    with torch.no_grad():
        features = LogMel(facts)(torch.from_numpy(window))["features"]
        crossed = {name: value.numpy() for name, value in encoder(features).items()}
    rows, heads, width = facts.cache
    begun = {
        "tokens": np.array([facts.prompt[:1] * 2]),
        "begin": np.zeros(1, np.float32),
        "past": np.zeros((rows, heads, 3, width), np.float32),
    }
    dims = {"tokens": {1: "new"}, "past": {2: "held"}}
    bounds: dict[str, tuple[int, int | None]] = {"new": (1, 8), "held": (1, 2 * facts.most_tokens - 8)}
    return Split(
        {
            "encoder": TaskGraph(encoder, {"features": features.numpy()}),
            "step": TaskGraph(step, {**begun, **crossed}, dims, bounds),
        },
        facts,
    )


def _split_ctc(model: torch.nn.Module, facts: HearingFacts, samples: np.ndarray) -> Split:
    from .graphs.ctc_graph import BestPath

    if facts.vocabulary is None:
        raise UsageError(
            "there is no vocabulary",
            "give --set vocabulary=FILE: a vocab.json, or one symbol a line in the order of the model's outputs",
        )
    window = round(facts.window * facts.sampling_rate)
    most = max(window, 2 * ctc.LEAST_SAMPLES)
    example = np.zeros((1, max(len(samples), 2 * ctc.LEAST_SAMPLES)), np.float32)
    example[0, : len(samples)] = samples
    graph = TaskGraph(
        BestPath(model, normalise=facts.normalise).eval(),
        {"samples": example},
        {"samples": {1: "length"}},
        {"length": (ctc.LEAST_SAMPLES, most)},
    )
    return Split({"model": graph}, replace(facts, family="ctc", window_samples=most))


def _transcribe(values: Values, facts: HearingFacts) -> Calling[dict[str, Any], Values]:
    def told(text: str) -> dict[str, Any]:
        return {"text": text.strip()}

    listener = _listener(facts)
    for piece in audio.blocks(values["raw"], facts.sampling_rate):
        yield from shown(listener.take(piece), told)
    yield from shown(listener.flush(), told)
    return _outputs(listener)


def _listener(facts: HearingFacts) -> Listener:
    def by_whisper(samples: np.ndarray, more: bool) -> Calling[str, Heard]:
        return whisper.hear(samples, facts, more=more)

    def by_ctc(samples: np.ndarray, more: bool) -> Calling[str, Heard]:
        return ctc.hear(samples, facts)

    hear: Hear = by_whisper if facts.family == "whisper" else by_ctc
    stamped = facts.family == "whisper" and facts.timestamps and facts.stamps is not None
    return Listener(hear, facts.sampling_rate, facts.window_samples, facts.silence, stamped=stamped)


def _outputs(listener: Listener) -> Values:
    return {"segments": listener.segments, "seconds": listener.seconds}


def _present(values: Values, facts: HearingFacts) -> Values:
    pieces = [
        {"start": round(one.start, 2), "end": round(one.end, 2), "text": one.text.strip()} for one in values["segments"]
    ]
    text = "".join(one.text for one in values["segments"]).strip()
    return {"result": {"text": text, "segments": pieces, "seconds": round(values["seconds"], 2)}}


def _clock(seconds: float) -> str:
    """Seconds as subtitles write them."""
    whole = round(seconds * 1000)
    return f"{whole // 3_600_000:02}:{whole // 60_000 % 60:02}:{whole // 1000 % 60:02},{whole % 1000:03}"
