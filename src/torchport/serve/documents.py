"""The JSON documents of verbs that answer many inputs, put a load on a model, or plan for one."""

from __future__ import annotations

from ..types import Value


class BatchDocument(Value, frozen=True):
    """What `batch` prints: the output and how many rows it has; each row is an element of what `predict` prints.

    `failed` are the rows without an answer, `skipped` those that were there before this run.
    """

    output: str
    bundle: str
    variant: str
    inputs: int
    failed: int
    skipped: int
    seconds: float


KINDS: dict[str, type[Value]] = {"batch": BatchDocument}
"""Verb -> its document."""
