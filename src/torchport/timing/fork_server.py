"""One import for many timing processes: a process that has imported a runtime, and forks a child for each job.

Importing PyTorch takes longer than timing a small model. The server runs nothing itself: a runtime's threads, which do
not survive a fork, are started by the children alone. It is this process, forked when it has imported the runtime and
before it runs anything, or else a fresh one: `python -m torchport.timing.fork_server TARGET SOCKET`.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import multiprocessing.process
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
from ..system.isolate import start_method, start_quietly
from ..targets import targets

_FORK, _WAIT = b"fork", b"wait"
_READY = b"ready"


def ahead(target: str) -> contextlib.AbstractContextManager[ForkServer | None]:
    """A server of the runtime of a target that this process needs as well; None where nothing is forked.

    Where this process has yet to import the runtime, it does so, once for both. Where it has imported it, it may have
    run it, and a fresh process imports it while the caller goes on.
    """
    if not able():
        return contextlib.nullcontext()
    fresh = module_of(target) in sys.modules
    if not fresh:
        try:
            targets.get(target).load_library()
        except ImportError:  # whoever needs it says so
            return contextlib.nullcontext()
    return ForkServer(target, fresh=fresh)


def able() -> bool:
    """Whether children can be forked here, and handed their pipes."""
    return start_method() == "fork" and hasattr(socket, "send_fds")


def module_of(target: str) -> str:
    """The package whose import a target's timing processes share; empty where only its child knows it."""
    try:
        return targets.get(target).slowest_import()
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
        fresh: a new interpreter; False forks this process, which has imported the runtime and run nothing of it.
    """

    def __init__(self, target: str, *, fresh: bool = True) -> None:
        self.module = module_of(target)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        self._ready: bool | None = None
        with theirs:
            self._process = _started(target, theirs) if fresh else _forked(theirs)

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
        if isinstance(self._process, subprocess.Popen):
            self._process.wait()
        else:
            self._process.join()
        self._socket.close()


def _started(target: str, theirs: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, target, str(theirs.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
    )


def _forked(theirs: socket.socket) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=_in_fork, args=(theirs.fileno(),), daemon=True)
    start_quietly(process)
    return process


def _in_fork(number: int) -> None:
    """Leave the parent's files to the parent, and serve; what is registered for the parent's end is not run here."""
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(nothing, standard)
        os.closerange(3, number)
        os.closerange(number + 1, os.sysconf("SC_OPEN_MAX"))
        streams = (open(number, mode, closefd=False) for number, mode in enumerate("rww"))  # noqa: SIM115
        sys.stdin, sys.stdout, sys.stderr = streams
        for name in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_DFL)  # the parent may take it for an interrupt
        serve(socket.socket(fileno=number))
    finally:
        os._exit(0)


def main(arguments: Sequence[str]) -> None:
    """Import a target's runtime, then serve."""
    targets.get(arguments[0]).load_library()
    serve(socket.socket(fileno=int(arguments[1])))


def serve(link: socket.socket) -> None:
    """Fork, in a process that has imported the runtime, until the other end closes."""
    from .child import main as child

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads; the libraries' are at rest
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
