"""What a check says, and the list of all checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..types import Value

if TYPE_CHECKING:
    from .target import Target

Verdict = Literal["holds", "differs", "not offered"]


class CheckRow(Value, frozen=True):
    """One check.

    Attributes:
        area: the protocol's form that is asked, HTTP or gRPC.
        about: what holds where the check holds.
        source: the part of the protocol, and where a published client relies on it, the number of the trap in
            docs/serve.md.
        reason: what was found instead, or why nothing was asked; of one that holds what else is to be known of it.
    """

    name: str
    area: str
    about: str
    source: str
    verdict: Verdict
    reason: str | None


class ConformDocument(Value, frozen=True):
    """What `conform` prints: the server that was asked, the model by which, and every check with its verdict;
    `verdicts` counts them.
    """

    url: str
    grpc: str | None
    server: str
    model: str | None
    verdicts: dict[str, int]
    checks: tuple[CheckRow, ...]


class Differs(Exception):
    """The server does not do as the check says; the message says what it does."""


class NotOffered(Exception):
    """The server or the model does not have what the check asks for."""


@dataclass(frozen=True)
class Check:
    """One check; `run` returns what else is to be said of it, and raises Differs or NotOffered.

    Attributes:
        extension: what the server's metadata must list for the check to be made; empty: it is always made.
    """

    name: str
    area: str
    about: str
    source: str
    extension: str
    run: Callable[[Target], str | None]


CHECKS: list[Check] = []
"""Every check."""


def check(
    area: str, source: str, *, extension: str = "", name: str = "", about: str = ""
) -> Callable[[Callable[[Target], str | None]], Callable[[Target], str | None]]:
    """Put a function into the list of checks; its name and its docstring say what it holds, unless others are given."""

    def listed(run: Callable[[Target], str | None]) -> Callable[[Target], str | None]:
        said = about or " ".join((run.__doc__ or "").split()).rstrip(".")
        CHECKS.append(Check(name or run.__name__.replace("_", " "), area, said, source, extension, run))
        return run

    return listed


def expect(holds: Any, otherwise: str) -> None:
    """Raises Differs with the words where a condition does not hold."""
    if not holds:
        raise Differs(otherwise)
