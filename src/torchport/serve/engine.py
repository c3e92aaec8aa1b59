"""Requests through a model: a bounded queue, and threads that walk whatever waits through the chain together.

A thread takes what waits, walks each request to its next call of a graph, and makes calls of one shape as one. Nobody
waits for company: while a call runs, others arrive, and the next call takes them all. So a request that comes alone is
answered as if there were no queue, and a busy model fills its batches.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..tasks import Pipeline
from ..tasks.batching import Crowd
from ..tasks.calls import Calling
from .messages import Refused, Unloaded
from .statistics import Statistics

Answer = dict[str, Any] | Exception

RETRY = (("Retry-After", "1"),)

PRIORITIES = range(1, 65536)


@dataclass(slots=True)
class Job:
    """One request under way.

    Attributes:
        start: makes the values that the request begins with, and the walk over them; called in a thread of the model.
        done: is told the values at the end of the walk, or the error; called in a thread of the model.
        show: hears of parts of the answer before its end.
        deadline: when nobody waits for the answer any more, by `time.perf_counter_ns`; None is never.
        priority: a smaller one goes first.
        cancelled: set by who no longer wants the answer.
    """

    start: Callable[[], tuple[dict[str, Any], Calling[dict[str, Any], dict[str, Any]]]]
    done: Callable[[Answer], None]
    show: Callable[[dict[str, Any]], None] | None = None
    deadline: int | None = None
    priority: int = PRIORITIES.stop // 2
    cancelled: bool = False
    came: int = field(default_factory=time.perf_counter_ns)
    began: int = 0
    prepared: int = 0
    ended: int = 0


class Queue:
    """What waits for a model, the most urgent first, and never more than a bound.

    Attributes:
        most: jobs that may wait.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._heap: list[tuple[int, int, Job]] = []
        self._number = itertools.count()
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, job: Job) -> None:
        """Let a job wait.

        Raises:
            Refused: so many wait that this one would not be answered in time.
            Unloaded: the model is being closed.
        """
        with self._changed:
            if self._closed:
                raise Unloaded
            if len(self._heap) >= self.most:
                raise Refused(429, f"{len(self._heap):,} requests wait for this model already; try again later", RETRY)
            heapq.heappush(self._heap, (job.priority, next(self._number), job))
            self._changed.notify()

    def take(self, *, wait: bool) -> Job | None:
        """The next job; None where there is none, which with `wait` is when the queue was closed."""
        with self._changed:
            while wait and not self._heap and not self._closed:
                self._changed.wait()
            return heapq.heappop(self._heap)[2] if self._heap else None

    def close(self) -> None:
        """Take no more; what waits is still handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Engine:
    """The threads of one model.

    Args:
        pipeline: the opened chain.
        batch: items of one call, at most.
        instances: threads; with several, calls of the runtime overlap where it allows that.
        waiting: jobs that may wait, at most.
    """

    def __init__(
        self, pipeline: Pipeline, statistics: Statistics, *, batch: int, instances: int, waiting: int, name: str
    ) -> None:
        self.queue, self.batch = Queue(waiting), batch
        self._pipeline, self._statistics = pipeline, statistics
        self._threads = [
            threading.Thread(target=self._run, name=f"torchport-{name}-{number}", daemon=True)
            for number in range(instances)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Let a job wait for its turn; raises Refused where too many do."""
        self.queue.put(job)

    def close(self) -> None:
        """Answer what waits, then end."""
        self.queue.close()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        jobs: dict[int, Job] = {}
        crowd = Crowd(self._pipeline, self.batch, lambda number, answer: self._end(jobs.pop(number), answer))
        numbers = itertools.count()
        while True:
            while not crowd.crowded and (job := self.queue.take(wait=not crowd.under_way)):
                self._begin(crowd, jobs, next(numbers), job)
            if not crowd.under_way:  # the queue is closed, and empty
                return
            for number in [number for number, job in jobs.items() if job.cancelled]:
                crowd.drop(number)
                del jobs[number]
            if not crowd.under_way:
                continue
            try:
                crowd.serve(oldest=True)
            except Exception as exc:  # a fault of ours or of a runtime: those under way hear of it, the model goes on
                for number in list(crowd.under_way):
                    crowd.drop(number)
                    self._end(jobs.pop(number), exc)

    def _begin(self, crowd: Crowd, jobs: dict[int, Job], number: int, job: Job) -> None:
        job.began = time.perf_counter_ns()
        if job.cancelled:
            return
        if job.deadline is not None and job.began > job.deadline:
            self._end(job, Refused(503, "the request waited longer than its timeout", RETRY))
            return
        jobs[number] = job
        try:
            values, walk = job.start()
            crowd.begin(number, values, walk, job.show)
            job.prepared = time.perf_counter_ns()
        except Exception as exc:
            crowd.drop(number)
            self._end(jobs.pop(number), exc)

    def _end(self, job: Job, answer: Answer) -> None:
        now = time.perf_counter_ns()
        job.ended = now
        self._statistics.ended(
            now - job.came,
            job.began - job.came,
            failed=isinstance(answer, Exception),
            prepared_ns=max(job.prepared - job.began, 0),
        )
        job.done(answer)
