"""One import for many timing processes: a process that has imported a runtime, and forks a child for each job.

Importing PyTorch takes longer than timing a small model. The server runs nothing itself: a runtime's threads, which do
not survive a fork, are started by the children alone. `python -m torchport.timing.fork_server TARGET SOCKET` is the
server.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Sequence
from typing import IO, BinaryIO

from ..errors import RunError, TorchportError
from ..system.child import die_with_parent
from ..system.isolate import start_method
from ..targets import targets

_FORK, _WAIT = b"fork", b"wait"
_READY = b"ready"


def ahead(target: str) -> contextlib.AbstractContextManager[ForkServer | None]:
    """A server of that target's runtime, which it imports while the caller goes on; None where nothing is forked."""
    return ForkServer(target) if able() else contextlib.nullcontext()


def able() -> bool:
    """Whether children can be forked here, and handed their pipes."""
    return start_method() == "fork" and hasattr(socket, "send_fds")


def module_of(target: str) -> str:
    """The package whose import a target's timing processes share; empty where only its child knows it."""
    try:
        return targets.get(target).module
    except TorchportError:
        return ""


class Forked:
    """A forked timing process, with the part of `subprocess.Popen` that `Process` uses."""

    def __init__(self, server: ForkServer, pid: int, stdin: BinaryIO, stdout: BinaryIO) -> None:
        self._server, self.pid = server, pid
        self._code: int | None = None
        self.stdin: BinaryIO = stdin
        self.stdout: BinaryIO = stdout

    def kill(self) -> None:
        """End it, whatever it is at."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code, negative for a signal, once it has ended."""
        if self._code is None:
            self._code = self._server.wait(self.pid)
        return self._code

    def communicate(self) -> None:
        """Close the pipes and wait for the end."""
        for pipe in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        self.wait()


class ForkServer:
    """The parent's end of a server; a context manager, which ends the server and its children.

    Args:
        target: whose runtime it imports, while the caller goes on.
    """

    def __init__(self, target: str) -> None:
        self.module = module_of(target)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        self._ready: bool | None = None
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, target, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def fork(self, noise: IO[bytes], limit_s: float) -> Forked:
        """A new child that waits for commands; what it prints goes to `noise`.

        Raises:
            RunError: the runtime could not be imported, or took longer than `limit_s`.
        """
        if not self._imported(limit_s):
            raise RunError(f"{self.module} could not be imported")
        (commands, to_child), (from_child, answers) = os.pipe(), os.pipe()
        stdin, stdout = os.fdopen(to_child, "wb", buffering=0), os.fdopen(from_child, "rb")
        try:
            socket.send_fds(self._socket, [_FORK], [commands, answers, noise.fileno()])
            pid = int(self._socket.recv(16) or 0)
        except OSError:
            pid = 0
        finally:
            os.close(commands)
            os.close(answers)
        if not pid:  # never a process to signal: 0 stands for this process's whole group
            stdin.close()
            stdout.close()
            raise RunError(f"the process that imported {self.module} ended")
        return Forked(self, pid, stdin, stdout)

    def _imported(self, limit_s: float) -> bool:
        """Whether the runtime is imported, waited for once: a server that was late or died is not asked again."""
        if self._ready is None:
            try:
                self._socket.settimeout(limit_s)
                self._ready = self._socket.recv(16) == _READY
                self._socket.settimeout(None)
            except OSError:
                self._ready = False
        return self._ready

    def wait(self, pid: int) -> int:
        """The exit code of a child that has ended or is about to."""
        try:
            self._socket.send(b"%s %d" % (_WAIT, pid))
            return int(self._socket.recv(16) or b"1")
        except OSError:
            return 1

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._socket.close()


def main(arguments: Sequence[str]) -> None:
    """Import a target's runtime, then fork until the other end closes."""
    from .child import main as child

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads; the libraries' are at rest
    link = socket.socket(fileno=int(arguments[1]))
    targets.get(arguments[0]).load_library()
    gc.freeze()
    link.send(_READY)
    while True:
        message, pipes, _, _ = socket.recv_fds(link, 64, 3)
        if not message:
            return
        if message == _FORK:
            pid = os.fork()
            if pid == 0:
                link.close()
                for number, pipe in enumerate(pipes):
                    os.dup2(pipe, number)
                    os.close(pipe)
                child()
                os._exit(0)  # what the server registered for its own end is not the child's
            for pipe in pipes:
                os.close(pipe)
            link.send(b"%d" % pid)
        else:
            _, status = os.waitpid(int(message.split()[1]), 0)
            link.send(b"%d" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(sys.argv[1:])
