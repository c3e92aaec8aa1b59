"""What tasks share whose answer is a text: translation and text generation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from ..base import Task
from ..parts import told
from . import chrf
from .speaking import AnswerFacts

Answering = TypeVar("Answering", bound=AnswerFacts)


class TextAnswer(Task[Answering]):
    """A task whose result has a `text`, compared by chrF; the fact `wiring` is the graphs' business."""

    def score(self, result: Mapping[str, Any], label: Any) -> float:
        """chrF of the text against the one that is wanted, 0..1."""
        return chrf.score(result["text"], str(label))

    def words(self, result: Mapping[str, Any]) -> str:
        """The beginning of the text."""
        text = " ".join(result["text"].split())
        return text if len(text) <= 80 else text[:77] + "..."

    def lines(self, result: Mapping[str, Any]) -> list[str]:
        """The text's lines."""
        lines: list[str] = result["text"].splitlines()
        return lines

    def describe(self, facts: Answering) -> list[str]:
        """The facts in words, a line each, without the wiring and what is not set."""
        return told(facts, **dict.fromkeys(("wiring", *(one for one in self.defaults if getattr(facts, one) is None))))
