"""Whisper's decoding in numpy: the prompt, greedy tokens, and the rules of time stamps, as OpenAI and transformers have
them.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
from msgspec.structs import replace

from ...errors import RunError, UsageError
from ..calls import Call, Calling
from . import tokens as tokenized
from . import voice
from .hearing_facts import HearingFacts
from .listening import Heard, Segment

_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")

Arrays = dict[str, np.ndarray]


def hear(samples: np.ndarray, facts: HearingFacts, *, more: bool = False) -> Calling[str, Heard]:
    """What is said in one window, greedily.

    Args:
        samples: float32 [n], at most a window; the rest of the window is silence.
        facts: those of the task, after `split`.
        more: the recording goes on, so that a sentence cut off at the end is left for the next window.

    Yields:
        Calls of `features`, `encoder` and `step`, and the text so far.
    """
    window = np.zeros((1, facts.window_samples), np.float32)
    window[0, : len(samples)] = samples
    features = yield Call("features", {"samples": window})
    decoder = _Decoder(facts, (yield Call("encoder", features)))
    prompt = list(facts.prompt)
    if facts.languages:
        prompt.insert(1, facts.languages.get(facts.language or "") or (yield from decoder.language()))
    if not facts.timestamps:
        prompt += facts.no_timestamps or ()
    said: list[int] = []
    feed = prompt
    while len(said) < facts.most_tokens:
        out = yield from decoder.step(feed, begin=not said)
        token = choose(out, said, facts) if facts.timestamps else int(out["token"][0])
        if token == facts.end:
            break
        said.append(token)
        feed = [token]
        if facts.stamps is None or token < facts.stamps:
            yield text_of(said, facts)
    if not facts.timestamps:
        text = text_of(said, facts)
        start, end = voice.bounds(samples, facts.sampling_rate, facts.silence) or (
            0.0,
            len(samples) / facts.sampling_rate,
        )
        return Heard([Segment(start, end, text)] if text.strip() else [])
    return stamped(said, len(samples), facts, more=more)


class _Decoder:
    """The decoder's state between steps."""

    def __init__(self, facts: HearingFacts, crossed: Arrays) -> None:
        self._facts, self._crossed = facts, crossed
        self._past = self._empty()

    def _empty(self) -> np.ndarray:
        rows, heads, width = self._facts.cache
        return np.zeros((rows, heads, 1, width), np.float32)

    def step(self, tokens: list[int], *, begin: bool) -> Generator[Call, Any, Arrays]:
        """The step's outputs after some more tokens."""
        feed: Arrays = {
            "tokens": np.array([tokens], np.int64),
            "begin": np.array([begin], np.float32),
            "past": self._past,
            **self._crossed,
        }
        out: Arrays = yield Call("step", feed)
        if not np.isfinite(out["score"]).all():
            raise RunError("the model answered NaN", "check the weights, or use a variant of a higher precision")
        self._past = out["cache"]
        return out

    def language(self) -> Generator[Call, Any, int]:
        """The token of the language that is spoken, by what the model says right after the start."""
        heard = int((yield from self.step(list(self._facts.prompt[:1]), begin=False))["token"][0])
        self._past = self._empty()
        known = self._facts.languages or {}
        return heard if heard in known.values() else int(known.get("en", next(iter(known.values()))))


def choose(out: Mapping[str, np.ndarray], said: list[int], facts: HearingFacts) -> int:
    """The next token where time stamps are spoken too.

    Stamps come in pairs but for the first and the last one, never go back, and the first is at most `first_stamp` long.
    A stamp is taken where all stamps together are likelier than the likeliest word.
    """
    stamps = _stamps(facts)
    times = np.array(out["times"][0], np.float64)
    token, score = int(out["token"][0]), float(out["score"][0])
    if not said:
        return stamps + int(times[: facts.first_stamp + 1].argmax())
    after = said[-1] >= stamps
    if after and (len(said) < 2 or said[-2] >= stamps):
        return token
    last = max((one - stamps for one in said if one >= stamps), default=-1)
    times = times[last + (0 if after else 1) :]
    if after:  # a sentence has ended: another stamp, or the end
        token, score = facts.end, float(out["end"][0])
    if not len(times):
        return token
    loudest = times.max()
    if loudest + np.log(np.exp(times - loudest).sum()) > score:
        return len(out["times"][0]) - len(times) + stamps + int(times.argmax())
    return token


def stamped(said: list[int], samples: int, facts: HearingFacts, *, more: bool) -> Heard:
    """Segments from tokens with time stamps among them, and how far the window was understood."""
    stamps, rate = _stamps(facts), facts.sampling_rate
    tick = 2 * facts.hop / rate
    length = samples / rate
    segments: list[Segment] = []
    start, words = 0.0, list[int]()
    for token in said:
        if token < stamps:
            words.append(token)
            continue
        at = min((token - stamps) * tick, length)
        if words:
            segments.append(Segment(start, at, text_of(words, facts)))
        start, words = at, []
    if words and more and segments:
        return Heard(segments, max(1, round(segments[-1].end * rate)))
    if words:
        segments.append(Segment(start, length, text_of(words, facts)))
    return Heard(segments)


def text_of(said: list[int], facts: HearingFacts) -> str:
    """The text of tokens, without marks and stamps, with the space that Whisper speaks first."""
    words = [token for token in said if facts.stamps is None or token < facts.stamps]
    text: str = _tokenizer(facts).decode(words, skip_special_tokens=True)
    return text


def _stamps(facts: HearingFacts) -> int:
    """The first token that is a time stamp, of a model that has them."""
    assert facts.stamps is not None, "time stamps are asked for only where there are some"
    return facts.stamps


def _tokenizer(facts: HearingFacts) -> Any:
    assert facts.tokenizer is not None, "the task has checked it"
    return tokenized.open_file(facts.tokenizer, tokenized.MOST).tokenizer


def check_language(facts: HearingFacts) -> None:
    """The language is one that the model knows, or none; raises UsageError naming those."""
    known = sorted(facts.languages or {})
    if facts.language and facts.language not in known:
        hint = f"it knows {', '.join(known)}" if known else "it marks no languages: leave the setting out"
        raise UsageError(f"the model knows no language '{facts.language}'", hint)


def _languages(rules: Any, tokenizer: Any, size: int, wanted: str | None) -> dict[str, int]:
    """Language -> token: what the generation config states, else the tokens of the tokenizer that look like one.

    A tokenizer of a Whisper for English alone has such tokens too: they count where the configuration, its old form
    (`forced_decoder_ids`) or the user says that there are several.
    """
    stated = getattr(rules, "lang_to_id", None) or {}
    if getattr(rules, "is_multilingual", None) is False:
        return {}
    if stated:
        return {name.strip("<|>"): token for name, token in stated.items()}
    known = {
        match[1]: token
        for name, token in tokenizer.get_vocab(with_added_tokens=True).items()
        if token < size and (match := _LANGUAGE.fullmatch(name))
    }
    first = dict(getattr(rules, "forced_decoder_ids", None) or []).get(1, 0)
    several = wanted is not None or getattr(rules, "is_multilingual", None) or first is None or first in known.values()
    return known if several else {}


def _own_language(rules: Any, languages: Mapping[str, int]) -> str | None:
    """The language that the generation config asks for, by its name among the tokens; None where it names none."""
    named = str(getattr(rules, "language", None) or "").strip("<|>").lower()
    forced = dict(getattr(rules, "forced_decoder_ids", None) or []).get(1)
    return named if named in languages else next((name for name, token in languages.items() if token == forced), None)


def told(model: Any, facts: HearingFacts) -> tuple[HearingFacts, dict[str, list[int]]]:
    """Facts that a `transformers.WhisperForConditionalGeneration` tells: sizes, the prompt, the tokens with a
    meaning; and those that are never said, by the names of `DecoderStep`'s arguments.
    """
    config, rules, tokenizer = (
        model.config,
        model.generation_config,
        _tokenizer(facts),
    )
    silent = getattr(rules, "no_timestamps_token_id", None) or tokenizer.token_to_id("<|notimestamps|>")
    stamps = silent + 1 if silent is not None and silent + 1 < config.vocab_size else None
    languages = _languages(rules, tokenizer, config.vocab_size, facts.language)
    stated, job = getattr(rules, "task_to_id", None) or {}, getattr(rules, "task", None) or "transcribe"
    said = stated.get(job, tokenizer.token_to_id(f"<|{job}|>"))
    heads = config.decoder_attention_heads
    samples = 2 * config.max_source_positions * facts.hop
    made = replace(
        facts,
        family="whisper",
        bands=config.num_mel_bins,
        window=samples / facts.sampling_rate,
        window_samples=samples,
        prompt=(
            config.decoder_start_token_id,
            *([said] if languages and said is not None and said < config.vocab_size else []),
        ),
        no_timestamps=() if silent is None else (silent,),
        stamps=stamps,
        end=config.eos_token_id,
        languages=languages,
        language=facts.language or _own_language(rules, languages),
        first_stamp=getattr(rules, "max_initial_timestamp_index", None) or 50,
        most_tokens=config.max_target_positions // 2,
        cache=(2 * config.decoder_layers, heads, config.d_model // heads),
    )
    silenced = {*(getattr(rules, "suppress_tokens", None) or []), *([silent] if silent is not None else [])}
    first = list(getattr(rules, "begin_suppress_tokens", None) or [])
    return made, {"never": sorted(silenced), "never_first": first}
