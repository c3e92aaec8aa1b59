"""What every verb shares: exit codes and error lines, one JSON document on standard output, progress on standard
error.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec

import typer

from ..errors import BadInput, OutputError, TorchportError, UsageError, did_you_mean, status_of
from ..system.disk import FULL
from .progress import Progress as Progress
from .terminal import Left, raw

P = ParamSpec("P")

CLICK: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""What typer raises of a call that it cannot read: of its own copy of click, which it does not name in public."""

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else there.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show what converters and runtimes print.")]
Trust = Annotated[bool, typer.Option("--trust", help="Open variants that can run code of whoever made the Bundle.")]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A .tport folder or file.")]


def verb(function: Callable[P, None]) -> Callable[P, None]:
    """Turn what a verb raises into one line on standard error and the documented exit code."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("always", category=RuntimeWarning, module=r"torchport(\..*)?")
            warnings.showwarning = lambda message, *_, **__: note(f"note: {message}")
            with guarded(as_json=bool(kwargs.get("as_json"))):
                heed_termination()
                function(*args, **kwargs)
        leave(0)

    return wrapped


def heed_termination() -> None:
    """Take SIGTERM as Ctrl-C is taken: what is proven is kept, and what is half done is swept."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def again() -> str:
    """The command as it was typed, to run once more."""
    return shlex.join(["torchport", *sys.argv[1:]])


@contextlib.contextmanager
def guarded(*, as_json: bool = False) -> Iterator[None]:
    """Turn whatever the block raises into one line on standard error and an exit code.

    What the place does to us (no folder, no memory, no permission) is bad input; anything else that is no
    TorchportError is a bug of ours, which ends with 1 and says how to see where.
    """
    try:
        yield
    except TorchportError as exc:
        fail(exc, as_json=as_json)
    except KeyboardInterrupt:
        note(f"interrupted; nothing was changed. To go on, run it again: {again()}")
        leave(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        leave(0)
    except (OSError, MemoryError, RecursionError, UnicodeError) as exc:
        if DEBUG in os.environ:
            raise
        fail(_of_the_place(exc), as_json=as_json)
    except CLICK:
        raise
    except Exception as exc:
        if DEBUG in os.environ:
            raise
        said = f"{type(exc).__name__}: {exc}".replace("\n", " ")[:400]
        note(f"bug: {said}; this is torchport's fault: please report it with what {DEBUG}=1 shows")
        leave(1)


def _of_the_place(exc: BaseException) -> TorchportError:
    """What the system said, as an error with a next step."""
    if isinstance(exc, MemoryError):
        return BadInput("there is not enough memory", "close other programs, or use a smaller input or model")
    if isinstance(exc, RecursionError):
        return BadInput("something is nested too deep to be read", "give a simpler file")
    if isinstance(exc, OSError) and exc.errno in FULL:
        return OutputError("the disk is full", "free some space, or write elsewhere")
    where = f"{str(exc.filename)[-100:]}: " if isinstance(exc, OSError) and exc.filename else ""
    said = (exc.strerror if isinstance(exc, OSError) else None) or exc
    return BadInput(f"{where}{said}", f"check the path and its permissions; {DEBUG}=1 shows where it was met")


def misused(error: Any, *, as_json: bool) -> NoReturn:
    """What the command line's own reader refused, as one line and a document like any other UsageError."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        leave(2)
    context, option = error.ctx, getattr(error, "option_name", None)
    where = context.command_path if context else "torchport"
    if option is None:
        fail(UsageError(error.format_message().rstrip("."), f"see `{where} --help`"), as_json=as_json)
    known = sorted({name for one in context.command.params for name in one.opts if name.startswith("--")})
    fail(UsageError(f"{where} has no option {option}", did_you_mean(option, known)), as_json=as_json)


def fail(error: TorchportError, *, as_json: bool) -> NoReturn:
    """One line on standard error, and where nothing was printed yet the same as a JSON document; then exit."""
    note(f"error: {error.line}".replace("\n", " "))
    for line in error.lines:
        note(f"    {line}")
    if as_json and not _printed:
        from ..documents import ErrorDocument, ErrorRow

        document(
            ErrorDocument(
                error=ErrorRow(
                    type=type(error).__name__, message=error.message, hint="\n".join((error.hint, *error.lines))
                )
            )
        )
    leave(status_of(error).exit_code)


def flushed(code: int) -> int:
    """The exit code once all that was printed is written; another where it cannot be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except OSError as exc:
            code = code or status_of(OutputError("")).exit_code
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if stream is sys.stdout:
                note(f"error: standard output cannot be written: {exc.strerror}; free some space, or write elsewhere")
    return code


def leave(code: int) -> NoReturn:
    """Exit once all that was printed is written; `main` says whether that ends the process."""
    raise Left(flushed(code))


_printed: list[bool] = []

_C1 = re.compile("[\x7f-\x9f]")
"""The control characters that JSON lets pass, and some terminals obey."""

DEBUG = "TORCHPORT_DEBUG"
"""With this variable an error that is no TorchportError shows its traceback."""


def document(value: Any) -> None:
    """The one JSON document of a call."""
    import msgspec

    _printed.append(True)
    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # the name of a file need not be text: json escapes it
        import json

        text = json.dumps(msgspec.to_builtins(value))
    raw(sys.stdout).write(_C1.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def note(line: str) -> None:
    """A line for people, on standard error."""
    print(line, file=sys.stderr, flush=True)


def typed(*words: object) -> str:
    """Words as they are typed in a shell: quoted where they have to be."""
    return shlex.join(map(str, words))
