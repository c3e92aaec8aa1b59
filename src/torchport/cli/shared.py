"""What every verb shares: exit codes and error lines, one JSON document on standard output, progress on standard error."""

from __future__ import annotations

import functools
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec

import typer

from ..errors import TorchportError, UsageError, status_of

P = ParamSpec("P")

Quick = Annotated[bool | None, typer.Option("--quick", help="Time everything for a moment only: sooner done, less sure. TORCHPORT_QUICK=1 stands for it.", show_default=False)]
RequireShown = Annotated[bool, typer.Option("--require-shown", help="Exit code 4 also where the budget is not shown to be kept; without it, 0 means not refuted.", show_default=False)]
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
            try:
                function(*args, **kwargs)
            except TorchportError as exc:
                fail(exc, as_json=bool(kwargs.get("as_json")))
            except KeyboardInterrupt:
                note("interrupted; nothing was changed")
                leave(130)
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                leave(0)
        leave(0)

    return wrapped


def fail(error: TorchportError, *, as_json: bool) -> NoReturn:
    """One line on standard error, and where nothing was printed yet the same as a JSON document; then exit."""
    note(f"error: {error}".replace("\n", " "))
    if as_json and not _printed:
        from ..documents import ErrorDocument, ErrorRow

        document(ErrorDocument(error=ErrorRow(type=type(error).__name__, message=error.message, hint=error.hint)))
    leave(status_of(error).exit_code)


def leave(code: int) -> NoReturn:
    """Exit without the interpreter's teardown: some runtimes crash or wait in theirs when the answer is long out."""
    sys.stdout.flush()
    sys.stderr.flush()
    if "pytest" in sys.modules:
        raise SystemExit(code)
    disk = sys.modules.get("torchport.disk")
    if disk is not None:
        disk.sweep()
    os._exit(code)


_printed: list[bool] = []


def document(value: Any) -> None:
    """The one JSON document of a call."""
    import msgspec

    _printed.append(True)
    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # the name of a file need not be text: json escapes it
        import json

        text = json.dumps(msgspec.to_builtins(value))
    sys.stdout.write(text + "\n")


def note(line: str) -> None:
    """A line for people, on standard error."""
    print(line, file=sys.stderr, flush=True)


def pairs(texts: list[str], flag: str) -> dict[str, str]:
    """`key=value` texts as a dict; UsageError for anything else."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{flag} {text}: not key=value", f"write {flag} key=value")
        found[key.strip()] = value
    return found


def names(text: str | None) -> list[str] | None:
    """A comma-separated list; None for `auto` and for nothing."""
    if text is None or text == "auto":
        return None
    return [part.strip() for part in text.split(",") if part.strip()]


class Progress:
    """Stages and details as they come: a live line on a terminal, one line a stage elsewhere.

    It writes to a copy of standard error, which stays the user's while the noise of converters is sent elsewhere.
    """

    def __init__(self) -> None:
        self._stage = ""
        self._out = os.fdopen(os.dup(2), "w", encoding="utf-8")
        self._began = time.perf_counter()
        self._status: Any = None
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(file=self._out).status("starting")

    def __enter__(self) -> Progress:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()
        self._out.close()

    def tell(self, stage: str, detail: str) -> None:
        """Show what is being done now."""
        if self._status:
            self._status.update(f"{stage}: {detail}")
        if stage != self._stage:
            self._stage = stage
            print(f"{time.perf_counter() - self._began:6.1f} s  {stage}", file=self._out, flush=True)
