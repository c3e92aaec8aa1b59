"""The task `translation`: text in one language to text in another, by an encoder and a decoder that runs token by
token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from ..errors import BadInput, UsageError
from ..types import Signature, Step, Value
from .calls import Call, Calling, shown
from .facts import Mark, Reads, changed
from .parts import Driver, HostStep, Item, Split, Values
from .shared import speaking, texts, tokens
from .shared.generate import Answers, Sampling, beam_search, one_by_one
from .shared.text_answer import TextAnswer

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

_SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])")  # noqa: RUF001
_LANGUAGES = (r"__(\w+)__", r">>(\S+)<<", r"<2(\w+)>", r"([a-z]{3}_[A-Z][a-z]{3})", r"([a-z]{2}_[A-Z]{2})")
"""How languages are written as tokens by M2M100, Marian, MADLAD, NLLB and mBART."""

WINDOW = 8
"""So many batches are read ahead, and their sentences sorted by length, so that a batch has few blanks."""


class Translation(Value, frozen=True):
    """A translated text, line by line as the source; and the tokens of each part of it that was translated as one."""

    text: str
    tokens: tuple[tuple[int, ...], ...]


class TranslationFacts(speaking.AnswerFacts, frozen=True, kw_only=True):
    """An encoder-decoder's tokenizers and languages, and how its answer is searched."""

    target_tokenizer: Annotated[
        Path | None, "As tokenizer, of the target language, where it is another; or none.", Reads(speaking.find)
    ] = None
    source: Annotated[
        str | None,
        "Language of the text, as the tokenizer of a model for many languages names it (pt, por_Latn, "
        "pt_XX); none: the tokenizer's own.",
        Mark.AT_PREDICT,
    ] = None
    target: Annotated[
        str | None, "Language to translate to, named likewise; none: what the model states.", Mark.AT_PREDICT
    ] = None
    beams: Annotated[
        tokens.Length | None,
        "Width of the beam search, 1 is greedy; none: what the model states.",
        Mark.AT_PREDICT,
        Mark.FROM_MODEL,
    ] = None
    length_penalty: Annotated[
        Annotated[float, Meta(ge=-10, le=10)] | None,
        "Of a beam search: more prefers long answers; none: what the model states, or 1.",
        Mark.AT_PREDICT,
        Mark.FROM_MODEL,
    ] = None
    max_source: Annotated[
        tokens.Length, "Longest part of a text that is translated at once, in tokens.", Mark.LOWERED
    ] = 256
    max_new_tokens: Annotated[tokens.Length, speaking.LONGEST, Mark.LOWERED] = 256
    batch: Annotated[tokens.Length, "How many parts are translated at once.", Mark.LOWERED] = 16
    start: Annotated[
        tuple[speaking.TokenId, ...] | None, "Token ids that the decoder starts from; none: what the model states."
    ] = None
    forced: Annotated[speaking.TokenIds, "Token ids that every answer begins with; none: what the model states."] = None
    read_first: Annotated[
        speaking.TokenId | None, "Token before every text that names the target language.", Mark.TOLD
    ] = None


class TranslationTask(TextAnswer[TranslationFacts]):
    """Text -> text. Every line is translated by itself (a line too long for the model, sentence by sentence), `batch`
    of them at once.

    Data is what `shared.texts.items_of` takes; a label is a reference translation.

    The source is an encoder-decoder of transformers (Marian, M2M100, NLLB, mBART, BART, T5 and their kin), or a module
    with two methods of your own:

        encode(ids: int64 [batch, source], mask: bool [batch, source]) -> dict of tensors
        step(token: int64 [batch, 1], position: int64 [1], mask, **the tensors of encode) -> (logits [batch,
        vocabulary], dict)

    What `encode` answers is what `step` reads: the memory, and the first state. What `step` answers beside the logits
    is the next state, by the same names; a state may grow along one axis, from a length of 1 on. Axis 0 is the batch
    throughout. `position` counts the tokens from 0; `step` may leave `position` and `mask` out. A dict `facts` of the
    module may state `start`, `end`, `forced`, `suppress`, `beams` and `length_penalty`.
    """

    name = "translation"
    about = "a text -> the same in another language"
    metric = "chrF"
    about_data = (
        "One text file; a table with a column text (.csv, .tsv, or .jsonl of objects); or a folder with one such table "
        "or with text files. A column label holds a translation to compare with."
    )
    about_metric = (
        "chrF: how much the characters of an answer are those of the translation given, 0 to 1. Without one, the share "
        "of texts translated token by token as by the reference."
    )
    suffixes = texts.SUFFIXES
    mime: ClassVar[Mapping[str, str]] = texts.MIME
    answer = Translation
    example = (
        "torchport deploy net.py:Net --weights net.safetensors --task translation --data pairs.csv --set "
        "tokenizer=vocab.spm --set end=0 --set start=0 -o en-pt.tport"
    )
    architectures = (
        r"MarianMTModel",
        r"(Bart|BigBirdPegasus|FSMT|LongT5|M2M100|MBart|MT5|NllbMoe|Pegasus|PegasusX|Plbart|ProphetNet|SwitchTransformers|T5|T5Gemma|UMT5)ForConditionalGeneration",
    )
    facts = TranslationFacts
    suspects: ClassVar[tuple[str, ...]] = ("tokenizer", "source", "target", "start", "end")

    def resolve(
        self, settings: Mapping[str, Any], source: Mapping[str, Any]
    ) -> tuple[TranslationFacts, tuple[str, ...]]:
        """As `Task.resolve`; what nobody gives is asked of the model, not assumed."""
        return super().resolve(settings, source)[0], ()

    def check(self, facts: TranslationFacts) -> TranslationFacts:
        """There are tokenizers that open, and they know the languages; else UsageError."""
        speaking.need_tokenizer("tokenizer", facts.tokenizer)
        speaking.need_tokenizer("target_tokenizer", _target(facts))
        if facts.source is not None:
            _language(facts, "source", facts.source)
        if facts.target is not None:
            _language(facts, "target", facts.target)
        return facts

    def ignored(self, facts: TranslationFacts) -> dict[str, str]:
        """What only a beam search reads."""
        return {"length_penalty": "beams is 1, which is greedy"} if facts.beams == 1 else {}

    def override(
        self, facts: TranslationFacts, changes: Mapping[str, Any], *, in_graph: bool = False
    ) -> TranslationFacts:
        """As `Task.override`; another target language is told to the model as at deploy, and beams are rows of the
        step's batch.
        """
        made = super().override(facts, changes, in_graph=in_graph)
        most = max(facts.batch, facts.beams or 1)
        if (made.beams or 1) > most:
            raise UsageError(
                f"beams={made.beams} is more than the graphs were made for ({most})",
                f"give at most {most}, or deploy again",
            )
        return _forced(made) if "target" in changes else made

    def items(self, data: Path, facts: TranslationFacts) -> list[Item]:
        """See `shared.texts.items_of`."""
        return texts.items_of(data)

    def split(self, model: torch.nn.Module | ExportedProgram, facts: TranslationFacts, items: Sequence[Item]) -> Split:
        """`encoder` and `step`, captured on the longest part of the first texts."""
        import torch

        from .graphs import decoders

        if not isinstance(model, torch.nn.Module):
            raise BadInput(
                "an exported program cannot be taken apart into encoder and step",
                "give the module it was exported from",
            )
        told = {"forced": [], "suppress": [], "beams": 1, "length_penalty": 1.0, **decoders.told_by(model)}
        names = [name for name in (*decoders.TOLD, decoders.BEAMS) if getattr(facts, name) is None]
        facts = changed(facts, {name: told.get(name) for name in names})
        start = facts.start
        if not start or not facts.end:
            missing = "end" if start else "start"
            raise UsageError(f"the model does not say which token is its {missing}", f"give --set {missing}=ID")
        facts = _forced(facts)
        sources = [
            part for item in items for part in _tokenize({"text": speaking.decode(item.read())}, facts)["sources"]
        ]
        row = max(sources, key=len)
        ids = np.array([(row * 4)[: max(len(row), 4)]] * 2, np.int64)
        bounds = {
            "batch": (1, max(facts.batch, facts.beams or 1)),
            "source": (1, facts.max_source),
            "past": (1, facts.max_new_tokens + len(start) + 1),
        }
        graphs, wiring = decoders.seq2seq(model, ids, start[0], bounds)
        return Split(graphs, replace(facts, wiring=wiring))

    def steps(self, facts: TranslationFacts, model: Signature) -> tuple[Step, ...]:
        """decode, tokenize, translate (drives the graphs `encoder` and `step`), present."""
        return (
            Step(name="decode", host="decode", inputs={"raw": "raw"}, outputs={"text": "text"}),
            Step(
                name="tokenize",
                host="tokenize",
                inputs={"text": "text"},
                outputs={"sources": "sources", "before": "before"},
            ),
            Step(
                name="translate",
                host="translate",
                drives={"encoder": {}, "step": facts.wiring["state"]},
                inputs={"sources": "sources", "before": "before"},
                outputs={"targets": "targets"},
            ),
            Step(
                name="present",
                host="present",
                inputs={"targets": "targets", "before": "before"},
                outputs={"result": "result"},
            ),
        )

    @property
    def host(self) -> Mapping[str, HostStep]:
        """`decode`, `tokenize`, `present`."""
        return {"decode": _decode, "tokenize": _tokenize, "present": _present}

    @property
    def drivers(self) -> Mapping[str, Driver]:
        """`translate`."""
        return {"translate": _translate}

    def agree(self, result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """Whether both are the same, token by token."""
        return [list(part) for part in result["tokens"]] == [list(part) for part in reference["tokens"]]


def _target(facts: TranslationFacts) -> Path | None:
    return facts.target_tokenizer or facts.tokenizer


def _languages(path: Path | None) -> dict[str, int]:
    """Language -> token, of a tokenizer for many languages."""
    found = {}
    for name, token in speaking.open_tokenizer(path).tokenizer.get_vocab(with_added_tokens=True).items():
        matches = (re.fullmatch(pattern, name) for pattern in _LANGUAGES)
        match = next((one for one in matches if one), None)
        if match:
            found[match[1]] = token
    return found


def _language(facts: TranslationFacts, name: Literal["source", "target"], wanted: str) -> int:
    known = _languages(facts.tokenizer if name == "source" else _target(facts))
    if wanted not in known:
        shown = ", ".join(sorted(known)[:12]) + (", ..." if len(known) > 12 else "")
        raise UsageError(
            f"{name}={wanted} is not a language of this tokenizer",
            f"it knows {shown}" if known else "it marks no languages: leave the setting out",
        )
    return known[wanted]


def _forced(facts: TranslationFacts) -> TranslationFacts:
    """How the wanted target language is told to the model: as the first token said, or as the first token read."""
    if facts.target is None:
        return facts
    token = _language(facts, "target", facts.target)
    name = speaking.open_tokenizer(_target(facts)).tokenizer.id_to_token(token)
    return replace(facts, read_first=token) if name.startswith((">>", "<2")) else replace(facts, forced=(token,))


def _decode(values: Values, facts: TranslationFacts) -> Values:
    return {"text": speaking.decode(values["raw"])}


def _tokenize(values: Values, facts: TranslationFacts) -> Values:
    """Text -> `sources`, the ids of each part that is translated as one; `before`, what stands between it and the part
    before.
    """
    sources: Answers = []
    before: list[str] = []
    gap = ""
    for number, line in enumerate(values["text"].splitlines(), 1):
        for part in _parts(line.strip(), number, facts):
            sources.append(part)
            before.append(gap)
            gap = " "
        gap = "\n" if gap == " " else gap + "\n"
    speaking.need_known(values["text"], facts.tokenizer)
    return {"sources": sources, "before": before}


def _parts(line: str, number: int, facts: TranslationFacts) -> Iterator[list[int]]:
    """A line as one part, or as few as hold its sentences."""
    if not line:
        return
    whole = _ids(line, facts)
    if len(whole) <= facts.max_source:
        yield whole
        return
    text = ""
    kept: list[int] = []
    for sentence in _SENTENCE.split(line):
        ids = _ids(f"{text} {sentence}".strip(), facts)
        if len(ids) > facts.max_source:
            if kept:
                yield kept
            text, ids = "", _ids(sentence, facts)
            if len(ids) > facts.max_source:
                raise BadInput(
                    f"line {number} has a sentence of {len(ids)} tokens, and {facts.max_source} are read at once",
                    "break it up, or deploy with a greater max_source",
                )
        text, kept = f"{text} {sentence}".strip(), ids
    yield kept


def _ids(text: str, facts: TranslationFacts) -> list[int]:
    ids: list[int] = speaking.open_tokenizer(facts.tokenizer).tokenizer.encode(text).ids
    if facts.source is not None:
        languages, own = set(_languages(facts.tokenizer).values()), _language(facts, "source", facts.source)
        ids = [own if token in languages else token for token in ids] if languages & set(ids) else [own, *ids]
    return [facts.read_first, *ids] if facts.read_first is not None else ids


def _translate(values: Values, facts: TranslationFacts) -> Calling[dict[str, Any], Values]:
    """Each batch through the encoder once, then step by step; what is told on the way is text in its right order."""
    sources: Answers = values["sources"]
    growing = speaking.Growing(lambda ids: speaking.text_of(ids, _target(facts)), values["before"])
    done: dict[int, list[int]] = {}
    for group in _groups([len(one) for one in sources], 1 if (facts.beams or 1) > 1 else facts.batch):

        def told(so_far: Answers, group: Sequence[int] = group) -> dict[str, Any] | None:
            delta = growing.delta(dict(zip(group, so_far, strict=True)), done)
            return {"delta": delta} if delta else None

        ended = yield from shown(_run([sources[number] for number in group], facts), told)
        done.update(zip(group, ended, strict=True))
        if delta := growing.delta({}, done):
            yield {"delta": delta}
    return {"targets": [done[number] for number in range(len(sources))]}


def _run(sources: Answers, facts: TranslationFacts) -> Calling[Answers, Answers]:
    ids = np.full((len(sources), max(map(len, sources))), speaking.open_tokenizer(facts.tokenizer).padding, np.int64)
    mask = np.zeros(ids.shape, bool)
    for row, (place, one) in enumerate(zip(ids, sources, strict=True)):
        place[: len(one)] = one
        mask[row, : len(one)] = True
    read = yield Call("encoder", {"ids": ids, "mask": mask})
    decoder = speaking.Carried("step", facts.wiring, {**read, "mask": mask})
    for token in facts.start or ():
        logits = yield from decoder.step(np.full(len(sources), token, np.int64))
    rules = speaking.rules_of(facts, facts.max_new_tokens, facts.forced or ())
    if facts.beams is not None and facts.beams > 1:
        penalty = 1.0 if facts.length_penalty is None else facts.length_penalty
        return [(yield from beam_search(decoder, logits, rules, facts.beams, penalty))]
    return (yield from one_by_one(decoder, logits, rules, Sampling().chooser()))


def _groups(lengths: Sequence[int], batch: int) -> Iterator[list[int]]:
    """Numbers of parts to translate at once: alike in length, and not far from their order."""
    ahead = WINDOW * batch
    for start in range(0, len(lengths), ahead):
        order = sorted(range(start, min(start + ahead, len(lengths))), key=lambda number: (lengths[number], number))
        yield from (order[first : first + batch] for first in range(0, len(order), batch))


def _present(values: Values, facts: TranslationFacts) -> Values:
    parts = [speaking.text_of(ids, _target(facts)) for ids in values["targets"]]
    text = "".join(gap + part for gap, part in zip(values["before"], parts, strict=True))
    return {"result": {"text": text, "tokens": values["targets"]}}
