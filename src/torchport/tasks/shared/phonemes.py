"""Text -> symbol ids: cut into pieces, phonemised by espeak-ng where the model speaks phonemes, looked up in the
model's table.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import BadInput, MissingDependency, RunError, UsageError
from .speech_facts import SpeechFacts

PROGRAMS = ("espeak-ng", "espeak")
_SECONDS = 30
_SWITCH = re.compile(r"\(([a-z]{2,3}(?:-[a-z0-9-]+)?)\)")
_SENTENCES = re.compile(r"(?<=[.!?;:])\s+|(?<=[。！？；：])|\n+")  # noqa: RUF001 - the marks that Chinese writes
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Spoken(NamedTuple):
    """What is said at once: its symbols as they were looked up, their ids, and the symbols that the model has not."""

    symbols: str
    ids: list[int]
    unspoken: set[str]


def read_symbols(path: Path) -> tuple[dict[str, int], dict[str, Any]]:
    """A table of symbols, and the facts that lie beside it.

    Args:
        path: JSON, either symbol -> id (Hugging Face's `vocab.json`) or a Piper voice's `.onnx.json`.

    Raises:
        UsageError: there is no such file, or it is neither.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if "phoneme_id_map" in document:
            return _piper(document)
        return {str(symbol): int(number) for symbol, number in document.items()}, {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
        raise UsageError(
            f"symbols: '{path.name}' cannot be read ({str(exc)[:80]})",
            "give a JSON file of symbol -> id, such as vocab.json or a Piper voice's .onnx.json",
        ) from exc


def _piper(document: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, Any]]:
    table = {symbol: int(ids[0]) for symbol, ids in document["phoneme_id_map"].items()}
    scales = document.get("inference", {})
    stated = {
        "phonemiser": "espeak" if document.get("phoneme_type", "espeak") == "espeak" else "none",
        "language": document["espeak"]["voice"],
        "sample_rate": document["audio"]["sample_rate"],
        "before": [table["^"], table["_"]],
        "blank": table["_"],
        "after": [table["$"]],
        "lowercase": False,
    }
    named = {"noise_scale": "noise_scale", "noise_w": "noise_scale_duration", "length_scale": "length_scale"}
    return table, stated | {fact: float(scales[name]) for name, fact in named.items() if name in scales}


def speak(text: str, facts: SpeechFacts) -> list[Spoken]:
    """A text piece by piece, each of at most `chunk` characters and `max_tokens` ids.

    Args:
        facts: `symbols`, `phonemiser`, `language`, `lowercase`, `before`, `blank`, `after`, `chunk`, `max_tokens`.

    Raises:
        BadInput: nothing in the text can be said with the model's symbols, or the phonemiser reads it as another
        language. MissingDependency: the model speaks phonemes, and there is no phonemiser.
    """
    said = [one for piece in pieces(text, facts.chunk) for one in _said(piece, facts)]
    spoken = [one for one in said if any(symbol in facts.symbols and not symbol.isspace() for symbol in one.symbols)]
    if not spoken:
        raise BadInput(
            f"nothing of '{text[:40]}' is among the model's {len(facts.symbols)} symbols",
            "give a text in the language of the voice",
        )
    return spoken


def pieces(text: str, size: int) -> list[str]:
    """A text cut at the ends of sentences into pieces of at most `size` characters; a longer sentence is cut between
    words, else anywhere.
    """
    made: list[str] = []
    for sentence in filter(None, (part.strip() for part in _SENTENCES.split(_CONTROLS.sub(" ", text)))):
        if made and len(made[-1]) + 1 + len(sentence) <= size:
            made[-1] += f" {sentence}"
            continue
        while len(sentence) > size:
            cut = sentence.rfind(" ", 0, size + 1)
            cut = cut if cut > 0 else size
            made.append(sentence[:cut])
            sentence = sentence[cut:].strip()
        if sentence:
            made.append(sentence)
    return made


def _said(piece: str, facts: SpeechFacts) -> list[Spoken]:
    """One piece; two or more where it has too many symbols."""
    symbols = READERS[facts.phonemiser](piece, facts)
    ids, unspoken = _ids(symbols, facts)
    if len(ids) <= facts.max_tokens or len(piece) < 2:
        return [Spoken(symbols, ids[: facts.max_tokens], unspoken)]
    return [one for half in pieces(piece, (len(piece) + 1) // 2) for one in _said(half, facts)]


def _ids(symbols: str, facts: SpeechFacts) -> tuple[list[int], set[str]]:
    table, blank = facts.symbols, facts.blank
    known = [table[symbol] for symbol in symbols if symbol in table]
    inner = known if blank is None else [one for number in known for one in (number, blank)]
    return [*facts.before, *inner, *facts.after], {
        symbol for symbol in symbols if symbol not in table and not symbol.isspace()
    }


def _as_written(text: str, facts: SpeechFacts) -> str:
    """The characters themselves; where the model was trained on small letters, those that it does not know
    otherwise.
    """
    if not facts.lowercase:
        return text
    return "".join(one if one in facts.symbols else one.lower() for one in text).strip()


def espeak(text: str, facts: SpeechFacts) -> str:
    """The phonemes of a text in the International Phonetic Alphabet, by the installed espeak-ng, in canonical
    decomposition.

    Raises:
        MissingDependency: neither espeak-ng nor espeak is installed.
        UsageError: it has no such language.
        BadInput: most of the text is in a script that the voice reads as another language.
        RunError: it fails.
    """
    program, language = next(filter(None, map(shutil.which, PROGRAMS)), None), facts.language or ""
    if program is None:
        raise MissingDependency(
            "the phonemiser espeak-ng is not installed",
            "apt-get install espeak-ng, brew install espeak-ng, or https://github.com/espeak-ng/espeak-ng",
        )
    command = [program, "-q", "--ipa=1", "-b", "1", "-v", language, "--stdin"]
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise RunError(f"{Path(program).name} did not answer: {exc}", "check the installation of espeak-ng") from exc
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip()[:120]
        raise UsageError(
            f"espeak-ng with the language '{facts.language}': {reason}", "espeak-ng --voices lists its languages"
        )
    lines = done.stdout.decode("utf-8", "replace").split("\n")
    return unicodedata.normalize("NFD", _in_one_language(" ".join(lines).strip().replace("_", ""), language))


def _in_one_language(phonemes: str, language: str) -> str:
    """Without the marks of a change of language, `(en)...(cmn)`."""
    parts = _SWITCH.split(phonemes)
    foreign = sum(
        len(said) for mark, said in zip(parts[1::2], parts[2::2], strict=True) if not language.startswith(mark)
    )
    plain = "".join(parts[::2])
    if 2 * foreign > len(plain) > 0:
        raise BadInput(
            f"espeak-ng reads most of the text as another language than '{language}'",
            "set the language of the text, such as language=cmn-latn-pinyin for pinyin",
        )
    return plain


READERS: Mapping[str, Callable[[str, SpeechFacts], str]] = {"espeak": espeak, "none": _as_written}
"""What makes symbols of a piece of text, by the fact `phonemiser`."""
