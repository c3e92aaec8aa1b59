"""What stands behind a name: an opened Bundle with the threads that answer its requests."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from ..errors import BadInput, RunError
from ..feed import made_up
from ..predict import Predictor
from .engine import Engine
from .faces import RAW, Face, RawFace, TensorFace
from .messages import Unloaded
from .settings import Settings
from .statistics import Counted, Statistics

CHEAP_MS = 0.25
"""A call that is shorter than this is made where the request is read: handing it to a thread takes as long."""


class Loaded:
    """A Bundle that is open for requests.

    Args:
        predictor: closed with this.

    Attributes:
        cheap: the model's graph answers within `CHEAP_MS`.
    """

    def __init__(self, name: str, predictor: Predictor, settings: Settings) -> None:
        self.name, self.settings, self.statistics = name, settings, Statistics()
        self.predictor, self._calling, self._closed, self._changed = predictor, 0, False, threading.Condition()
        base = predictor.pipeline
        counted = {graph: Counted(one, self.statistics) for graph, one in base.runners.items()}
        predictor.pipeline = replace(base, runners=counted)
        self.cheap = self._warm()
        self.engine = Engine(
            predictor.pipeline,
            self.statistics,
            batch=settings.batch,
            instances=settings.instances,
            waiting=settings.queue,
            name=name,
        )
        self.faces: dict[str, Face] = {face.name: face for face in self._faces()}

    def close(self) -> None:
        """Answer what waits, then release the runtime."""
        self.engine.close()
        with self._changed:
            self._closed = True
            while self._calling:
                self._changed.wait()
        self.predictor.close()

    def enter(self) -> None:
        """Keep the runtime open until `leave`, for a call beside the engine.

        Raises:
            Unloaded: it is being closed.
        """
        with self._changed:
            if self._closed:
                raise Unloaded
            self._calling += 1

    def leave(self) -> None:
        """The call beside the engine has ended."""
        with self._changed:
            self._calling -= 1
            if self._closed:
                self._changed.notify_all()

    def _faces(self) -> list[Face]:
        plan = self.predictor.pipeline.plan
        if plan.step_of("model") is not None:
            return [TensorFace(self.name, self, "model"), RawFace(f"{self.name}{RAW}", self)]
        driven = [TensorFace(f"{self.name}.{graph}", self, graph) for graph in self.predictor.pipeline.runners]
        return [RawFace(self.name, self), *driven]

    def _warm(self) -> bool:
        """Make the first calls, which are slow, and tell whether the others are short: of one made-up item."""
        pipeline = self.predictor.pipeline
        if pipeline.plan.step_of("model") is None:
            return False
        feed = made_up(pipeline.plan.signatures["model"].inputs, lambda dim: 1 if dim == "batch" else 16)
        try:
            times = []
            for _ in range(4):
                began = time.perf_counter()
                pipeline.runners["model"].run(feed)
                times.append(time.perf_counter() - began)
        except (BadInput, RunError):
            return False  # made-up sizes that this model does not take
        return min(times) * 1000 < CHEAP_MS
