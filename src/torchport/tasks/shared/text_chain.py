"""What the tasks of one text encoder share: the step from bytes to token ids, the chain around
the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...types import Step
from ..parts import Values
from . import texts, tokens
from .tokens import TextFacts


def settings(given: Mapping[str, Any], source: Mapping[str, Any]) -> Mapping[str, Any]:
    """The source's facts, and what a tokenizer that the user gives states itself."""
    return {**source, **(tokens.stated(given["tokenizer"]) if given.get("tokenizer") is not None else {})}


def steps(output: str) -> tuple[Step, ...]:
    """decode: raw -> input_ids, attention_mask; model: -> `output`; present: -> result."""
    ids = {"input_ids": "input_ids", "attention_mask": "attention_mask"}
    return (
        Step(name="decode", host="decode", inputs={"raw": "raw"}, outputs=ids),
        Step(name="model", graph="model", inputs=ids, outputs={output: output}),
        Step(name="present", host="present", inputs={output: output}, outputs={"result": "result"}),
    )


def decode(values: Values, facts: TextFacts) -> Values:
    """UTF-8 bytes -> int64 [1, length] token ids and mask; raises BadInput where there is no text."""
    feed = tokens.encode([texts.decode(values["raw"])], facts)
    return {"input_ids": feed.ids, "attention_mask": feed.mask}
