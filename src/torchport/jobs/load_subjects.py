"""What a load test asks: a Bundle within this process, or a server at a URL."""

from __future__ import annotations

import http.client
import json
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import numpy as np

from ..errors import BadInput, RunError, TorchportError, UsageError
from ..feed import made_up
from ..predict import Predictor
from ..serve.datatypes import NUMPY
from ..serve.engine import Engine, Job
from ..serve.settings import Settings
from ..serve.statistics import Statistics
from ..tasks import Item, Task, tasks
from ..types import TensorSpec
from ..verification import golden_of

Answer = Any
"""What a subject answers for one sample; an Exception where it fails. `Subject.read` makes a result of it."""

MOST_SAMPLES = 256
"""Samples that are kept in memory and asked for again and again."""

MOST_WAITING = 100_000
CLOSE = 1e-3
"""How far two numbers of one tensor may differ, as a share of its greatest, to be called the same answer: batches of
several sizes differ in the last digits."""

SECONDS = 60.0
"""After which a request of HTTP is given up."""


class Subject(Protocol):
    """What is tested. Samples are numbers from 0 on.

    Attributes:
        name: what answers.
        task: whose metric judges; None where answers can only be compared.
        labels: of each sample; None where it has none.
    """

    name: str
    task: Task | None
    labels: list[Any]

    def ask(self, samples: Sequence[int]) -> list[Answer]:
        """The answers of some samples, sent together; returns once all are there."""

    def submit(self, sample: int, done: Callable[[Answer], None]) -> None:
        """Send a sample and go on; `done` is told its answer in another thread."""

    def stream(self, samples: Iterable[int], batch: int) -> Iterator[Answer]:
        """The answers of many samples in their order, as fast as it can."""

    def read(self, answer: Answer) -> Any:
        """An answer as what `agree` and the task's metric take."""

    def agree(self, one: Any, other: Any) -> bool:
        """Whether two answers that were read say the same."""

    def close(self) -> None:
        """End its threads."""


class InProcess:
    """A Bundle in this process. Samples that come by `submit` are answered as `torchport serve` would: together where
    several wait, by as many threads.
    """

    def __init__(self, predictor: Predictor, items: Sequence[Item], batch: int, instances: int | None = None) -> None:
        self.name = predictor.variant.id
        self.task: Task | None = predictor.pipeline.task
        self.labels = [item.label for item in items]
        self._raws = [item.read() for item in items]
        self._predictor, self._pipeline = predictor, predictor.pipeline
        self._batch, self._instances = batch, instances or Settings.default_instances()
        self._engine: Engine | None = None

    def ask(self, samples: Sequence[int]) -> list[Answer]:
        """One sample by `predict`, several by `predict_many`."""
        if len(samples) == 1:
            try:
                return [self._predictor.predict(self._raws[samples[0]])]
            except TorchportError as exc:
                return [exc]
        return list(self.stream(samples, len(samples)))

    def submit(self, sample: int, done: Callable[[Answer], None]) -> None:
        """Into the queue of an engine as the server has it."""
        self._engine = self._engine or Engine(
            self._pipeline,
            Statistics(),
            batch=self._batch,
            instances=self._instances,
            waiting=MOST_WAITING,
            name="load",
        )
        values = {"raw": self._raws[sample]}

        def ended(answer: dict[str, Any] | Exception) -> None:
            done(answer if isinstance(answer, Exception) else answer["result"])

        try:
            self._engine.submit(Job(lambda: (values, self._pipeline.calls(values, lean=True)), ended))
        except Exception as exc:  # the queue is full
            done(exc)

    def stream(self, samples: Iterable[int], batch: int) -> Iterator[Answer]:
        """By `predict_many`."""
        raws = (self._raws[sample] for sample in samples)
        return (error or result for result, error in self._predictor.predict_many(raws, batch))

    def read(self, answer: Answer) -> Any:
        """As it is."""
        return answer

    def agree(self, one: Any, other: Any) -> bool:
        """By the task."""
        return self._pipeline.task.agree(one, other)

    def close(self) -> None:
        """End the engine."""
        if self._engine:
            self._engine.close()


class Remote:
    """A model of a server of the Open Inference Protocol, over connections that stay open.

    Raw items go to `/predict`, which torchport has; without any, one made-up set of tensors goes to `/infer`, which
    every such server has.

    Raises:
        BadInput: the server cannot be reached, or has no such model.
    """

    def __init__(self, url: str, items: Sequence[Item], connections: int = 32) -> None:
        parts = urlsplit(url)
        self._host, self._secure = parts.netloc, parts.scheme == "https"
        words = parts.path.strip("/").split("/")
        model = words[2] if words[:2] == ["v2", "models"] and len(words) > 2 else self._only_model()
        about = self._get(f"/v2/models/{quote(model)}")
        named = about.get("properties", {}).get("task", "")
        self.name, self.task = model, tasks.get(named) if named in tasks.names() and items else None
        self.labels = [item.label for item in items] or [None]
        verb, self._headers = ("predict", {}) if items else ("infer", {"Content-Type": "application/json"})
        self._bodies = [item.read() for item in items] or [self._tensors(about)]
        self._path = f"/v2/models/{quote(model)}/{verb}"
        self._local, self._lines = threading.local(), list[http.client.HTTPConnection]()
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="load")

    def _open(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, timeout=SECONDS)

    def _get(self, path: str, method: str = "GET") -> Any:
        try:
            with closing(self._open()) as line:
                line.request(method, path, b"{}" if method == "POST" else None)
                reply = line.getresponse()
                document = json.loads(reply.read())
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise BadInput(f"no server of the protocol at {self._host[:100]}: {exc}", "start it, or mend URL") from exc
        if reply.status != 200:
            raise BadInput(f"{self._host}{path}: {reply.status} {str(document)[:200]}", "see what the server serves")
        return document

    def _only_model(self) -> str:
        names = [row["name"] for row in self._get("/v2/repository/index", "POST") if row.get("state") == "READY"]
        whole = [name for name in names if not name.endswith("-raw")]
        if len(whole) != 1:
            raise UsageError(f"the server has the models {', '.join(names)}", "write URL/v2/models/NAME")
        return str(whole[0])

    def _tensors(self, about: Any) -> bytes:
        specs = []
        for one in about["inputs"]:
            if one["datatype"] not in NUMPY or one["datatype"] == "BYTES":
                raise UsageError(f"{self.name} takes raw inputs", "give files by --data")
            shape = tuple(size if size > 0 else 1 if axis == 0 else 16 for axis, size in enumerate(one["shape"]))
            specs.append(TensorSpec(name=one["name"], dtype=np.dtype(NUMPY[one["datatype"]]).name, shape=shape))
        feed = made_up(specs, lambda _: 1)
        head: dict[str, Any] = {"inputs": []}
        content = b""
        for one, spec in zip(about["inputs"], specs, strict=True):
            data = np.ascontiguousarray(feed[spec.name]).tobytes()
            content += data
            row = {"name": spec.name, "shape": list(spec.shape), "datatype": one["datatype"]}
            head["inputs"].append({**row, "parameters": {"binary_data_size": len(data)}})
        if len(content) < 4000:  # every server reads numbers as JSON
            for row in head["inputs"]:
                del row["parameters"]
                row["data"] = feed[row["name"]].ravel().tolist()
            return json.dumps(head).encode()
        text = json.dumps(head).encode()
        self._headers = {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(len(text)),
        }
        return text + content

    def _ask(self, sample: int) -> Answer:
        local = self._local
        for again in (True, False):  # a connection that was kept open may have been closed meanwhile
            try:
                if getattr(local, "line", None) is None:
                    local.line, again = self._open(), False
                    self._lines.append(local.line)
                local.line.request("POST", self._path, self._bodies[sample], self._headers)
                reply = local.line.getresponse()
                body = reply.read()
            except (OSError, http.client.HTTPException) as exc:
                local.line.close()
                local.line = None
                if not again:
                    return RunError(f"the server: {exc or type(exc).__name__}")
                continue
            return body if reply.status == 200 else RunError(f"the server: {reply.status} {body[:200]!r}")
        raise AssertionError

    def ask(self, samples: Sequence[int]) -> list[Answer]:
        """One request a sample, all at once."""
        if len(samples) == 1:
            return [self._ask(samples[0])]
        return list(self._pool.map(self._ask, samples))

    def submit(self, sample: int, done: Callable[[Answer], None]) -> None:
        """To whichever connection is free first."""
        self._pool.submit(lambda: done(self._ask(sample)))

    def stream(self, samples: Iterable[int], batch: int) -> Iterator[Answer]:
        """All connections busy all the time."""
        running: queue.SimpleQueue[Future[Answer]] = queue.SimpleQueue()
        for sample in samples:
            running.put(self._pool.submit(self._ask, sample))
            while running.qsize() >= 2 * self._pool._max_workers:
                yield running.get().result()
        while not running.empty():
            yield running.get().result()

    def read(self, answer: Answer) -> Any:
        """The document that came."""
        return json.loads(answer)

    def agree(self, one: Any, other: Any) -> bool:
        """By the task; tensors are compared number by number."""
        if self.task:
            return self.task.agree(one, other)
        if "outputs" not in one or "outputs" not in other:
            return bool(one == other)
        return len(one["outputs"]) == len(other["outputs"]) and all(map(_close, one["outputs"], other["outputs"]))

    def close(self) -> None:
        """Close the connections."""
        self._pool.shutdown()
        for line in self._lines:
            line.close()


def _close(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if one["name"] != other["name"] or one["shape"] != other["shape"]:
        return False
    if one["datatype"] == "BYTES":
        return bool(one["data"] == other["data"])
    left, right = np.asarray(one["data"], np.float64), np.asarray(other["data"], np.float64)
    return bool(np.allclose(left, right, rtol=0, atol=CLOSE * max(1e-30, float(np.abs(left).max(initial=0)))))


def items_of(predictor: Predictor, data: Path | None) -> list[Item]:
    """Samples of a Bundle: the data's, or else its golden inputs.

    Raises:
        BadInput: there are none.
    """
    if data is not None:
        return predictor.pipeline.task.items(data, predictor.pipeline.facts)[:MOST_SAMPLES]
    found = [
        Item(one.name, lambda raw=one.host["raw"]: raw, one.label)  # type: ignore[misc]  # bound early
        for one in golden_of(predictor.bundle, predictor.variant.golden)
    ]
    if not found:
        raise BadInput(f"{predictor.bundle.name} has no golden inputs", "give samples by --data")
    return found[:MOST_SAMPLES]


def wait_until(moment: float) -> None:
    """Return at a time of `time.perf_counter`, or at once where it is over."""
    while (left := moment - time.perf_counter()) > 0:
        time.sleep(left if left < 2e-4 else left - 1e-4)
