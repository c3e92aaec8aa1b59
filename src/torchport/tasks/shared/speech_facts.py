"""The facts of a model that speaks, and what its own configuration says of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from ...errors import BadInput, UsageError
from ..facts import Facts, Mark
from ..kinds import MOST, Count, Seed

MAX_TOKENS, MAX_FRAMES = 1024, 1024
"""Bounds of the two dynamic lengths, so that a runtime may plan its memory: 12 seconds of speech at a time."""

SymbolId = Annotated[int, Meta(ge=0, le=MOST)]
Scale = Annotated[float, Meta(ge=0, le=1e6)]


class SpeechFacts(Facts, frozen=True, kw_only=True):
    """The symbols that a model was trained with, and how it speaks."""

    symbols: Annotated[
        dict[str, SymbolId],
        "JSON file of symbol -> id, such as vocab.json, or a Piper voice's .onnx.json, which states "
        "most other facts; required unless the source states it.",
    ] = {}
    phonemiser: Annotated[
        Literal["espeak", "none"],
        "What the symbols are: espeak (phonemes, by the program espeak-ng) or none (characters).",
    ] = "none"
    language: Annotated[
        str | None,
        "Voice of espeak-ng that reads the text, such as en-us; needed where phonemiser is espeak.",
        Mark.AT_PREDICT,
    ] = None
    lowercase: Annotated[bool, "Whether letters that the symbols lack are read as small ones."] = False
    before: Annotated[tuple[SymbolId, ...], "Symbol ids before every text: a list, such as [1,0]."] = ()
    blank: Annotated[SymbolId | None, "Symbol id after every symbol; or none."] = None
    after: Annotated[tuple[SymbolId, ...], "Symbol ids after every text: a list, such as [2]."] = ()
    sample_rate: Annotated[
        Annotated[float, Meta(gt=0, le=1e6)] | None,
        "Samples a second (Hz) of the waveform; none: what the model states.",
    ] = None
    noise_scale: Annotated[
        Scale | None,
        "How freely it speaks; 0: the same for every seed; none: what the model states.",
        Mark.AT_PREDICT,
        Mark.FROM_MODEL,
    ] = None
    noise_scale_duration: Annotated[
        Scale | None, "How freely the rhythm varies; none: what the model states.", Mark.AT_PREDICT, Mark.FROM_MODEL
    ] = None
    length_scale: Annotated[
        Annotated[float, Meta(gt=0, le=1e6)] | None,
        "Duration of speech: 1 is the voice's own, 2 half as fast; none: what the model states.",
        Mark.AT_PREDICT,
        Mark.FROM_MODEL,
    ] = None
    seed: Annotated[Seed, "Seed of the noise: equal texts sound equal.", Mark.AT_PREDICT] = 0
    speaker: Annotated[int, Meta(ge=0, le=MOST), "Number of the voice.", Mark.AT_PREDICT] = 0
    chunk: Annotated[
        int,
        Meta(ge=20, le=MOST),
        "Most characters said at once; a longer text is said piece by piece.",
        Mark.AT_PREDICT,
    ] = 200
    pause: Annotated[Scale, "Seconds of silence between two pieces.", Mark.AT_PREDICT] = 0.2
    max_chars: Annotated[Count, "Longer texts are refused, in characters.", Mark.AT_PREDICT] = 20_000
    hop: Annotated[int, Meta(ge=0), "Samples of a frame.", Mark.TOLD] = 0
    draws: Annotated[bool | None, "Whether the rhythm is drawn.", Mark.TOLD] = None
    max_tokens: Annotated[int, Meta(ge=0), "Most symbols said at once.", Mark.TOLD] = 0
    max_frames: Annotated[int, Meta(ge=0), "Most frames of a window.", Mark.TOLD] = 0
    speakers: Annotated[int, Meta(ge=0), "How many voices the model has.", Mark.TOLD] = 0
    reach: Annotated[int, Meta(ge=-1), "Frames on either side that bear on one.", Mark.TOLD] = -1


def rate_of(facts: SpeechFacts) -> float:
    """Samples a second; a deploy has asked the model."""
    assert facts.sample_rate is not None, "the model states it"
    return facts.sample_rate


def with_model(facts: SpeechFacts, config: Any) -> SpeechFacts:
    """Facts with the model's own where nobody gave them."""
    known = {
        "sample_rate": float(config.sampling_rate),
        "noise_scale": float(config.noise_scale),
        "noise_scale_duration": float(config.noise_scale_duration),
        "length_scale": 1 / float(config.speaking_rate),
    }
    made = replace(facts, **{name: value for name, value in known.items() if getattr(facts, name) is None})
    speakers, highest = config.num_speakers if config.num_speakers > 1 else 1, max(facts.symbols.values())
    if facts.speaker >= speakers:
        raise UsageError(f"speaker is {facts.speaker}", f"the model has {speakers}, counted from 0")
    if highest >= config.vocab_size:
        raise BadInput(
            f"the table of symbols goes to {highest}, the model knows {config.vocab_size}",
            "give the table that the model was trained with",
        )
    return replace(
        made,
        hop=int(np.prod(config.upsample_rates)),
        draws=bool(config.use_stochastic_duration_prediction),
        max_tokens=MAX_TOKENS,
        max_frames=MAX_FRAMES,
        speakers=speakers,
    )
