"""The exceptions a user can act on, and what each one means outside Python.

    TorchportError
    ├── UsageError             the call itself is wrong
    ├── BadInput               a file, picture, tensor or folder that cannot be used
    │   ├── UnsafeFile         a file that would run code when opened
    │   └── OutputError        the output cannot be written (disk full, no permission, in the way)
    ├── CaptureError           the model cannot be built, loaded or captured
    │   └── WeightsError       the weights do not fit the model
    ├── ExportError            a target failed to convert the model
    │   └── UnsupportedByTarget  the target cannot express this model or recipe
    ├── RunError               a runtime failed on a valid input
    ├── BundleError            a Bundle is damaged, incomplete, unsafe or too new
    ├── BudgetNotMet           no candidate is inside the budget
    ├── ParityError            an artefact does not answer like its reference
    └── MissingDependency      a package is not installed; the message is the install line

`STATUS` is the one table that gives each class its exit code, HTTP status and gRPC status. A bug of torchport's own is
never a TorchportError: it ends the command with exit code 1.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

__all__ = [
    "STATUS",
    "BadInput",
    "BudgetNotMet",
    "BundleError",
    "CaptureError",
    "ExportError",
    "MissingDependency",
    "OutputError",
    "ParityError",
    "RunError",
    "Status",
    "TorchportError",
    "UnsafeFile",
    "UnsupportedByTarget",
    "UsageError",
    "WeightsError",
    "at",
    "did_you_mean",
    "plain",
    "status_of",
]


class TorchportError(Exception):
    """Base of every error that says what happened, where, and the next step.

    Args:
        message: what happened and where, in one line.
        hint: the next step, in one line; empty when the message already says it.
        lines: what is to be read or pasted below it, a line each.

    Attributes:
        failed_at: the stage of a deploy that it ended, one of `types.FailedAt`; None where nobody said, see `at`.
    """

    failed_at: str | None = None

    def __init__(self, message: str, hint: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.lines = tuple(lines)

    @property
    def line(self) -> str:
        """What happened and the next step, in one line."""
        return f"{self.message}; {self.hint}" if self.hint else self.message

    def __str__(self) -> str:
        return "\n    ".join((self.line, *self.lines))

    def __reduce__(self) -> tuple[type[TorchportError], tuple[str, str, tuple[str, ...]], dict[str, str | None]]:
        return type(self), (self.message, self.hint, self.lines), {"failed_at": self.failed_at}


@contextlib.contextmanager
def at(stage: str) -> Iterator[None]:
    """Mark what leaves the block with the stage of a deploy that failed, unless an inner block said so already."""
    try:
        yield
    except Exception as exc:
        if getattr(exc, "failed_at", None) is None:
            exc.failed_at = stage  # type: ignore[attr-defined]
        raise


class UsageError(TorchportError):
    """The call is wrong: an unknown option value, two options that exclude each other."""


class BadInput(TorchportError):
    """A file, picture, tensor or folder that was handed over cannot be used."""


class UnsafeFile(BadInput):
    """A file that would run code when it is opened: refused, never executed."""


class OutputError(BadInput):
    """The output cannot be written: disk full, no permission, something else in the way."""


class CaptureError(TorchportError):
    """The model cannot be imported, built, loaded or captured."""


class WeightsError(CaptureError):
    """The weights do not fit the model: missing, unexpected or mis-shaped keys."""


class ExportError(TorchportError):
    """A target's converter failed on this model."""


class UnsupportedByTarget(ExportError):
    """The target cannot express this model or recipe, and says why."""


class RunError(TorchportError):
    """A runtime failed, or answered NaN, on a valid input."""


class BundleError(TorchportError):
    """A Bundle is damaged, incomplete, unsafe, or newer than this torchport."""


class BudgetNotMet(TorchportError):
    """No candidate is inside the budget; the message names the nearest miss."""


class ParityError(TorchportError):
    """An artefact does not answer like its reference."""


class MissingDependency(TorchportError):
    """A package is not installed; the message is the install line."""


class Status(NamedTuple):
    """What an error class means to a shell, an HTTP client and a gRPC client."""

    exit_code: int
    http: int
    grpc: str


# Most specific class first: `status_of` walks the method resolution order.
STATUS: dict[type[BaseException], Status] = {
    UsageError: Status(2, 400, "INVALID_ARGUMENT"),
    BadInput: Status(3, 400, "INVALID_ARGUMENT"),
    UnsafeFile: Status(3, 400, "INVALID_ARGUMENT"),
    OutputError: Status(3, 507, "RESOURCE_EXHAUSTED"),
    CaptureError: Status(3, 400, "INVALID_ARGUMENT"),
    ExportError: Status(3, 400, "FAILED_PRECONDITION"),
    UnsupportedByTarget: Status(3, 501, "UNIMPLEMENTED"),
    RunError: Status(3, 500, "INTERNAL"),
    BundleError: Status(3, 500, "FAILED_PRECONDITION"),
    BudgetNotMet: Status(4, 409, "FAILED_PRECONDITION"),
    ParityError: Status(5, 500, "FAILED_PRECONDITION"),
    MissingDependency: Status(6, 501, "UNIMPLEMENTED"),
    KeyboardInterrupt: Status(130, 499, "CANCELLED"),
}


_INNER = re.compile(
    r"""\s*[\[(]?\s*While\s+executing\s+%.*      # torch.fx: the node of a graph that nobody has seen, to the end
    |\s*Traceback\s+\(most\s+recent\s+call\s+last\).*
    |\s+(?:object\s+)?at\s+0x[0-9a-fA-F]+       # the address of an object
    |\s*File\s+"[^"]*",\s+line\s+\d+,\s+in\s+\S+
    |(?<![\w./])(?:[a-z_]\w*\.)+(?=[A-Z]\w+)       # the modules that a class lies in""",
    re.VERBOSE | re.DOTALL,
)


def plain(words: str) -> str:
    """A library's message without the inner text of its interpreter: nodes of its graphs, tracebacks, addresses, paths
    of classes.
    """
    said = re.sub(
        r"<(?:class|function|built-in function|built-in method|bound method) '?(?:[\w.]*\.)?(\w+)[^>]*>", r"\1", words
    )
    return _INNER.sub("", said).strip()


def first_line(exc: BaseException, *, kind: bool = True) -> str:
    """The first line of an exception that says something, after its kind if asked for; the kind where it says nothing.
    At most 300 characters.
    """
    text = next((line.strip() for line in str(exc).splitlines() if line.strip()), "")
    name = type(exc).__name__
    return (f"{name}: {text}" if kind and text else text or name)[:300]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The hint of a misspelt name: the known one that is nearest, and where they are not many, or none is near, all
    that are known.
    """
    from difflib import get_close_matches

    names = list(known)
    near = get_close_matches(word, names, 1, 0.6)
    said = [f"did you mean {near[0]}?"] if near else []
    return " ".join([*said, *([f"known: {', '.join(names)}"] if 1 < len(names) <= 20 or not near else [])])


def status_of(error: BaseException) -> Status:
    """The exit code, HTTP status and gRPC status of an error; our own bugs are (1, 500, INTERNAL)."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return Status(1, 500, "INTERNAL")
