"""The task `speech-synthesis`: a text in, speech out; its length is what the model makes of the text."""

from __future__ import annotations

import base64
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from msgspec.structs import replace

from ..errors import BadInput, RunError, UsageError
from ..types import Signature, Step, Value
from .base import Task
from .calls import Call, Calling, shown
from .parts import Driver, HostStep, Item, Split, TaskGraph, Values, told
from .shared import audio, levels, phonemes, texts
from .shared.speech_facts import MAX_FRAMES, MAX_TOKENS, SpeechFacts, rate_of, with_model

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


class Speech(Value, frozen=True):
    """What was said.

    Attributes:
        sample_rate, samples, seconds: the waveform's size; the waveform itself is what `--save` writes.
        phonemes: the symbols that were said, by the phonemiser or as written.
        unspoken: distinct symbols that the model does not have, and that were left out.
        levels: loudness of each tenth of a second, in dB of full scale.
    """

    sample_rate: int
    samples: int
    seconds: float
    phonemes: str
    unspoken: str
    levels: tuple[float, ...]


class SpeechSynthesis(Task[SpeechFacts]):
    """A text -> a waveform, by a VITS model: Hugging Face folders of `VitsModel`, or Piper voices read into one."""

    name = "speech-synthesis"
    about = "a text -> speech"
    metric = "agreement"
    about_data = (
        "One text file; a table with a column text (.csv, .tsv, or .jsonl of objects); or a folder with one such table "
        "or with text files. Labels are not used."
    )
    about_metric = (
        "agreement: the share of texts said with the reference's phonemes, in as many samples, as loud to 1 dB in "
        "every tenth of a second."
    )
    suffixes = texts.SUFFIXES
    mime: ClassVar[Mapping[str, str]] = texts.MIME
    answer = Speech
    example = (
        "torchport deploy hf:mms-tts-eng --data sentences.jsonl -o voice.tport && torchport predict voice.tport --text "
        "'Hello.' --save said"
    )
    architectures: ClassVar[tuple[str, ...]] = ("VitsModel",)
    facts = SpeechFacts

    def resolve(self, settings: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[SpeechFacts, tuple[str, ...]]:
        """As `Task.resolve`; what a Piper voice's configuration states counts as stated by the source. What does not
        alter speech is never assumed.
        """
        table = settings.get("symbols", source.get("symbols"))
        if isinstance(table, str | Path):
            table, stated = phonemes.read_symbols(Path(table))
            source = {**source, **stated, "symbols": table}
            settings = {name: value for name, value in settings.items() if name != "symbols"}
        facts, assumed = super().resolve(settings, source)
        return facts, tuple(name for name in assumed if name in ("phonemiser", "lowercase", "before", "blank", "after"))

    def check(self, facts: SpeechFacts) -> SpeechFacts:
        """Ids are of the table of symbols, and phonemes of a language; else UsageError."""
        if not facts.symbols:
            raise UsageError(
                "there is no table of symbols",
                "give --set symbols=vocab.json (symbol -> id), or a Piper voice's .onnx.json",
            )
        if facts.phonemiser == "espeak" and facts.language is None:
            raise UsageError("phonemes of which language?", "give --set language=en-us; espeak-ng --voices lists them")
        for name, ids in (("before", facts.before), ("after", facts.after), ("blank", (facts.blank,))):
            if not set(ids) <= {None, *facts.symbols.values()}:
                raise UsageError(f"{name}={[*ids]} is not a list of symbol ids", f"such as {name}=[0]")
        return facts

    def ignored(self, facts: SpeechFacts) -> dict[str, str]:
        """A language where nothing is phonemised, and the rhythm's noise of a model whose rhythm is fixed."""
        found = {} if facts.phonemiser == "espeak" else {"language": f"phonemiser is {facts.phonemiser}"}
        return found | ({} if facts.draws is not False else {"noise_scale_duration": "the model's rhythm is fixed"})

    def override(self, facts: SpeechFacts, changes: Mapping[str, Any], *, in_graph: bool = False) -> SpeechFacts:
        """As `Task.override`; the voice is one of the model's."""
        made = super().override(facts, changes, in_graph=in_graph)
        if made.speaker >= facts.speakers:
            raise UsageError(f"speaker is {made.speaker}", f"the model has {facts.speakers}, counted from 0")
        return made

    def items(self, data: Path, facts: SpeechFacts) -> list[Item]:
        """Texts; see `shared.texts.items_of`."""
        return texts.items_of(data)

    def split(self, model: torch.nn.Module | ExportedProgram, facts: SpeechFacts, items: Sequence[Item]) -> Split:
        """`text` and `speech`; facts that nobody gave come from the model's configuration.

        Raises:
            BadInput: the source is no `VitsModel`.
        """
        from .graphs import vits

        config: Any = getattr(model, "config", None)
        if getattr(config, "model_type", None) != "vits":
            raise BadInput(
                f"speech-synthesis takes a VitsModel, this is {type(model).__name__}",
                "give a Hugging Face folder, or a factory of transformers.VitsModel",
            )
        facts = with_model(facts, config)
        ready = vits.prepared(model)
        facts = replace(facts, reach=vits.reach(ready))
        text, speech = vits.Text(ready).eval(), vits.Speech(ready).eval()
        spoken = phonemes.speak(_text(items[0].read(), facts), facts)[0]
        feed = _text_feed(np.array(spoken.ids, np.int64), facts, np.random.default_rng(0))
        latents = np.random.default_rng(0).normal(size=(1, config.flow_size, 50)).astype(np.float32)
        lengths = {name: {array.ndim - 1: "symbols"} for name, array in feed.items() if name != "speaker"}
        return Split(
            {
                "text": TaskGraph(text, feed, lengths, {"symbols": (2, MAX_TOKENS)}),
                "speech": TaskGraph(
                    speech,
                    {"latents": latents, **_speaker(facts)},
                    {"latents": {2: "frames"}},
                    {"frames": (2, MAX_FRAMES)},
                ),
            },
            facts,
        )

    def steps(self, facts: SpeechFacts, model: Signature) -> tuple[Step, ...]:
        """decode, symbols, speak (drives `text` and `speech`), present."""
        return (
            Step(name="decode", host="decode", inputs={"raw": "raw"}, outputs={"text": "text"}),
            Step(
                name="symbols",
                host="symbols",
                inputs={"text": "text"},
                outputs={"ids": "ids", "sizes": "sizes", "phonemes": "phonemes", "unspoken": "unspoken"},
            ),
            Step(
                name="speak",
                host="speak",
                drives={"text": {}, "speech": {}},
                inputs={"ids": "ids", "sizes": "sizes"},
                outputs={"waveform": "waveform"},
            ),
            Step(
                name="present",
                host="present",
                inputs={"waveform": "waveform", "phonemes": "phonemes", "unspoken": "unspoken"},
                outputs={"result": "result"},
            ),
        )

    @property
    def host(self) -> Mapping[str, HostStep]:
        """`decode`, `symbols`, `present`."""
        return {"decode": _decode, "symbols": _symbols, "present": _present}

    @property
    def drivers(self) -> Mapping[str, Driver]:
        """`speak`: ids -> waveform, yielding `{"seconds", "pcm"}` as pieces are done: base64 of 16-bit little-endian
        samples.
        """
        return {"speak": _speak}

    def save(self, raw: bytes, values: Values, facts: SpeechFacts) -> dict[str, bytes]:
        """The waveform as `.wav`, 16 bits."""
        return {".wav": audio.encode_wav(values["waveform"], int(rate_of(facts)))}

    def score(self, result: Mapping[str, Any], label: Any) -> float:
        """Speech carries no label: every answer that agrees counts, see `agree`."""
        return 1.0

    def agree(self, result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """The same phonemes in as many samples, and as loud within 1 dB in every tenth of a second."""
        same = all(result[name] == reference[name] for name in ("phonemes", "samples"))
        return same and levels.alike(result["levels"], reference["levels"])

    def words(self, result: Mapping[str, Any]) -> str:
        """How long it is, and what is said."""
        said = result["phonemes"]
        return f"{result['seconds']:.2f} s: {said if len(said) <= 60 else said[:57] + '...'}"

    def describe(self, facts: SpeechFacts) -> list[str]:
        """The facts in words, a line each; symbols are only counted."""
        return told(facts, symbols=f"{len(facts.symbols)}")


def _decode(values: Values, facts: SpeechFacts) -> Values:
    return {"text": _text(values["raw"], facts)}


def _text(raw: bytes, facts: SpeechFacts) -> str:
    """Raises BadInput for a text that is empty, not UTF-8, or longer than `max_chars`."""
    most = facts.max_chars
    if len(raw) <= 4 * most:  # else it is too long however it is written
        text = texts.decode(raw)
        if len(text) <= most:
            return text
    raise BadInput(
        f"a text of {len(raw)} bytes is too long", f"give at most {most} characters at a time, or raise max_chars"
    )


def _symbols(values: Values, facts: SpeechFacts) -> Values:
    spoken = phonemes.speak(values["text"], facts)
    return {
        "ids": np.concatenate([np.array(one.ids, np.int64) for one in spoken]),
        "sizes": np.array([len(one.ids) for one in spoken], np.int64),
        "phonemes": " ".join(one.symbols for one in spoken),
        "unspoken": "".join(sorted(set[str]().union(*(one.unspoken for one in spoken)))),
    }


def _speak(values: Values, facts: SpeechFacts) -> Calling[dict[str, Any], Values]:
    """Say the pieces one after the other; noise is drawn anew for each from the seed, so that a piece sounds the same
    wherever it stands.
    """
    rate, count = rate_of(facts), 0
    parts: list[np.ndarray] = []

    def told(part: np.ndarray) -> dict[str, Any]:
        nonlocal count
        parts.append(part)
        count += part.size
        pcm = (np.clip(np.nan_to_num(part), -1, 1) * 32767).astype("<i2").tobytes()
        return {"seconds": round(count / rate, 3), "pcm": base64.b64encode(pcm).decode()}

    for ids in np.split(values["ids"], np.cumsum(values["sizes"])[:-1]):
        if parts:
            parts.append(np.zeros(round(facts.pause * rate), np.float32))
        latents = yield from _latents(ids, facts)
        yield from shown(_waveform(latents, facts), told)
    return {"waveform": np.concatenate(parts)}


def _latents(ids: np.ndarray, facts: SpeechFacts) -> Generator[Call, Any, np.ndarray]:
    """float32 [latents, frames]: every symbol's prior, as often as its duration says, and noise."""
    draw = np.random.default_rng(facts.seed)
    prior = yield Call("text", _text_feed(ids, facts, draw))
    durations = np.ceil(np.exp(prior["log_durations"][0].astype(np.float32)) * np.float32(facts.length_scale))
    if not np.isfinite(durations).all() or durations.sum() > 100 * facts.max_frames:
        raise RunError(
            "the model gives symbols no sensible duration",
            "check the symbols and the facts of the text, or use a variant of a higher precision",
        )
    counts = np.maximum(durations.astype(np.int64), 0)
    means, scales = (np.repeat(prior[name][0], counts, axis=0).T for name in ("means", "log_scales"))
    if means.shape[1] < 2:
        means, scales = np.resize(means, (len(means), 2)), np.resize(scales, (len(means), 2))
    if not facts.noise_scale:
        return np.ascontiguousarray(means)
    noise = draw.standard_normal(means.shape, np.float32)
    made: np.ndarray = means + noise * np.exp(scales) * np.float32(facts.noise_scale)
    return made


def _text_feed(ids: np.ndarray, facts: SpeechFacts, draw: np.random.Generator) -> dict[str, np.ndarray]:
    feed = {"ids": ids.reshape(1, -1)}
    if facts.draws:
        feed["noise"] = draw.standard_normal((1, 2, ids.size), np.float32) * np.float32(facts.noise_scale_duration)
    return {**feed, **_speaker(facts)}


def _speaker(facts: SpeechFacts) -> dict[str, np.ndarray]:
    return {"speaker": np.array([facts.speaker], np.int64)} if facts.speakers > 1 else {}


def _waveform(latents: np.ndarray, facts: SpeechFacts) -> Calling[np.ndarray, None]:
    """float32 [samples] window by window; each is given as many frames on both sides as bear on its own, so that
    nothing differs at the seams.
    """
    frames, most, reach, hop = latents.shape[1], facts.max_frames, facts.reach, facts.hop
    step = most if frames <= most else most - 2 * reach
    for start in range(0, frames, step):
        stop = min(start + step, frames)
        left, right = max(start - reach, 0), min(stop + reach, frames)
        made = yield Call("speech", {"latents": np.ascontiguousarray(latents[None, :, left:right]), **_speaker(facts)})
        yield made["waveform"][0][(start - left) * hop : (stop - left) * hop]


def _present(values: Values, facts: SpeechFacts) -> Values:
    waveform, rate = values["waveform"], rate_of(facts)
    if not np.isfinite(waveform).all():
        raise RunError("the model answered NaN", "check the weights, or use a variant of a higher precision")
    result = {"sample_rate": int(rate), "samples": int(waveform.size), "seconds": round(waveform.size / rate, 3)}
    return {
        "result": {
            **result,
            "phonemes": values["phonemes"],
            "unspoken": values["unspoken"],
            "levels": levels.decibels(waveform, rate),
        }
    }
