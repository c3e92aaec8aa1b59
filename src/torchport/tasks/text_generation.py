"""The task `text-generation`: the beginning of a text to its continuation, token by token."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from ..errors import BadInput
from ..types import Signature, Step, Value
from .calls import Call, Calling, exhaust, perform, shown
from .facts import Mark, changed
from .kinds import Seed, Share
from .parts import Driver, Grade, Graph, HostStep, Item, Split, Values
from .shared import speaking, texts, tokens
from .shared.generate import Answers, Sampling, one_by_one
from .shared.text_answer import TextAnswer

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


GRADED = 128
"""Tokens of a text that its perplexity is taken over, at most: each is a call of its own."""


class Continuation(Value, frozen=True):
    """What follows the text: as text, as tokens, and why it ends: a token or text that stops it, or the greatest
    length.
    """

    text: str
    tokens: tuple[int, ...]
    stopped_by: Literal["end", "stop", "length"]


class GenerationFacts(speaking.AnswerFacts, frozen=True, kw_only=True):
    """A causal model's tokenizer and limits, and how tokens are drawn."""

    context: Annotated[
        tokens.Length | None,
        "Longest text with its continuation, in tokens; none: what the model states, or 1024.",
        Mark.FROM_MODEL,
        Mark.LOWERED,
    ] = None
    max_new_tokens: Annotated[tokens.Length, speaking.LONGEST, Mark.AT_PREDICT] = 64
    temperature: Annotated[
        float, Meta(ge=0, le=100), "How evenly tokens are drawn; 0 takes the most likely one (greedy).", Mark.AT_PREDICT
    ] = 0.0
    top_k: Annotated[
        int, Meta(ge=0, le=tokens.MOST), "Draws among so many most likely tokens only; 0: among all.", Mark.AT_PREDICT
    ] = 0
    top_p: Annotated[
        Share, "Draws among the most likely tokens that together reach this probability; 1: among all.", Mark.AT_PREDICT
    ] = 1.0
    seed: Annotated[Seed, "Seed of the draws: the same seed gives the same text.", Mark.AT_PREDICT] = 0
    stop: Annotated[
        tuple[str, ...] | None,
        "Text that ends a continuation and is not part of it; or a list of such texts; or none.",
        Mark.AT_PREDICT,
    ] = None


class TextGeneration(TextAnswer[GenerationFacts]):
    """The beginning of a text -> its continuation, greedy unless `temperature` is set.

    Data is what `shared.texts.items_of` takes; a label is the continuation that is wanted, and chrF the metric. Texts
    without labels are judged by their own perplexity.

    The source is a causal model of transformers, or a module with two methods of your own:

        first(batch: int) -> dict of tensors, the state before the first token
        step(ids: int64 [1, length], **state) -> (logits [1, vocabulary] of what follows, dict of the next state)

    The first state is all zeros and may grow along one axis, from a length of 1 on: that first place is the module's to
    ignore. A dict `facts` of the module may state `end` and `suppress`.
    """

    name = "text-generation"
    about = "the beginning of a text -> its continuation"
    metric = "chrF"
    about_data = (
        "One text file; a table with a column text (.csv, .tsv, or .jsonl of objects); or a folder with one such table "
        "or with text files. A column label holds the continuation that is wanted."
    )
    about_metric = (
        "chrF against that continuation, 0 to 1. Without one, 1/perplexity: how likely the model finds the text "
        "itself; agreement is the same continuation token by token."
    )
    suffixes = texts.SUFFIXES
    mime: ClassVar[Mapping[str, str]] = texts.MIME
    answer = Continuation
    example = (
        "torchport deploy hf:gpt2-bbc --task text-generation --data prompts.csv --set max_new_tokens=40 -o "
        "gpt2-bbc.tport"
    )
    architectures = (r"\w+ForCausalLM", r"\w+LMHeadModel")
    facts = GenerationFacts
    suspects: ClassVar[tuple[str, ...]] = ("tokenizer", "end", "max_new_tokens")

    def resolve(
        self, settings: Mapping[str, Any], source: Mapping[str, Any]
    ) -> tuple[GenerationFacts, tuple[str, ...]]:
        """As `Task.resolve`; what nobody gives is asked of the model, not assumed."""
        return super().resolve(settings, source)[0], ()

    def check(self, facts: GenerationFacts) -> GenerationFacts:
        """See `speaking.need_tokenizer`."""
        speaking.need_tokenizer("tokenizer", facts.tokenizer)
        return replace(facts, stop=facts.stop or ())

    def ignored(self, facts: GenerationFacts) -> dict[str, str]:
        """How tokens are drawn, where none is."""
        return (
            dict.fromkeys(("top_k", "top_p", "seed"), "temperature is 0, which takes the most likely token")
            if facts.temperature == 0
            else {}
        )

    def items(self, data: Path, facts: GenerationFacts) -> list[Item]:
        """See `shared.texts.items_of`."""
        return texts.items_of(data)

    def split(self, model: torch.nn.Module | ExportedProgram, facts: GenerationFacts, items: Sequence[Item]) -> Split:
        """`step`, captured on the first text."""
        import torch

        from .graphs import decoders

        if not isinstance(model, torch.nn.Module):
            raise BadInput("an exported program has no cache to carry", "give the module it was exported from")
        told = {"suppress": [], "end": [], **decoders.told_by(model)}
        stated = getattr(getattr(model, "config", None), "max_position_embeddings", None)
        missing = {name: told[name] for name in ("end", "suppress") if getattr(facts, name) is None}
        context = facts.context or stated or 1024
        facts = changed(facts, {**missing, "context": context})
        row = _tokenize({"text": speaking.decode(items[0].read())}, facts)["ids"]
        ids = np.array([(row * 6)[: max(len(row), 6)]], np.int64)
        graphs, wiring = decoders.causal(model, ids, {"length": (1, context), "past": (1, context + 1)})
        return Split(graphs, replace(facts, wiring=wiring))

    def steps(self, facts: GenerationFacts, model: Signature) -> tuple[Step, ...]:
        """decode, tokenize, generate (drives the graph `step`), present."""
        return (
            Step(name="decode", host="decode", inputs={"raw": "raw"}, outputs={"text": "text"}),
            Step(name="tokenize", host="tokenize", inputs={"text": "text"}, outputs={"ids": "ids"}),
            Step(
                name="generate",
                host="generate",
                drives={"step": facts.wiring["state"]},
                inputs={"ids": "ids"},
                outputs={"answer": "answer", "stopped_by": "stopped_by"},
            ),
            Step(
                name="present",
                host="present",
                inputs={"answer": "answer", "stopped_by": "stopped_by"},
                outputs={"result": "result"},
            ),
        )

    @property
    def host(self) -> Mapping[str, HostStep]:
        """`decode`, `tokenize`, `present`."""
        return {"decode": _decode, "tokenize": _tokenize, "present": _present}

    @property
    def drivers(self) -> Mapping[str, Driver]:
        """`generate`."""
        return {"generate": _generate}

    def grade(
        self, values: Mapping[str, Any], label: Any, facts: GenerationFacts, graphs: Mapping[str, Graph]
    ) -> Grade | None:
        """Of a text without a label, how likely its own tokens are: their geometric mean, which is 1 / perplexity, of
        the first `GRADED`.
        """
        ids = values["ids"][:GRADED]
        if label is not None or len(ids) < 2:
            return super().grade(values, label, facts, graphs)
        return Grade("1/perplexity", math.exp(-surprise(graphs["step"], facts, ids) / (len(ids) - 1)))

    def agree(self, result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """Whether both are the same, token by token."""
        return list(result["tokens"]) == list(reference["tokens"])


class Causal:
    """The step graph of a causal model, with its cache: a `generate.Decoder` of one row.

    Args:
        wiring: as `decoders.causal` gives it.
    """

    def __init__(self, wiring: Mapping[str, Any]) -> None:
        self._state = wiring["state"]
        self._cache = {name: np.zeros(shape, np.float32) for name, shape in wiring["first"].items()}

    def step(self, tokens: np.ndarray) -> Generator[Call, Any, np.ndarray]:
        """One token or the whole beginning, int64 [length]; returns float32 [1, vocabulary] of what follows."""
        answer = yield Call("step", {"ids": tokens[None], **self._cache})
        self._cache = {name: answer[output] for output, name in self._state.items()}
        logits: np.ndarray = answer["logits"]
        return logits

    def select(self, rows: np.ndarray) -> None:
        """There is one row: it goes on."""


def surprise(step: Graph, facts: GenerationFacts, ids: Sequence[int]) -> float:
    """The sum of -log p of every token but the first, for perplexity; `step` is the graph of that name."""
    return exhaust(perform(_surprise(facts, ids), lambda graph, feed: step(feed)))


def _surprise(facts: GenerationFacts, ids: Sequence[int]) -> Generator[Call, Any, float]:
    decoder, total = Causal(facts.wiring), 0.0
    for token, following in pairwise(ids):
        logits = yield from decoder.step(np.array([token], np.int64))
        likely = logits[0].astype(np.float64)
        total += float(np.logaddexp.reduce(likely) - likely[following])
    return total


def _context(facts: GenerationFacts) -> int:
    """Most tokens of a text with its continuation; a deploy has asked the model."""
    return facts.context or tokens.MOST


def _decode(values: Values, facts: GenerationFacts) -> Values:
    return {"text": speaking.decode(values["raw"])}


def _tokenize(values: Values, facts: GenerationFacts) -> Values:
    ids = list(speaking.open_tokenizer(facts.tokenizer).tokenizer.encode(values["text"]).ids)
    if ids and ids[-1] in (facts.end or ()):
        ids.pop()  # a tokenizer that closes every text would end this one before it is continued
    if not ids:
        raise BadInput("the text has no token", "give at least one word")
    if len(ids) >= _context(facts):
        raise BadInput(
            f"the text has {len(ids)} tokens, and the model reads {facts.context} with what it adds",
            "shorten the text, or give its end only",
        )
    speaking.need_known(values["text"], facts.tokenizer)
    return {"ids": ids}


def _generate(values: Values, facts: GenerationFacts) -> Calling[dict[str, Any], Values]:
    """The whole beginning at once, then a token at a time."""
    decoder = Causal(facts.wiring)
    logits = yield from decoder.step(np.array(values["ids"], np.int64))
    most = min(facts.max_new_tokens, _context(facts) - len(values["ids"]))
    sampling = Sampling(facts.temperature, facts.top_k, facts.top_p, facts.seed)
    rules, stops = speaking.rules_of(facts, most), facts.stop or ()
    known = speaking.text_of(values["ids"], facts.tokenizer)
    growing = speaking.Growing(lambda ids: _before(_continued(ids, known, values["ids"], facts), stops), [""], stops)

    def stopped(answers: Answers) -> bool:
        return _stops(_continued(answers[0], known, values["ids"], facts), stops) is not None

    def told(answers: Answers) -> dict[str, Any] | None:
        delta = growing.delta({0: answers[0]}, {})
        return {"delta": delta} if delta else None

    answers = yield from shown(one_by_one(decoder, logits, rules, sampling.chooser(), stopped), told)
    answer = answers[0]
    if delta := growing.delta({}, {0: answer}):
        yield {"delta": delta}
    return {
        "answer": [values["ids"], answer],
        "stopped_by": "stop" if stopped(answers) else "length" if len(answer) == most else "end",
    }


def _continued(answer: Sequence[int], known: str, ids: Sequence[int], facts: GenerationFacts) -> str:
    """The text of an answer where it stands: behind its beginning, for some tokens are written otherwise at the start
    of a text.
    """
    whole = speaking.text_of([*ids, *answer], facts.tokenizer)
    return whole[len(known) :] if whole.startswith(known) else speaking.text_of(answer, facts.tokenizer)


def _stops(text: str, stops: Sequence[str]) -> int | None:
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return min(places, default=None)


def _before(text: str, stops: Sequence[str]) -> str:
    return text[: _stops(text, stops)]


def _present(values: Values, facts: GenerationFacts) -> Values:
    ids, answer = values["answer"]
    text = _continued(answer, speaking.text_of(ids, facts.tokenizer), ids, facts)
    return {"result": {"text": _before(text, facts.stop or ()), "tokens": answer, "stopped_by": values["stopped_by"]}}
