"""A task of somebody else's package: of several graphs, with a file among its facts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from torchport.errors import BadInput
from torchport.tasks import Item, Task
from torchport.tasks.calls import Call, Calling
from torchport.tasks.facts import Facts, Reads
from torchport.tasks.parts import Split, TaskGraph
from torchport.types import Step, Value

STEPS = 5


class Digits(Value, frozen=True):
    """What the counter answers."""

    digits: list[int]


class CounterFacts(Facts, frozen=True, kw_only=True):
    """What the counter counts with."""

    words: Annotated[Path | None, "A file of words.", Reads(Path)] = None


class Counter(Task[CounterFacts]):
    """Bytes -> an embedding (graph `encoder`), then digits one by one (graph `step`, with a state)."""

    name = "counter"
    about = "made for a test"
    metric = "exact"
    suffixes = (".txt",)
    answer = Digits
    facts = CounterFacts

    def items(self, data: Path, facts) -> list[Item]:
        return [Item(path.name, path.read_bytes) for path in sorted(data.glob("*.txt"))]

    def split(self, model, facts, items: Sequence[Item]) -> Split:
        ids = _ids(items[0].read(), facts)
        hidden = model.encoder(model.torch.tensor(ids))["hidden"].numpy()
        state = np.zeros((1, 4), np.float32)
        return Split(
            {
                "encoder": TaskGraph(model.encoder, {"ids": ids}, {"ids": {1: "length"}}, {"length": (2, 64)}),
                "step": TaskGraph(model.step, {"hidden": hidden, "state": state}),
            },
            facts,
        )

    def steps(self, facts, model):
        return (
            Step(name="decode", host="decode", inputs={"raw": "raw"}, outputs={"ids": "ids"}),
            Step(
                name="count",
                host="count",
                drives={"encoder": {}, "step": {"state_out": "state"}},
                inputs={"ids": "ids"},
                outputs={"digits": "digits"},
            ),
            Step(name="present", host="present", inputs={"digits": "digits"}, outputs={"result": "result"}),
        )

    @property
    def host(self):
        return {
            "decode": lambda values, facts: {"ids": _ids(values["raw"], facts)},
            "present": lambda values, facts: {"result": {"digits": values["digits"].tolist()}},
        }

    @property
    def drivers(self):
        return {"count": _count}

    def score(self, result, label) -> float:
        return 1.0

    def agree(self, result, reference) -> bool:
        return result == reference

    def save(self, raw, values, facts) -> dict[str, bytes]:
        return {".txt": str(values["digits"].tolist()).encode()}


def _ids(raw: bytes, facts: CounterFacts) -> np.ndarray:
    words = facts.words.read_text("utf-8").split()
    text = raw.decode()
    if not text:
        raise BadInput("the text is empty", "give one word or more")
    return np.array([[words.index(word) for word in text.split()]], np.int64)


def _count(values, facts) -> Calling[dict[str, Any], dict[str, Any]]:
    read = yield Call("encoder", {"ids": values["ids"]})
    hidden, state, digits = read["hidden"], np.zeros((1, 4), np.float32), []
    for _ in range(STEPS):
        made = yield Call("step", {"hidden": hidden, "state": state})
        state = made["state_out"]
        digits.append(int(made["digit"][0]))
        yield {"delta": str(digits[-1])}
    return {"digits": np.array(digits)}
