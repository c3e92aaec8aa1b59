"""The faces by which the protocol sees a Bundle: a graph with its tensors, or the whole chain with raw inputs."""

from __future__ import annotations

import abc
import base64
import json
import time
from collections.abc import Callable, Generator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadInput, UsageError
from ..feed import check_feed
from ..predict import Predictor
from ..tasks.calls import Call
from ..tasks.facts import settable
from ..types import TensorSpec
from .datatypes import BYTES, DATATYPES
from .engine import Job
from .messages import Request, Response

if TYPE_CHECKING:
    from .models import Loaded

PLATFORM = "torchport"
VERSION = "1"
_TAKES = {"image/": "picture", "audio/": "sound", "video/": "video", "text/": "text"}
"""Beginning of a content type -> what the page calls it."""

RAW = "-raw"
"""What follows a Bundle's name in the name of the model that takes raw inputs."""


class Face(abc.ABC):
    """A model of the protocol: a name with typed inputs and outputs.

    Attributes:
        loaded: the Bundle behind it.
    """

    def __init__(self, name: str, loaded: Loaded) -> None:
        self.name, self.loaded = name, loaded

    @property
    @abc.abstractmethod
    def inputs(self) -> list[dict[str, Any]]:
        """Name, datatype and shape of each input; -1 is any size."""

    @property
    @abc.abstractmethod
    def outputs(self) -> list[dict[str, Any]]:
        """Name, datatype and shape of each output."""

    @abc.abstractmethod
    def job(self, request: Request, done: Callable[[Response | Exception], None]) -> Job:
        """The request as work for the model's threads; raises BadInput where it is not what the model takes."""

    def now(self, request: Request) -> Response | None:
        """The answer, where it takes no longer than to hand it to a thread; None elsewhere."""
        return None

    def metadata(self) -> dict[str, Any]:
        """The protocol's metadata of the model."""
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": PLATFORM,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "properties": self.properties(),
        }

    def properties(self) -> dict[str, str]:
        """What a page or a client may want to know of the Bundle."""
        predictor = self.loaded.predictor
        task = predictor.pipeline.task
        raw = next((face for face in self.loaded.faces.values() if isinstance(face, RawFace)), None)
        families = [word for kind, word in _TAKES.items() if any(one.startswith(kind) for one in task.mime)]
        return {
            "task": task.name,
            "takes": families[0] if families else "tensor",
            "variant": predictor.variant.id,
            "settable": ",".join(sorted(raw.settable)) if raw else "",
        }

    def statistics(self) -> dict[str, Any]:
        """The protocol's statistics; faces of one Bundle share them."""
        return self.loaded.statistics.to_json(self.name, VERSION)

    @cached_property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes that the outputs' last axis counts."""
        found = getattr(self.loaded.predictor.pipeline.facts, "labels", None)
        return tuple(map(str, found)) if isinstance(found, list | tuple) else None

    def check_outputs(self, request: Request) -> None:
        """See that every output that is asked for is one of this model's; raises BadInput."""
        known = [one["name"] for one in self.outputs]
        seen = set()
        for one in request.outputs or ():
            if one.name not in known:
                raise BadInput(f"{self.name} has no output '{one.name[:80]}'", f"it has {', '.join(known)}")
            if one.name in seen:
                raise BadInput(f"the output '{one.name}' is asked for twice")
            seen.add(one.name)

    def answer(self, request: Request, outputs: Mapping[str, np.ndarray]) -> Response:
        """The outputs that were asked for, classified where that was asked."""
        if request.outputs is None:
            return Response(self.name, VERSION, request.id, dict(outputs))
        chosen = {}
        for one in request.outputs or ():
            array = outputs[one.name]
            chosen[one.name] = classified(array, one.classes, self.labels) if one.classes else array
        return Response(self.name, VERSION, request.id, chosen)


class TensorFace(Face):
    """A graph of the Bundle, as it was captured."""

    def __init__(self, name: str, loaded: Loaded, graph: str) -> None:
        super().__init__(name, loaded)
        self.graph = graph
        self.signature = loaded.predictor.pipeline.plan.signatures[graph]
        self._runner = loaded.predictor.pipeline.runners[graph]

    @cached_property
    def inputs(self) -> list[dict[str, Any]]:
        """The graph's."""
        return list(map(tensor, self.signature.inputs))

    @cached_property
    def outputs(self) -> list[dict[str, Any]]:
        """The graph's."""
        return list(map(tensor, self.signature.outputs))

    def now(self, request: Request) -> Response | None:
        """The answer of a graph that is quick."""
        if not self.loaded.cheap or len(self.loaded.engine.queue):
            return None
        if request.outputs is not None:
            self.check_outputs(request)
        loaded, began = self.loaded, time.perf_counter_ns()
        loaded.enter()
        try:
            outputs = self._runner.run(request.inputs)
        except Exception:
            loaded.statistics.ended(time.perf_counter_ns() - began, 0, failed=True)
            raise
        finally:
            loaded.leave()
        loaded.statistics.ended(time.perf_counter_ns() - began, 0, failed=False)
        return self.answer(request, outputs)

    def job(self, request: Request, done: Callable[[Response | Exception], None]) -> Job:
        """One call of the graph."""
        self.check_outputs(request)
        check_feed(self.signature, request.inputs)

        def walk(values: dict[str, Any]) -> Generator[Call, Any, dict[str, Any]]:
            values["outputs"] = yield Call(self.graph, request.inputs)
            return values

        def start() -> tuple[dict[str, Any], Any]:
            values: dict[str, Any] = {}
            return values, walk(values)

        def ended(answer: dict[str, Any] | Exception) -> None:
            done(answer if isinstance(answer, Exception) else self._whole(request, answer))

        return Job(start, ended)

    def _whole(self, request: Request, values: dict[str, Any]) -> Response | Exception:
        try:
            return self.answer(request, values["outputs"])
        except BadInput as exc:
            return exc


class RawFace(Face):
    """The whole chain: files and texts in, the outputs and the presented result out."""

    @cached_property
    def inputs(self) -> list[dict[str, Any]]:
        """One element of BYTES for each item."""
        return [{"name": "raw", "datatype": BYTES, "shape": [-1]}]

    @cached_property
    def outputs(self) -> list[dict[str, Any]]:
        """The result of each item as JSON, and for classes their names, the most likely first."""
        made = [{"name": "result", "datatype": BYTES, "shape": [-1]}]
        if self.labels is not None:
            made.append({"name": "labels", "datatype": BYTES, "shape": [-1, -1]})
        return made

    @property
    def binary(self) -> bool:
        """Whether raw inputs are files rather than texts: in JSON they are written in base64."""
        return ".txt" not in self.loaded.predictor.pipeline.task.suffixes

    def raws(self, request: Request) -> list[bytes]:
        """The raw inputs of a request.

        Raises:
            BadInput: it has other inputs, or none.
        """
        if list(request.inputs) != ["raw"] or request.inputs["raw"].dtype != object:
            raise BadInput(f"{self.name} takes one input", "it is called raw, of the datatype BYTES")
        items: list[bytes] = request.inputs["raw"].ravel().tolist()
        if not 1 <= len(items) <= self.loaded.settings.most_items:
            raise BadInput(f"raw has {len(items)} elements", f"give 1 to {self.loaded.settings.most_items}")
        return items

    def job(self, request: Request, done: Callable[[Response | Exception], None]) -> Job:
        """The whole chain for each of the items, one after the other."""
        self.check_outputs(request)
        raws = self.raws(request)
        predictor = self._with({key: value for key, value in request.parameters.items() if key in self.settable})

        def walk(values: dict[str, Any]) -> Generator[Any, Any, dict[str, Any]]:
            found = []
            for raw in raws:
                one: dict[str, Any] = {"raw": raw}
                yield from predictor.pipeline.calls(one, lean=True)
                found.append(one["result"])
            values["results"] = found
            return values

        def start() -> tuple[dict[str, Any], Any]:
            values: dict[str, Any] = {}
            return values, walk(values)

        def ended(answer: dict[str, Any] | Exception) -> None:
            done(answer if isinstance(answer, Exception) else self.answer(request, self._told(answer["results"])))

        return Job(start, ended)

    def predicted(
        self,
        raw: bytes,
        facts: Mapping[str, Any],
        done: Callable[[Any], None],
        show: Callable[[dict[str, Any]], None] | None = None,
        *,
        drawn: bool = False,
    ) -> Job:
        """One raw input whose presented result, with the files that show it, is the answer.

        Args:
            facts: that are other than the Bundle's.
            show: hears of parts of the answer before its end.
            drawn: whether files are asked for.
        """
        predictor = self._with(facts)

        def start() -> tuple[dict[str, Any], Any]:
            values = {"raw": raw}
            return values, predictor.pipeline.calls(values, lean=not drawn)

        def ended(answer: dict[str, Any] | Exception) -> None:
            if isinstance(answer, Exception):
                done(answer)
                return
            try:
                done((answer["result"], predictor.drawn(answer) if drawn else {}))
            except Exception as exc:
                done(exc)

        return Job(start, ended, show)

    @cached_property
    def settable(self) -> set[str]:
        """Facts that a request may set: none whose value names a file of this machine."""
        task = self.loaded.predictor.pipeline.task
        return {name for name, fact in settable(task.facts).items() if name in task.at_predict and not fact.reads}

    def _with(self, facts: Mapping[str, Any]) -> Predictor:
        """The Predictor with facts of a request; raises UsageError where one of them lifts a limit of the Bundle."""
        base = self.loaded.predictor
        if not facts:
            return base
        made = base.with_facts(**facts)
        for name in facts:
            value, limit = getattr(made.pipeline.facts, name), getattr(base.pipeline.facts, name)
            if name.startswith("max_") and limit is not None and (value is None or value > limit):
                raise UsageError(f"{name}={value} is more than this server answers", f"give at most {limit}")
        return made

    def _told(self, results: list[dict[str, Any]]) -> dict[str, np.ndarray]:
        made = {"result": _texts([json.dumps(one, ensure_ascii=False).encode() for one in results])}
        if self.labels is not None:
            rows = [[str(one["label"]).encode() for one in result.get("labels", ())] for result in results]
            width = min(map(len, rows), default=0)
            made["labels"] = _texts([one for row in rows for one in row[:width]]).reshape(len(rows), width)
        return made


def tensor(spec: TensorSpec) -> dict[str, Any]:
    """A tensor of a signature as the protocol describes it."""
    shape = [size if isinstance(size, int) else -1 for size in spec.shape]
    return {"name": spec.name, "datatype": DATATYPES[spec.dtype], "shape": shape}


def classified(array: np.ndarray, classes: int, labels: tuple[str, ...] | None) -> np.ndarray:
    """The greatest of each row as BYTES `value:index:label`, after Triton's classification extension.

    Args:
        array: numbers [batch, ..., n], or [n].

    Raises:
        BadInput: they are no numbers.
    """
    if array.dtype.kind not in "fiu" or array.ndim == 0:
        raise BadInput("classification is of outputs that are numbers along an axis")
    flat = array.reshape(len(array), -1) if array.ndim > 1 else array.reshape(1, -1)
    count = min(classes, flat.shape[1])
    order = np.argsort(-flat.astype(np.float64), axis=1, kind="stable")[:, :count]
    named = labels if labels is not None and len(labels) == flat.shape[1] else None
    rows = [
        f"{flat[row, index]:f}:{index}" + (f":{named[index]}" if named else "")
        for row in range(len(flat))
        for index in order[row].tolist()
    ]
    made = _texts([row.encode() for row in rows])
    return made.reshape(len(flat), count) if array.ndim > 1 else made


def from_base64(text: bytes | str) -> bytes:
    """Raises BadInput where it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as exc:
        raise BadInput("the text is no base64", str(exc)) from exc


def _texts(values: list[bytes]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array
