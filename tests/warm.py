"""A process that has imported what a deploy needs, and forks a command line whenever it is asked to: importing PyTorch,
its exporters and transformers is most of a small deploy, and is the same every time.

`command()` is what to type in place of `torchport`, or of `python` where `-c` follows: it hands its arguments, folder,
environment and streams over, and ends with the exit code. Everything takes a millisecond there. What is about a process
of its own (its imports, signals, the seed of its hashes) starts one instead.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
import types
from functools import cache
from pathlib import Path
from typing import NoReturn

from torchport.errors import MissingDependency

CLIENT = """
import json, os, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect(sys.argv[1])
said = json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(line, [len(said).to_bytes(4, "big")], [0, 1, 2])
line.sendall(said)
code = int(line.recv(16) or 1)
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@cache
def command() -> list[str]:
    """What to type in place of `torchport`; the first call starts the process, which ends with this one."""
    place = Path(tempfile.mkdtemp(prefix="warm-")) / "socket"
    process = subprocess.Popen([sys.executable, __file__, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"ready\n"
    atexit.register(process.communicate)
    return [sys.executable, "-I", "-S", "-c", CLIENT, str(place)]


def serve(place: Path) -> None:
    """Answer calls side by side, each in a process of its own, until standard input is closed."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place))
    listener.listen()
    signal.signal(signal.SIGCHLD, _reap)
    print("ready", flush=True)
    while 0 not in select.select([listener, 0], [], [])[0]:
        line, _ = listener.accept()
        if os.fork() == 0:
            gc.freeze()
            listener.close()
            _answer(line)
            os._exit(0)
        line.close()
    shutil.rmtree(place.parent)


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _answer(line: socket.socket) -> None:
    """Run one command line in a child, and say its exit code; who asked and was killed takes the child along."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, streams, _, _ = socket.recv_fds(line, 4, 3)
    said = b""
    while len(said) < int.from_bytes(length, "big"):
        said += line.recv(1 << 16)
    child = os.fork()
    if child == 0:
        line.close()
        _become(streams, *json.loads(said))
    if line in select.select([line, os.pidfd_open(child)], [], [])[0]:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        return
    line.sendall(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _become(streams: list[int], words: list[str], folder: str, environment: dict[str, str]) -> NoReturn:
    """Run a command line as a fresh process would, with the streams, folder, environment and arguments of the
    caller.
    """
    for number, theirs in enumerate(streams):
        os.dup2(theirs, number)
        os.close(theirs)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        stream = open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
    sys.argv, sys.path[0], tempfile.tempdir = ["torchport", *words], "", None
    code: object = 1
    try:
        if words[0] == "-c":
            _program(words[1])
        else:
            main(timer=millisecond)
        code = 0
    except SystemExit as left:
        code = left.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


def _program(text: str) -> None:
    """Run a program as `python -c` does; what it deploys takes a millisecond."""
    own = types.ModuleType("__main__")
    sys.modules["__main__"] = own
    with timed_by(millisecond):
        exec(compile(text, "<string>", "exec"), vars(own))


def prepare() -> None:
    """Import what captures and exports import sooner or later, which each forked child would do again, and set up what
    the first of a process does.
    """
    import numpy as np
    import torch

    from torchport import predict, verification  # noqa: F401
    from torchport.frontend.ladder import capture_graph
    from torchport.frontend.program import Program
    from torchport.targets import targets
    from torchport.targets.base import ExportOptions

    graph = capture_graph("model", torch.nn.Linear(4, 3).eval(), {"input": np.zeros((2, 4), np.float32)})
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(MissingDependency):
        targets.get("onnx").export(Program({"model": graph}), Path(folder), ExportOptions())
    gc.collect()
    gc.freeze()  # no child looks through what was imported here, nor copies it by doing so


if __name__ == "__main__":
    from torchport.cli import main
    from torchport.testing import millisecond
    from torchport.timing import timed_by

    with contextlib.suppress(ImportError):
        import transformers.modeling_utils  # noqa: F401
    prepare()
    serve(Path(sys.argv[1]))
