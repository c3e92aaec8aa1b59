"""Inputs at the edge of what a task takes that the user's data need not hold, and what the reference makes of them.

A text of nothing, of one word, and of more than the model reads; a picture that is black and one that is white; a
recording of silence and one of an instant. They are made by the content type that the task reads, so that every task of
texts, pictures or sound has them.
"""

from __future__ import annotations

import contextlib
import io
import wave
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..errors import TorchportError
from ..feed import Arrays
from ..targets.base import Runner
from ..tasks import Item, Pipeline, Plan
from ..tasks.calls import Call
from .trials import EDGES, Trial, scale_of

KEPT_CALLS, MOST_CALLS = 3, 16
"""Calls that are kept of each graph, and after how many calls in all an edge item has told enough: a decoder may go on
for hundreds."""

MOST_PIXELS = 1024
RATE = 16_000
CHARACTERS_A_TOKEN = 8


def edge_items(plan: Plan, items: Sequence[Item]) -> list[tuple[Item, bool]]:
    """Edge inputs of the plan's task, each named as in `on an empty text`, and whether its values are far from the
    data, so that only what computes as precisely as the reference has to answer alike.

    Args:
        items: the user's, for the size of a picture and the words of a text.
    """
    kinds = {mime.partition("/")[0] for mime in plan.task.mime}
    made: list[tuple[str, bytes, bool]] = []
    if "text" in kinds:
        made += [(what, text.encode(), False) for what, text in _texts(plan, items).items()]
    if "image" in kinds:
        made += [(what, raw, True) for what, raw in _pictures(items).items()]
    if "audio" in kinds:
        made += [(what, raw, True) for what, raw in _recordings().items()]
    return [(Item(what, _reader(raw)), far) for what, raw, far in made]


def _reader(raw: bytes) -> Callable[[], bytes]:
    return lambda: raw


def _texts(plan: Plan, items: Sequence[Item]) -> dict[str, str]:
    words = next((text for item in items[:1] if (text := _said(item))), "a")
    made = {"an empty text": "", "a text of one word": words.split()[0], "a text of an invisible letter": "\u200b"}
    most = getattr(plan.facts, "max_length", None)
    if isinstance(most, int):
        made["a text longer than the model reads"] = f"{words} " * (CHARACTERS_A_TOKEN * most // len(words) + 1)
    return made


def _said(item: Item) -> str:
    try:
        return item.read().decode(errors="replace").strip()
    except TorchportError:
        return ""


def _pictures(items: Sequence[Item]) -> dict[str, bytes]:
    from PIL import Image

    size = (64, 64)
    for item in items[:1]:
        # No file of the user's has to be a picture, and Pillow raises in many ways.
        with contextlib.suppress(Exception), Image.open(io.BytesIO(item.read())) as picture:
            size = (min(picture.width, MOST_PIXELS), min(picture.height, MOST_PIXELS))
    made = {}
    for what, value in (("a black picture", 0), ("a white picture", 255)):
        out = io.BytesIO()
        Image.new("RGB", size, (value,) * 3).save(out, "PNG")
        made[what] = out.getvalue()
    return made


def _recordings() -> dict[str, bytes]:
    instant = np.sin(np.arange(RATE // 50) / 8) * 2**14
    return {"a second of silence": _wav(np.zeros(RATE)), "a fiftieth of a second of sound": _wav(instant)}


def _wav(samples: np.ndarray) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return out.getvalue()


def edge_trials(
    plan: Plan, items: Sequence[Item], runners: Mapping[str, Runner], examples: Mapping[str, Arrays]
) -> list[Trial]:
    """The calls of graphs that edge items lead to, by the exported chain, with the reference's answers.

    An item that the task or the model refuses tells nothing, and neither does an answer that is not finite.

    Args:
        runners: the reference; its graphs by name.
        examples: graph -> a real feed.
    """
    scales: dict[str, dict[str, float]] = {}
    found = []
    for item, far in edge_items(plan, items):
        for graph, feed, outputs in _calls(plan, item, runners):
            if not all(np.isfinite(array).all() for array in outputs.values()):
                continue
            if graph not in scales:
                known = runners[graph].run(examples[graph])
                scales[graph] = {name: scale_of(array) for name, array in known.items()}
            what = f"on {item.name}"
            found.append(Trial(graph, EDGES, what, feed, outputs, examples[graph], scales[graph], far))
    return found


def _calls(plan: Plan, item: Item, runners: Mapping[str, Runner]) -> list[tuple[str, Arrays, Arrays]]:
    """The first calls that the chain makes of each graph to answer an item: (graph, feed, the reference's outputs)."""
    pipeline = Pipeline(plan, runners, in_graph=True)
    made: list[tuple[str, Arrays, Arrays]] = []
    try:
        walk, sent = pipeline.calls({"raw": item.read()}), None
        for _ in range(MOST_CALLS):
            while not isinstance(one := walk.send(sent), Call):
                sent = None  # what a driver shows on the way
            sent = pipeline.call(*one)
            if sum(graph == one.graph for graph, _, _ in made) < KEPT_CALLS:
                kept = [{name: np.array(array) for name, array in arrays.items()} for arrays in (one.feed, sent)]
                made.append((one.graph, kept[0], kept[1]))
    except (StopIteration, TorchportError):
        pass  # the answer is complete, or there is none
    return made
