"""The server without its sockets: what every protocol asks of the models, once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

from .. import __version__
from ..errors import BadInput, TorchportError, UsageError, status_of
from .datatypes import to_bytes
from .engine import PRIORITIES, Job
from .faces import Face, RawFace
from .messages import Parameter, Refused, Request, Response, Unloaded
from .repository import Repository
from .server_settings import LogSettings
from .settings import Settings
from .shared_memory import Regions

MOST_WORDS = 1000
"""Characters of a refusal: it repeats names of the request, which may be long."""

F = TypeVar("F", bound=Face)

LOG = logging.getLogger("torchport.serve")

SERVER = "torchport"

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "logging",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "parameters",
    "schedule_policy",
    "statistics",
    "trace",
)


class App:
    """Models, and whether they may be asked.

    Attributes:
        draining: no more requests are taken; those under way are answered.
    """

    def __init__(self, repository: Repository, settings: Settings) -> None:
        self.repository, self.settings = repository, settings
        self.draining = False
        self.regions = Regions(allowed=settings.shared_memory)
        self.log_settings = LogSettings()

    def ready(self) -> bool:
        """Whether every model is ready, and the server is not about to end."""
        return not self.draining and self.repository.ready()

    def metadata(self) -> dict[str, Any]:
        """The protocol's metadata of the server."""
        shared = ("system_shared_memory",) if self.settings.shared_memory else ()
        return {"name": SERVER, "version": __version__, "extensions": [*EXTENSIONS, *shared]}

    def need_open(self) -> None:
        """See that requests are taken; raises Refused while the server ends."""
        if self.draining:
            raise Refused(503, "the server is shutting down", (("Retry-After", "1"), ("Connection", "close")))

    def need_loading(self) -> None:
        """See that clients may load and unload models; raises Refused."""
        if not self.settings.loading:
            raise Refused(403, "models cannot be loaded here")

    def change(self, model: str, verb: Literal["load", "unload"], given: Iterable[str]) -> None:
        """Load or unload a model.

        Args:
            given: names of the request's parameters.

        Raises:
            Refused: it is not allowed, or there is no such model.
            BadInput: the request brings files or a configuration of its own.
            TorchportError: see `Repository.load`.
        """
        self.need_loading()
        if any(name == "config" or name.startswith("file:") for name in given):
            raise BadInput("a model's files and configuration are not taken from a request", "change its Bundle")
        (self.repository.load if verb == "load" else self.repository.unload)(model)

    def infer_now(self, request: Request) -> Response | None:
        """The answer of a model that is quick, in the calling thread; None where it has to wait for its turn."""
        if request.parameters:
            _bounds(request.parameters)
        return self.repository.face(request.model, request.version).now(request)

    def deliver(self, request: Request, response: Response) -> None:
        """Write outputs into the shared memory that the request named for them; the answer then says where they are."""
        for one in request.outputs or ():
            if one.region is not None:
                name, offset, most = one.region
                content = to_bytes(response.outputs[one.name])
                self.regions.write(name, offset, most, content)
                response.places[one.name] = {
                    "shared_memory_region": name,
                    "shared_memory_offset": offset,
                    "shared_memory_byte_size": len(content),
                }

    async def infer(self, request: Request) -> Response:
        """Answer one request from a coroutine; raises Refused or TorchportError."""
        _, response = await self._awaited(
            lambda: self.repository.face(request.model, request.version),
            lambda face, done: self._bounded(face.job(request, done), request.parameters),
        )
        answer: Response = response
        return answer

    def infer_blocking(self, request: Request) -> Response:
        """As `infer`, from a thread that waits for the answer."""
        answered = self.infer_now(request)
        if answered is not None:
            return answered
        future: Future[Response] = Future()
        self._submitted(
            lambda: self.repository.face(request.model, request.version),
            lambda face: self._bounded(face.job(request, partial(_settle, future)), request.parameters),
        )
        return future.result()

    async def predict(
        self,
        model: str,
        raw: bytes,
        facts: Mapping[str, Any],
        *,
        version: str = "",
        show: Callable[[dict[str, Any]], None] | None = None,
        drawn: bool = False,
    ) -> Predicted:
        """The presented result of one raw input; raises Refused or TorchportError.

        Args:
            show: hears of parts of the answer before its end, in the event loop.
            drawn: asks for the answer as files too.
        """
        loop = asyncio.get_running_loop()

        def heard(part: dict[str, Any]) -> None:
            if show is not None:
                loop.call_soon_threadsafe(show, part)

        job, (result, files) = await self._awaited(
            lambda: self.raw_face(model, version),
            lambda face, done: self._bounded(
                face.predicted(raw, facts, done, heard if show else None, drawn=drawn), {}
            ),
        )
        return Predicted(result, files, timing(job))

    async def stream(
        self, model: str, raw: bytes, facts: Mapping[str, Any], *, version: str = ""
    ) -> AsyncGenerator[dict[str, Any] | Predicted, None]:
        """As `predict`, yielding the parts of the answer as they come; the last is the whole of it."""
        heard: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        asked = asyncio.ensure_future(self.predict(model, raw, facts, version=version, show=heard.put_nowait))
        asked.add_done_callback(lambda _: heard.put_nowait(None))
        try:
            while (part := await heard.get()) is not None:
                yield part
            yield await asked
        finally:
            asked.cancel()

    def raw_face(self, model: str, version: str = "") -> RawFace:
        """The face of a model that takes raw inputs, by its own name or the Bundle's."""
        face = self.repository.face(model, version)
        if isinstance(face, RawFace):
            return face
        found = next((one for one in face.loaded.faces.values() if isinstance(one, RawFace)), None)
        if found is None:
            raise Refused(400, f"{model} takes tensors only")
        return found

    def _bounded(self, job: Job, parameters: Mapping[str, Parameter]) -> Job:
        """A job with its deadline and its priority, by the request's parameters."""
        timeout, priority = _bounds(parameters)
        wait_ns = timeout * 1000 if timeout else int(self.settings.timeout_s * 1e9)
        job.deadline = time.perf_counter_ns() + wait_ns
        if priority:
            job.priority = min(priority, PRIORITIES[-1])
        return job

    async def _awaited(self, find: Callable[[], F], make: Callable[[F, Callable[[Any], None]], Job]) -> tuple[Job, Any]:
        """Hand a job over and wait for it; the job, and its answer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def done(answer: Any) -> None:
            loop.call_soon_threadsafe(_settle, future, answer)

        job = self._submitted(find, lambda face: make(face, done))
        try:
            return job, await future
        except asyncio.CancelledError:
            job.cancelled = True
            raise

    def _submitted(self, find: Callable[[], F], make: Callable[[F], Job]) -> Job:
        """Hand a job over; where the model was replaced meanwhile, to the one in its place."""
        while True:
            face = find()
            job = make(face)
            try:
                face.loaded.engine.submit(job)
                return job
            except Unloaded:
                if find() is face:
                    raise
            except Refused:
                face.loaded.statistics.turned_away()
                raise


class Predicted(NamedTuple):
    """One answer.

    Attributes:
        files: suffix -> content, where it was asked for.
        timing: where the time went, as the header Server-Timing says it.
    """

    result: dict[str, Any]
    files: dict[str, bytes]
    timing: str


def timing(job: Job) -> str:
    """Where the time of a job went, for the header Server-Timing, in milliseconds."""
    prepared = max(job.prepared, job.began)
    spent = {"queue": job.began - job.came, "prepare": prepared - job.began, "model": job.ended - prepared}
    return ", ".join(f"{name};dur={ns / 1e6:.3f}" for name, ns in spent.items())


def _bounds(parameters: Mapping[str, Parameter]) -> tuple[int, int]:
    """Timeout in microseconds and priority of a request, 0 where it says nothing."""
    found = []
    for name in ("timeout", "priority"):
        value = parameters.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise UsageError(f"the parameter {name} is {str(value)[:40]}", "give a number from 0 on")
        found.append(min(value, _LONGEST_US))
    return found[0], found[1]


_LONGEST_US = 1 << 40


def _settle(future: asyncio.Future[Any] | Future[Any], answer: Any) -> None:
    if future.done():
        return  # the client went away
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def refusal(exc: Exception) -> Refused:
    """Any error as the answer to a client; a fault of our own is logged, and told without its inner text."""
    if isinstance(exc, Refused):
        return exc
    if isinstance(exc, TorchportError):
        return Refused(status_of(exc).http, exc.line[:MOST_WORDS])
    LOG.exception("a request failed", exc_info=exc)
    return Refused(500, f"the server failed on this request: {type(exc).__name__}")
