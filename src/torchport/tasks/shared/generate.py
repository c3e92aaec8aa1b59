"""Choosing token after token on the host: greedy, beam search, sampling; numpy only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..calls import Call, Calling

Answers = list[list[int]]


class Decoder(Protocol):
    """A model that continues rows of tokens, and remembers what each row has seen."""

    def step(self, tokens: np.ndarray) -> Generator[Call, Any, np.ndarray]:
        """One more token for every row, int64 [rows]; returns the logits of what follows, float32 [rows,
        vocabulary].
        """

    def select(self, rows: np.ndarray) -> None:
        """Go on with these rows only, in this order; a row may come twice."""


@dataclass(frozen=True)
class Rules:
    """When to stop, and what must or must not be said.

    Attributes:
        end: tokens that end an answer; they are not part of it.
        most: greatest length of an answer in tokens, forced ones included.
        forced: the first tokens of every answer, whatever the model says.
        suppress: tokens that are never chosen.
    """

    end: Collection[int]
    most: int
    forced: Sequence[int] = ()
    suppress: Sequence[int] = ()

    def masked(self, logits: np.ndarray, number: int) -> np.ndarray:
        """Logits [rows, vocabulary] of an answer's token `number`, with minus infinity where it must not be chosen."""
        if number < len(self.forced):
            masked = np.full_like(logits, -np.inf)
            masked[:, self.forced[number]] = 0.0
            return masked
        if self.suppress:
            logits = logits.copy()
            logits[:, list(self.suppress)] = -np.inf
        return logits


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn; temperature 0 always takes the most likely one.

    Attributes:
        temperature: divides the logits; above 1 evens the chances out.
        top_k: only so many of the most likely tokens; 0 allows all.
        top_p: only the most likely tokens that together reach this probability (Holtzman et al., "The Curious Case of
            Neural Text Degeneration", 2020); 1 allows all.
        seed: of the generator that draws.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def chooser(self) -> Chooser:
        """A chooser with a generator of its own, at its beginning."""
        return Chooser(self, np.random.default_rng(self.seed))


@dataclass(frozen=True)
class Chooser:
    """Draws one token a row by a Sampling."""

    sampling: Sampling
    random: np.random.Generator

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """float32 [rows, vocabulary] -> int64 [rows]; ties go to the smaller token."""
        if self.sampling.temperature == 0:
            best: np.ndarray = logits.argmax(axis=1)
            return best
        return np.array([self._draw(row) for row in logits], np.int64)

    def _draw(self, logits: np.ndarray) -> int:
        order = np.argsort(-logits, kind="stable")
        if self.sampling.top_k:
            order = order[: self.sampling.top_k]
        chances = np.exp(log_softmax(logits[order].astype(np.float64) / self.sampling.temperature))
        before = np.cumsum(chances) - chances
        chances[before >= self.sampling.top_p] = 0.0
        chances[0] = max(chances[0], np.finfo(float).tiny)
        return int(self.random.choice(order, p=chances / chances.sum()))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normal: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normal


def one_by_one(
    decoder: Decoder,
    logits: np.ndarray,
    rules: Rules,
    choose: Chooser,
    until: Callable[[Answers], bool] = lambda answers: False,
) -> Calling[Answers, Answers]:
    """Continue every row by one token at a time until it ends; yields all answers so far after each.

    A row that has ended costs nothing more: it is left out of the steps that follow.

    Args:
        logits: float32 [rows, vocabulary] after what the decoder has seen already.
        until: whether the answers so far are enough; they are then returned at once.
    """
    answers: Answers = [[] for _ in logits]
    rows = np.arange(len(logits))
    for number in range(rules.most):
        tokens = choose(rules.masked(logits, number))
        going = np.array([token not in rules.end for token in tokens.tolist()], bool)
        if not going.all():
            rows, tokens = rows[going], tokens[going]
            if not len(rows):
                break
            decoder.select(np.flatnonzero(going))
        for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
            answers[row].append(token)
        if until(answers):
            break
        yield answers
        if number + 1 < rules.most:
            logits = yield from decoder.step(tokens)
    return answers


def beam_search(
    decoder: Decoder, logits: np.ndarray, rules: Rules, beams: int, length_penalty: float
) -> Generator[Call, Any, list[int]]:
    """The best of `beams` answers kept side by side, for a decoder that has one row.

    The rules are those of Hugging Face's beam search with `early_stopping=False`: an answer's score is the sum of its
    tokens' log-probabilities, divided by its length (the end included) to the power of `length_penalty`; the search
    ends when `beams` answers are finished and the best that runs is worse than all of them at its present length.
    """
    finished: list[tuple[float, list[int]]] = []
    running: Answers = [[]]
    scores = np.zeros(1, np.float32)
    keep = max(2, 1 + len(rules.end)) * beams
    for number in range(rules.most):
        chances = (rules.masked(log_softmax(logits), number) + scores[:, None]).ravel()
        count = min(keep, int(np.isfinite(chances).sum()))
        best = np.argpartition(-chances, count - 1)[:count]
        best = best[np.lexsort((best, -chances[best]))]
        rows, tokens = np.divmod(best, logits.shape[1])
        ends = np.array([token in rules.end for token in tokens.tolist()], bool) | (number + 1 == rules.most)
        for place in np.flatnonzero(ends[:beams]).tolist():
            token = int(tokens[place])
            answer = [*running[rows[place]], *([] if token in rules.end else [token])]
            finished.append((float(chances[best[place]]) / (number + 1) ** length_penalty, answer))
        finished = sorted(finished, key=lambda one: -one[0])[:beams]
        alive = np.flatnonzero(~ends)[:beams]
        if not len(alive):
            break
        running = [[*running[rows[place]], int(tokens[place])] for place in alive.tolist()]
        scores = chances[best[alive]]
        if len(finished) == beams and scores[0] / (number + 1) ** length_penalty <= finished[-1][0]:
            break
        decoder.select(rows[alive])
        logits = yield from decoder.step(tokens[alive])
    return finished[0][1] if finished else running[0]
