"""The parent's end of a child process: ask, wait with a time limit, and say in words how it died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from ..errors import RunError
from ..system.child import exit_name
from . import protocol
from .fork_server import Forked, ForkServer

_SPIN_S = 0.05

A = TypeVar("A", protocol.Ready, protocol.Opened, protocol.Times)


class Process:
    """A running `torchport.timing.child`; leaving the context ends it.

    It has the user's own environment, so that it is as fast as the user will find it: `OMP_WAIT_POLICY=PASSIVE`, which
    would also quieten idle threads, made two-thread PyTorch a third slower (EfficientNet-Lite0, 2 cores).

    Args:
        limit_s: wall-clock limit of one answer, in seconds; a child that takes longer is killed.
        log: file that what the runtime printed is appended to when the child ends.
        server: forks the child, its runtime imported; None starts a fresh interpreter.
    """

    def __init__(self, *, limit_s: float, log: Path | None = None, server: ForkServer | None = None) -> None:
        self._limit_s, self._log = limit_s, log
        self._noise = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        try:
            self._child: Forked | subprocess.Popen[bytes] = (
                self._fresh() if server is None else server.fork(self._noise, limit_s)
            )
        except BaseException:
            self._noise.close()
            raise

    def _fresh(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            # -P: modules that lie in the working folder by accident are not imported
            [sys.executable, "-P", "-m", f"{__package__}.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
        )

    def rest(self) -> None:
        """Keep the child from using a core until the next command.

        A runtime's idle threads spin for work after a call (ONNX Runtime's for 40 ms), in other children's time. Linux
        stops the whole process; it cannot be left behind stopped, because it dies with its parent. Elsewhere the
        threads are waited for.
        """
        if sys.platform == "linux":
            os.kill(self._child.pid, signal.SIGSTOP)
        else:
            time.sleep(_SPIN_S)

    def tell(self, command: protocol.Command) -> None:
        """Send a command without waiting; `hear` takes the answer."""
        assert self._child.stdin is not None
        if sys.platform == "linux":
            os.kill(self._child.pid, signal.SIGCONT)
        try:
            self._child.stdin.write(protocol.line(command))
            self._child.stdin.flush()
        except OSError:  # it died: `hear` says how
            return

    def hear(self, kind: type[A], doing: str) -> A:
        """The answer to the command that was told last.

        Args:
            doing: what the child is at, for the error message.

        Raises:
            RunError: the child failed, crashed or did not answer in time.
        """
        assert self._child.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._child.kill()

        timer = threading.Timer(self._limit_s, give_up)
        timer.start()
        text = self._child.stdout.readline()
        timer.cancel()
        if not text:
            how = f"no answer in {self._limit_s:g} s" if late.is_set() else f"crashed ({exit_name(self._child.wait())})"
            raise RunError(f"{how} while {doing}", self._last_words())
        answer = protocol.answer(text)
        if isinstance(answer, protocol.Failed):
            raise RunError(answer.error)
        assert isinstance(answer, kind), f"{kind.__name__} was due"
        return answer

    def ask(self, command: protocol.Command, kind: type[A], doing: str) -> A:
        """`tell`, then `hear`."""
        self.tell(command)
        return self.hear(kind, doing)

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self._child.communicate()
        if self._log is not None:
            self._noise.seek(0)
            with self._log.open("ab") as log:
                log.write(self._noise.read())
        self._noise.close()

    def _last_words(self) -> str:
        self._noise.seek(0)
        lines = [line.strip() for line in self._noise.read().decode("utf-8", "replace").splitlines()]
        said = next((line for line in reversed(lines) if line), "")
        return f"it said: {said[:200]}" if said else ""
