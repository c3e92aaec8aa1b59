"""The process that one artefact is timed in: `python -m torchport.timing.child`, told what to do on standard input."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import TorchportError
from ..system.child import die_with_parent
from ..targets import targets
from ..tasks import Pipeline, Plan, tasks
from ..types import IMPORTS
from . import memory, protocol

if TYPE_CHECKING:
    import numpy as np

    from ..targets import Runner
    from ..types import Signature, Used

_WARM_CALLS = 20
_WARM_S = 0.3
_SETTLE_S = 0.005


class Child:
    """One artefact's process: prepared, opened, then timed turn by turn."""

    def __init__(self) -> None:
        self._prepared: protocol.Prepare | None = None
        self._call: Callable[[], object] | None = None
        self._feed: Mapping[str, np.ndarray] = {}

    def obey(self, command: protocol.Command) -> protocol.Answer:
        """Do what was asked."""
        if isinstance(command, protocol.Prepare):
            return self._prepare(command)
        if isinstance(command, protocol.Open):
            return self._open(command)
        return self._turn(command.calls)

    def _prepare(self, command: protocol.Prepare) -> protocol.Ready:
        from safetensors.numpy import load_file

        for module in command.imports:
            if module in IMPORTS:
                importlib.import_module(module)
        targets.get(command.target).load_library()
        if command.chain is None:
            self._feed = load_file(command.feed)
        else:
            tasks.get(command.chain.task)
        self._prepared = command
        return protocol.Ready()

    def _open(self, command: protocol.Open) -> protocol.Opened:
        gc.collect()
        before = memory.begin()
        used = self._open_chain(command) if self._prepared and self._prepared.chain else self._open_graph(command)
        start, times = time.perf_counter(), list[float]()
        while not times or (len(times) < _WARM_CALLS and time.perf_counter() - start < _WARM_S):
            times += self._time(1)
        most = memory.peak()
        gc.collect()
        gc.freeze()
        gc.disable()
        return protocol.Opened(min(times), used, None if before is None or most is None else max(0, most - before))

    def _open_graph(self, command: protocol.Open) -> Used:
        runner, feed = self._runner(command, command.graph, command.signature), self._feed
        self._call = lambda: runner.run(feed)
        return runner.used

    def _open_chain(self, command: protocol.Open) -> Used:
        assert self._prepared and self._prepared.chain, "the caller asked"
        plan, raw = Plan.from_record(self._prepared.chain, tasks.get), Path(self._prepared.feed).read_bytes()
        runners = {name: self._runner(command, name, plan.signatures[name]) for name in plan.needed()}
        pipeline = Pipeline(plan, runners)
        self._call = lambda: pipeline.answer(raw)
        return runners[command.graph].used

    def _runner(self, command: protocol.Open, graph: str, signature: Signature) -> Runner:
        assert self._prepared, "an artefact is opened after Prepare"
        target = targets.get(self._prepared.target)
        return target.open(
            command.artifact, Path(command.folder), signature, graph, device=command.device, threads=command.threads
        )

    def _turn(self, calls: int) -> protocol.Times:
        # The other children's turns emptied the caches and let threads fall asleep. A call that fills a turn by itself
        # does not notice.
        until = time.perf_counter() + _SETTLE_S
        while calls > 1 and time.perf_counter() < until:
            self._time(1)
        return protocol.Times(tuple(self._time(calls)))

    def _time(self, calls: int) -> list[float]:
        assert self._call is not None, "a turn follows an opened artefact"
        call, times = self._call, list[float]()
        for _ in range(calls):
            start = time.perf_counter_ns()
            call()
            times.append((time.perf_counter_ns() - start) / 1e6)
        return times


def main() -> None:
    """Answer commands until standard input ends; what the runtime prints goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends this process
    die_with_parent()  # a stopped process does not notice that its input ended
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    child = Child()
    for text in open(0, "rb", closefd=False):  # noqa: SIM115 - `sys.stdin` may be that of a parent that was forked
        try:
            answer: protocol.Answer = child.obey(protocol.command(text))
        except Exception as exc:  # whatever a runtime raises is the answer
            answer = protocol.Failed(_words(exc))
        answers.write(protocol.line(answer))


def _words(exc: Any) -> str:
    return str(exc) if isinstance(exc, TorchportError) else f"{type(exc).__name__}: {exc}".partition("\n")[0]


if __name__ == "__main__":
    main()
