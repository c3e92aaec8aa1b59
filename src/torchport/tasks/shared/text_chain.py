"""What the tasks of one text encoder share: the facts of pooling, the step from bytes to token ids, the chain around
the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import UsageError
from ...types import Step
from ..parts import Facts, Values
from . import texts, tokens

POOLING = ("mean", "cls", "max")
"""What makes one vector of a vector a token: their mean, the first one, or the greatest of each element."""

ABOUT: dict[str, str] = {
    **tokens.ABOUT,
    "pooling": "How the vectors of the tokens become one: mean, cls (the first token) or max (the greatest of each "
    "element).",
}


def check(facts: Facts) -> Facts:
    """As `tokens.check`, and `pooling` is one of `POOLING`; raises UsageError."""
    return {**tokens.check(facts), "pooling": choice("pooling", facts["pooling"], *POOLING)}


def settings(given: Mapping[str, Any], source: Mapping[str, Any]) -> Mapping[str, Any]:
    """The source's facts, and what a tokenizer that the user gives states itself."""
    return {**source, **(tokens.stated(given["tokenizer"]) if given.get("tokenizer") is not None else {})}


def choice(name: str, value: Any, *allowed: str) -> str:
    """A setting that is one of some words; raises UsageError."""
    if value not in allowed:
        raise UsageError(f"{name}={value} is none of {', '.join(allowed)}", f"such as {name}={allowed[0]}")
    return str(value)


def steps(output: str) -> tuple[Step, ...]:
    """decode: raw -> input_ids, attention_mask; model: -> `output`; present: -> result."""
    ids = {"input_ids": "input_ids", "attention_mask": "attention_mask"}
    return (
        Step(name="decode", host="decode", inputs={"raw": "raw"}, outputs=ids),
        Step(name="model", graph="model", inputs=ids, outputs={output: output}),
        Step(name="present", host="present", inputs={output: output}, outputs={"result": "result"}),
    )


def decode(values: Values, facts: Facts) -> Values:
    """UTF-8 bytes -> int64 [1, length] token ids and mask; raises BadInput where there is no text."""
    feed = tokens.encode([texts.decode(values["raw"])], facts)
    return {"input_ids": feed.ids, "attention_mask": feed.mask}
